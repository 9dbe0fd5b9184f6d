"""LoRAs of a request: what is typed, which file it names, and what a request has of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cogmagic import CheckpointError, Request, RequestError
from cogmagic._api.options.parser import parse_line
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.completion import complete
from cogmagic._spelling import as_python
from tests.helpers.adapters import ATTENTION, RANK, diffusers_keys, factors, write

PROMPT = "a red circle moves to the right on a black background"


@pytest.fixture
def red(cwd: Path) -> Path:
    """``red.safetensors`` in the working directory."""
    return write(cwd / "red.safetensors", diffusers_keys(factors()))


def test_request_has_the_adapters_that_are_typed(red: Path) -> None:
    request = Request.of(PROMPT, "tiny", lora="red.safetensors@0.5")
    (adapter,) = request.loras
    assert (adapter.name, adapter.weight, adapter.source) == ("red.safetensors", 0.5, red.name)
    assert (adapter.format, adapter.file, adapter.download) == ("diffusers", red, 0)
    assert len(adapter.layers) == 8 * len(ATTENTION)
    (layer,) = (x for x in adapter.layers if x.module == "transformer_blocks.0.attn1.to_q")
    assert layer.down == "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight"
    assert (layer.rank, layer.inputs, layer.outputs, layer.scale) == (RANK, 192, 192, 1.0)
    assert layer.parameters == RANK * (192 + 192)
    assert request.checked() == request
    assert Request.of(PROMPT, "tiny").loras == ()


@pytest.mark.parametrize(
    ("typed", "weight"),
    [
        ("red.safetensors", 1.0),
        ("red", 1.0),
        ("./red.safetensors@.25", 0.25),
        (" red.safetensors @ 0.5", 0.5),
        ("red.safetensors@-1", -1.0),
        ("red.safetensors@0", 0.0),
        ("red.safetensors@1e-1", 0.1),
        (Path("red.safetensors"), 1.0),
        (("red.safetensors", 2), 2.0),
        ((Path("red.safetensors"), 0.5), 0.5),
        (["red.safetensors@0.5"], 0.5),
        ([("red.safetensors", 0.5)], 0.5),
    ],
)
def test_adapter_is_named_by_text_path_or_pair(red: Path, typed: object, weight: float) -> None:
    (adapter,) = Request.of(PROMPT, "tiny", lora=typed).loras
    assert (adapter.file, adapter.weight) == (red, weight)
    assert Request.of(PROMPT, "tiny", lora=adapter).loras == (adapter,)


@pytest.mark.parametrize("name", ["me@home/red.safetensors", "red@2.safetensors", "red@2"])
@pytest.mark.parametrize("weight", ["", "@0.5"])
def test_path_may_contain_an_at_sign(red: Path, name: str, weight: str) -> None:
    file = red.parent / name
    file.parent.mkdir(exist_ok=True)
    red.rename(file)
    adapter = Adapter.of(f"{name}{weight}")
    assert (adapter.file, adapter.weight) == (file, 0.5 if weight else 1.0)


@pytest.mark.parametrize("weight", ["x", "", "nan", "inf", "1e999", "1_0", "0.8.1", "1/64"])
def test_weight_is_a_finite_number(red: Path, weight: str) -> None:
    with pytest.raises(RequestError, match=r"is not a finite number\. Type --lora red\."):
        Adapter.of(f"red.safetensors@{weight}")


@pytest.mark.parametrize("value", [0.5, True, b"red.safetensors", {"red": 1}, ("red", True), [3]])
def test_other_values_are_refused(red: Path, value: object) -> None:
    with pytest.raises(RequestError):
        Request.of(PROMPT, "tiny", lora=value)


def test_replaced_weight_is_checked(red: Path) -> None:
    request = Request.of(PROMPT, "tiny", lora="red.safetensors")
    with pytest.raises(RequestError, match="is not a finite number"):
        replace(request, loras=(replace(request.loras[0], weight=float("nan")),)).checked()


def test_same_adapter_twice_is_refused(red: Path) -> None:
    with pytest.raises(RequestError, match=r"is given twice, .* 0\.5 and 1\. .*@1\.5"):
        Request.of(PROMPT, "tiny", lora=["red.safetensors@0.5", "./red.safetensors"])


def test_option_may_be_repeated_and_returns_to_a_cell() -> None:
    line = r'--lora "my loras/red.safetensors@0.5" --lora C:\loras\blue.safetensors --seed 1'
    options = parse_line(line, "%%cogvideo")
    assert options["lora"] == ["my loras/red.safetensors@0.5", r"C:\loras\blue.safetensors"]
    first = as_cell(PROMPT, options).splitlines()[0]
    assert parse_line(first.partition(" ")[2], "%%cogvideo") == options
    completion = complete("%%cogvideo --lora red.safetensors --l")
    assert completion is not None
    assert "--lora" in completion[1]
    with pytest.raises(RequestError, match=r"--lora needs a value\."):
        parse_line("--lora", "%%cogvideo")
    with pytest.raises(RequestError, match=r'needs quotes: --lora "my loras/red\.'):
        parse_line("--lora my loras/red.safetensors", "%%cogvideo")


@pytest.mark.parametrize(
    ("tag", "typed"),
    [
        ("<lora:style:0.8>", "--lora style@0.8"),
        ("<lora:style>", "--lora style"),
        ("<lora:style:0.8:0.5>", "--lora style@0.8"),
        ("<LORA: my style :1>", '--lora "my style@1"'),
        ("<lyco:a:1> and <lora:b:0.5>", "--lora a@1 --lora b@0.5"),
    ],
)
def test_tags_of_a1111_are_answered_with_options(tag: str, typed: str) -> None:
    for options in ({}, {"negative_prompt": tag}):
        with pytest.raises(RequestError) as raised:
            Request.of(PROMPT if options else f"a circle, {tag}", "tiny", **options)  # type: ignore[arg-type]
        assert str(raised.value).endswith(f"Delete it from the prompt, and type {as_python(typed)}")


def test_missing_file_names_the_nearest(red: Path) -> None:
    with pytest.raises(CheckpointError, match=r"No LoRA at rad.safetensors. Did you mean 'red'\?"):
        Adapter.of("rad.safetensors@0.5")
