"""Passes of a transformer on ranks, with all that changes a transformer besides."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.guidance import guidance_halves, guidance_interval
from cogmagic._pipeline.parallel.attention import groups
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.parallel.transformer import in_parallel
from cogmagic._pipeline.step_cache import ReusedSteps, StepCache, caching_steps
from cogmagic._pipeline.storage import STORAGES
from tests.helpers.architectures import inputs, run, transformer
from tests.helpers.attention import fake_kernels, off_by
from tests.pipeline.parallel.cases import everything


def kernel_difference(rank: Rank) -> tuple[float, float]:
    """With an attention kernel: the difference to one rank's, and to torch's own attention."""
    model = transformer("5b")
    given = inputs(model)
    with fake_kernels(rough=off_by(0.5)), guidance_halves(model):
        own = run(model, given)
        with attending(model, "rough"):
            alone = run(model, given)
            with in_parallel(model, rank):
                together = run(model, given)
            assert torch.equal(run(model, given), alone)
    return float((together - alone).abs().max()), float((together - own).abs().max())


def changed_differences(rank: Rank) -> dict[str, float]:
    """The difference to one rank's output with an adapter, in fp8, and with fp8 products."""
    from peft import LoraConfig

    made = {}
    for change in ("lora", "fp8", "fp8_products"):
        model = transformer("5b")
        given = inputs(model)
        if change == "lora":
            targets = ["to_q", "to_k", "to_v", "to_out.0"]
            model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
        else:
            STORAGES[change].store(model)
        with guidance_halves(model):
            alone = run(model, given)
            with in_parallel(model, rank):
                together = run(model, given)
        made[change] = float((together - alone).abs().max())
    return made


def compiled_difference(rank: Rank, backend: str) -> tuple[int, float]:
    """The graphs of one compiled block, and the difference to the output that is not compiled."""
    torch.compiler.reset()
    model = transformer("5b")
    given = inputs(model)
    graphs: list[Any] = []

    def counting(graph: Any, example: Any) -> Any:
        graphs.append(graph)
        return torch._dynamo.lookup_backend(backend)(graph, example)

    with in_parallel(model, rank):
        plain = run(model, given)
    block = model.transformer_blocks[1]
    block.forward = torch.compile(block.forward, dynamic=False, fullgraph=True, backend=counting)
    for _ in range(2):  # as in two runs: the second uses the code of the first
        with in_parallel(model, rank):
            made = run(model, given)
    return len(graphs), float((made - plain).abs().max())


SCALES = (1.0, 1.0005, 1.05, -3.0, -3.0, -2.9, 5.0)
"""What the inputs of successive steps are multiplied by."""


def cached_steps(rank: Rank, threshold: float, halves: bool) -> tuple[int, int, float]:
    """Passes that were skipped on one rank and on several, and the greatest difference."""
    model = transformer("5b")
    outputs, skipped = [], []
    for process in (None, rank):
        passes = 2 if halves else 1
        reused = ReusedSteps.of(StepCache("first-block", threshold), passes, process)
        with ExitStack() as stack:
            stack.enter_context(guidance_halves(model) if halves else nullcontext())
            stack.enter_context(in_parallel(model, rank) if process else nullcontext())
            stack.enter_context(caching_steps(model, reused))
            outputs.append(torch.stack([run(model, inputs(model, scale=s)) for s in SCALES]))
        skipped.append(reused.skipped)
    alone, together = outputs
    return skipped[0], skipped[1], float((together - alone).abs().max())


def cached_interval(rank: Rank, halves: bool) -> tuple[int, int, float]:
    """`cached_steps` with guidance in the first three steps: all but the first of each kind."""
    model = transformer("5b")
    outputs, steps = [], []
    for process in (None, rank):
        guided = range(3)
        reused = ReusedSteps.of(StepCache("first-block", 0.99), 1 + halves, process, guided)
        with ExitStack() as stack:
            stack.enter_context(guidance_halves(model) if halves else nullcontext())
            stack.enter_context(in_parallel(model, rank) if process else nullcontext())
            stack.enter_context(caching_steps(model, reused))
            stack.enter_context(guidance_interval(model, guided))
            outputs.append(
                torch.stack([run(model, inputs(model, scale=s)) for s in SCALES[:3] * 2])
            )
        steps.append(reused.steps)
    alone, together = outputs
    return steps[0], steps[1], float((together - alone).abs().max())


@contextmanager
def failing_block(model: Any, error: type[BaseException]) -> Any:
    def fail(*_: Any) -> None:
        raise error("in a block")

    handle = model.transformer_blocks[1].attn1.to_v.register_forward_hook(fail)
    try:
        yield
    finally:
        handle.remove()


def left_by_an_error(rank: Rank, error: type[BaseException]) -> bool:
    """Whether a pass that fails on every rank leaves the transformer as it was."""
    model = transformer("5b")
    given, before = inputs(model), everything(model)
    alone = run(model, given)
    try:
        with failing_block(model, error), in_parallel(model, rank):
            run(model, given)
    except error:
        same = everything(model) == before and groups == {}
        return same and torch.equal(run(model, given), alone)
    return False


def decisions(rank: Rank) -> list[Any]:
    """What ranks agree on, and what rank 0 shares."""
    made: list[Any] = [rank.agree(False), rank.agree(rank.index == 1), rank.agree(True)]
    made.append(rank.shared(lambda: {"from": rank.index, "embeds": torch.ones(2)})["from"])
    made.append(rank.summed(torch.tensor([1.0, rank.index])).tolist())
    made.append(rank.summed(torch.tensor([1.0, rank.index]), halves=True).tolist())
    return made


def shared_failure(rank: Rank, error: type[BaseException]) -> str:
    """The error of each rank where rank 0 fails to make what it shares."""

    def make() -> None:
        raise error("no text encoder")

    try:
        rank.shared(make)
    except BaseException as raised:
        assert not rank.agree(False)  # the ranks still work together
        return f"{type(raised).__name__}: {raised}"
    return ""
