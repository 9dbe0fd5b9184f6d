"""What a run hears of compiling, and the inputs of the first compiled block."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cogmagic._pipeline import compile as _compile


class Block(torch.nn.Linear):
    def __init__(self, name: str, events: list[str]) -> None:
        super().__init__(2, 2)
        self.name, self.events = name, events

    def forward(self, hidden: Any) -> Any:
        self.events.append(self.name)
        return hidden


@pytest.fixture(autouse=True)
def no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """No code yet, and a compiler that compiles nothing."""
    monkeypatch.setattr("torch.compile", lambda forward, **_: forward)
    monkeypatch.setattr(_compile, "_COMPILED", set())
    monkeypatch.setattr(_compile, "_KEYS", set())


@pytest.mark.parametrize("count", [1, 3])
def test_announcement_lasts_until_both_sorts_of_strides_are_compiled(count: int) -> None:
    events: list[str] = []
    transformer = torch.nn.Module()
    blocks = [Block(str(i), events) for i in range(count)]
    transformer.transformer_blocks = torch.nn.ModuleList(blocks)

    def step(width: int) -> list[str]:
        events.clear()
        for block in blocks:
            block(torch.zeros(1, width))
        return list(events)

    def on_compile(begins: bool) -> None:
        events.append("begin" if begins else "end")

    names = [str(i) for i in range(count)]
    announced = ["begin", *names[:2], "end", *names[2:]]
    with _compile.compiled(transformer), _compile.compiling(on_compile, "key"):
        assert (step(2), step(2), step(3), step(2)) == (announced, names, announced, names)
    assert _compile.compiled_code() == {"key"}
    assert all("forward" not in block.__dict__ for block in blocks)


def test_code_of_the_prompt_alone_has_its_own_key() -> None:
    """A guidance interval that ends is then another batch in the same run."""
    transformer = torch.nn.Module()
    transformer.transformer_blocks = torch.nn.ModuleList([Joint(), Joint()])

    def step(batch: int) -> frozenset[Any]:
        for block in transformer.transformer_blocks:
            block(hidden_states=torch.zeros(batch, 2), encoder_hidden_states=torch.zeros(batch, 1))
        return frozenset(_compile.compiled_code())

    with _compile.compiled(transformer), _compile.compiling(lambda _: None, "both", "alone"):
        assert step(2) == {"both"}
        assert step(1) == {"both", "alone"}
    _compile._KEYS.clear()
    with _compile.compiled(transformer), _compile.compiling(lambda _: None, "prompt"):
        assert step(1) == {"prompt"}


def test_interrupted_compiling_is_announced_again() -> None:
    events: list[str] = []
    transformer = torch.nn.Module()
    blocks = [Block(str(i), events) for i in range(2)]
    transformer.transformer_blocks = torch.nn.ModuleList(blocks)
    with _compile.compiled(transformer):
        for _ in range(2):  # the second block of the first run never runs
            with _compile.compiling(lambda begins: events.append(str(begins)), "key"):
                blocks[0](torch.zeros(1, 2))
        assert events == ["True", "0", "True", "0"]
    assert _compile.compiled_code() == frozenset()


class Joint(torch.nn.Module):
    """A block that keeps what it was given."""

    def forward(self, **inputs: Any) -> Any:
        self.inputs = inputs
        return inputs


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("inputs_read", [False, True])
def test_first_block_gets_tensors_of_its_own_and_the_joint_one_is_freed(
    batch: int, inputs_read: bool
) -> None:
    transformer = torch.nn.Module()
    transformer.transformer_blocks = torch.nn.ModuleList([Joint(), Joint()])
    joint = torch.randn(batch, 5, 3)
    text, video = joint[:, :2], joint[:, 2:]
    expected = text.clone(), video.clone()
    with (
        _compile.compiled(transformer),
        _compile.compiling(lambda _: None, "key", inputs_read=inputs_read),
    ):
        block = transformer.transformer_blocks[0]
        block(hidden_states=video, encoder_hidden_states=text, temb=None)
    given = block.inputs
    if inputs_read:
        assert given["hidden_states"] is video
        assert joint.untyped_storage().nbytes() == 4 * joint.numel()
        return
    assert joint.untyped_storage().nbytes() == 0
    for tensor, values in zip(
        (given["encoder_hidden_states"], given["hidden_states"]), expected, strict=True
    ):
        assert torch.equal(tensor, values)
        assert tensor.stride() == torch.empty(tensor.shape).stride()
