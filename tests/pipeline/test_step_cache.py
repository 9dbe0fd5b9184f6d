"""Step cache: steps that reuse what the transformer's blocks added before."""

from __future__ import annotations

import gc
import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import cogmagic
from cogmagic._footprint.trace import traced
from cogmagic._footprint.work import cache_bytes
from cogmagic._pipeline.compile import compiled, compiling
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._pipeline.load import load, scheduler_for
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.step_cache import (
    ReusedSteps,
    StepCache,
    caching_steps,
    complete_step_cache,
)
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session.session import Session
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.lora_files import write_lora
from tests.helpers.pipelines import traces
from tests.helpers.plans import job
from tests.helpers.toy import PROMPT, QUICK


@pytest.mark.parametrize(
    ("text", "cache"),
    [
        ("", None),
        ("first-block", StepCache()),
        ("first-block:0.2", StepCache("first-block", 0.2)),
        (" first-block:.5 ", StepCache("first-block", 0.5)),
        ("first-block:1e-3", StepCache("first-block", 0.001)),
    ],
)
def test_a_text_names_a_step_cache(text: str, cache: StepCache | None) -> None:
    assert StepCache.of(text) == cache
    assert cache is None or StepCache.of(str(cache)) == cache


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("first-blok", "Unknown cache 'first-blok'. Did you mean 'first-block'?"),
        ("FBCache:0.1", "Unknown cache 'FBCache'. Did you mean 'first-block'?"),
        ("none", "Choose from: first-block. Leave it out to compute every step."),
        ("0.1", "--cache 0.1 names no step cache. Type --cache first-block:0.1."),
        (0.1, "--cache 0.1 names no step cache. Type --cache first-block:0.1."),
        (True, "cache=True is not the name of a step cache. Type --cache first-block:"),
        ("first-block:", "The threshold '' of --cache is not a number between 0 and 1"),
        *((f"first-block:{t}", f"The threshold '{t}' of") for t in ("0", "1", "-0.1", "1.5")),
        *((f"first-block:{t}", f"The threshold '{t}' of") for t in ("nan", "inf", "0,1", "8%")),
        *((f"first-block:{t}", f"The threshold '{t}' of") for t in ("0_1", "٠.١", "0.1:2")),
        ("first-block:1e-999", "The threshold '1e-999' of"),
    ],
)
def test_any_other_text_is_refused_with_what_to_type(text: object, error: str) -> None:
    with pytest.raises(cogmagic.RequestError) as raised:
        StepCache.of(text)
    assert error in str(raised.value)
    assert "\n" not in str(raised.value)


def test_names_and_thresholds_are_completed() -> None:
    assert complete_step_cache("fi") == ("first-block",)
    texts = complete_step_cache("first-block:")
    assert len(texts) > 1
    assert all(StepCache.of(text) for text in texts)
    assert complete_step_cache("first-block:0.0") == texts[:2]
    assert complete_step_cache("x") == ()


STEPS = 4
NONE, SOME = "first-block:0.0000001", "first-block:0.5"
"""Caches with which no step and some steps of the toy's are reused."""
TIERS = ("none", "model", "stream", "staged", "sequential")


class Reference(nn.Module):
    """First Block Cache in the plainest way: all blocks in one module."""

    def __init__(self, blocks: nn.ModuleList, threshold: float) -> None:
        super().__init__()
        self.blocks, self.threshold, self.skipped = blocks, threshold, 0
        self.before: list[torch.Tensor] = []

    def forward(self, hidden_states: Any, encoder_hidden_states: Any, **rest: Any) -> Any:
        head, text = self.blocks[0](hidden_states, encoder_hidden_states, **rest)
        added, hidden = head - hidden_states, head
        if self.before:
            old, tail = self.before
            if (added - old).abs().mean() / old.abs().mean() < self.threshold:
                self.skipped += 1
                return head + tail, text
        for block in self.blocks[1:]:
            hidden, text = block(hidden, text, **rest)
        self.before = [added, hidden - head]
        return hidden, text


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy checkpoint with a block between the first and the last."""
    return save_checkpoint(tmp_path_factory.mktemp("deep") / "t2v", layers=3)


@pytest.fixture(scope="module")
def expected(deep: Path) -> tuple[str, int]:
    """The digest of diffusers' own call with `Reference`, and the steps that it skipped."""
    pipe = load(PipelineSpec(deep, "t2v", "float32"))
    request = cogmagic.Request.of(PROMPT, cogmagic.plan(model=str(deep)).request.model)
    pipe.scheduler = scheduler_for(pipe, request)
    blocks = Reference(pipe.transformer.transformer_blocks, 0.5)
    pipe.transformer.transformer_blocks = nn.ModuleList([blocks])
    images = pipe(
        PROMPT, height=96, width=96, num_frames=9, num_inference_steps=STEPS, guidance_scale=4,
        generator=torch.Generator("cpu").manual_seed(1), output_type="pil", max_sequence_length=16,
    ).frames[0]  # fmt: skip
    raw = b"".join(image.tobytes() for image in images)
    return hashlib.sha256(raw).hexdigest(), blocks.skipped


def video(folder: Path, **options: Any) -> cogmagic.Video:
    options = QUICK | {"num_inference_steps": STEPS, "guidance_scale": 4} | options
    return cogmagic.generate(PROMPT, model=str(folder), **options)


@pytest.mark.parametrize("tier", TIERS)
def test_frames_equal_those_of_a_plain_implementation_in_every_tier(
    deep: Path, cwd: Path, session: Session, expected: tuple[str, int], tier: str
) -> None:
    digest, skipped = expected
    assert 0 < skipped < STEPS - 1
    made = video(deep, tier=tier, cache=SOME)
    assert made.report.frames_sha256 == digest
    assert made.report.reused_steps == (skipped, STEPS)
    assert f"--cache {SOME} · {skipped} of {STEPS} steps reused" in made.facts_line()
    assert session.loaded is not None
    assert traces(session.loaded.pipe) == []


def test_without_a_reused_step_every_bit_is_the_same(
    deep: Path, cwd: Path, session: Session
) -> None:
    plain, cached = video(deep).report, video(deep, cache=NONE).report
    assert cached.frames_sha256 == plain.frames_sha256
    assert (cached.reused_steps, plain.reused_steps) == ((0, STEPS), None)


def test_the_halves_of_guidance_are_compared_each_with_itself(
    deep: Path, cwd: Path, session: Session, transformer: Any
) -> None:
    made = video(deep, guidance_halves=True, cache="first-block:0.99").report
    assert made.reused_steps == (STEPS - 1, STEPS)
    reused = ReusedSteps(StepCache("first-block", 1e-6), passes=2)
    with guidance_halves(transformer):
        first = run(transformer)
        with caching_steps(transformer, reused):
            assert torch.equal(run(transformer), first)
            assert torch.allclose(run(transformer), first, atol=1e-6)
    assert not torch.equal(first[0], first[1])
    assert (reused.skipped, reused.steps) == (2, 1)


def test_an_adapter_works_with_it_and_a_later_run_is_as_without(
    deep: Path, cwd: Path, session: Session
) -> None:
    file = write_lora(
        cwd / "red.safetensors", load(PipelineSpec(deep, "t2v", "float32")).transformer
    )
    reused = video(deep, lora=file, cache="first-block:0.99").report
    assert reused.reused_steps == (STEPS - 1, STEPS)
    adapted = video(deep, lora=file).report
    assert reused.frames_sha256 != adapted.frames_sha256
    assert video(deep, lora=file, cache=NONE).report.frames_sha256 == adapted.frames_sha256


@pytest.mark.slow
def test_compiled_blocks_are_skipped(transformer: Any) -> None:
    """Latents are compared, not frames: the mp4 of noise differs by far more than rounding does."""
    outputs = []
    for context in (nullcontext(), compiled(transformer)):
        reused = ReusedSteps(StepCache("first-block", 0.5))
        inputs_read = compiling(lambda _: None, inputs_read=True)
        with context, inputs_read, caching_steps(transformer, reused):
            outputs.append([run(transformer, scale) for scale in (1.0, 1.0, -50.0, -50.0)])
        assert reused.skipped == 2
    for plain, made in zip(*outputs, strict=True):
        assert torch.allclose(plain, made, atol=1e-5)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_a_run_that_stops_leaves_nothing_behind(
    deep: Path, cwd: Path, session: Session, stop: type[BaseException]
) -> None:
    def at_third(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and progress.done == 3:
            raise stop

    with pytest.raises((cogmagic.Cancelled, stop)):
        video(deep, cache=SOME, on_progress=at_third)
    gc.collect()
    assert session.loaded is not None
    assert type(session.loaded.pipe.transformer.transformer_blocks) is nn.ModuleList
    assert not [o for o in gc.get_objects() if type(o).__name__ == "_Residuals" and o.first]


def test_attempts_and_rows_each_begin_without_residuals(
    deep: Path, cwd: Path, session: Session, expected: tuple[str, int]
) -> None:
    rows = [{"prompt": PROMPT, "seed": seed} for seed in (2, 1)]
    options = QUICK | {"num_inference_steps": STEPS, "guidance_scale": 4, "cache": SOME}
    del options["seed"]
    videos = list(cogmagic.generate_many(rows, model=str(deep), **options))
    assert videos[1].report.frames_sha256 == expected[0]
    assert videos[1].report.reused_steps == (expected[1], STEPS)


def test_it_outlasts_the_removal_of_hooks_that_came_before_it(transformer: Any) -> None:
    """As streamed weights have it after the first step (`LazyPrefetchGroupOffloadingHook`)."""
    from diffusers.hooks import HookRegistry, ModelHook

    class Passing(ModelHook):  # type: ignore[misc]
        """Does nothing."""

    blocks = transformer.transformer_blocks
    registries = [HookRegistry.check_if_exists_or_initialize(b) for b in blocks]
    for registry in registries:
        registry.register_hook(Passing(), "passing")
    reused = ReusedSteps(StepCache("first-block", 0.99))
    with caching_steps(transformer, reused):
        run(transformer)
        for registry in registries:
            registry.remove_hook("passing", recurse=False)
        run(transformer)
    assert reused.skipped == 1


def test_a_step_that_is_not_a_number_is_never_reused(transformer: Any) -> None:
    reused = ReusedSteps(StepCache("first-block", 0.99))
    with caching_steps(transformer, reused):
        run(transformer, float("nan"))
        run(transformer, float("nan"))
        run(transformer)
        assert reused.skipped == 0
        run(transformer)
    assert reused.skipped == 1


def test_a_transformer_of_one_block_computes_every_step(toy: Path) -> None:
    module = load(PipelineSpec(toy, "t2v", "float32")).transformer
    del module.transformer_blocks[1:]
    reused = ReusedSteps(StepCache("first-block", 0.99))
    with caching_steps(module, reused):
        run(module)
        run(module)
    assert reused.skipped == 0


def test_memory_is_as_planned(transformer: Any) -> None:
    """In the first step, in a reused one and in one that is computed again."""

    def peak(scale: float = 1.0) -> int:
        trace.restart()
        before = trace.live - stored
        run(transformer, scale)
        return trace.peak(before).peak

    config = transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    nbytes, stored = cache_bytes(2, 3 * 4 * 4, width, 4), 0
    with traced(transformer) as trace:
        plain = peak()
        with caching_steps(transformer, ReusedSteps(StepCache("first-block", 0.99))):
            assert peak() == plain + nbytes
            stored = nbytes
            assert peak() == plain + nbytes
            assert peak(scale=-50.0) == plain + nbytes
            assert trace.live >= nbytes
        stored = 0
        assert peak() == plain


@pytest.fixture
def transformer(deep: Path) -> Any:
    return load(PipelineSpec(deep, "t2v", "float32")).transformer


def run(transformer: Any, scale: float = 1.0) -> torch.Tensor:
    """The output of a pass with guidance: 3 latent frames of 8 × 8."""
    config = transformer.config
    clip = torch.linspace(-1, 1, 2 * 3 * config.in_channels * 64) * scale
    with torch.no_grad():
        out: torch.Tensor = transformer(
            hidden_states=clip.view(2, 3, config.in_channels, 8, 8),
            encoder_hidden_states=torch.zeros(2, config.max_text_seq_length, config.text_embed_dim),
            timestep=torch.tensor([5, 5]),
            image_rotary_emb=[torch.ones(48, config.attention_head_dim)] * 2,
            return_dict=False,
        )[0]
    return out


def test_the_plan_has_its_memory_in_every_tier_and_predicts_no_reused_step() -> None:
    machine = cogmagic.Machine.of("RTX 4090", ram=64)
    plain = cogmagic.plan(model="5b", machine=machine)
    cached = cogmagic.plan(model="5b", machine=machine, cache="first-block")
    nbytes = cache_bytes(2, 17550, 3072, 2)
    assert nbytes == 2 * 2 * 17550 * 3072 * 2
    for one, other in zip(cached.candidates, plain.candidates, strict=True):
        assert one.traced.gpus[0]["denoise"] >= other.traced.gpus[0]["denoise"] + nbytes
        assert one.traced.gpus[0]["decode"] == other.traced.gpus[0]["decode"]
    assert cached.step_seconds == plain.step_seconds
    assert "cache    first-block:" in str(cached)


def test_runs_with_it_are_not_learned_from() -> None:
    assert job().learned
    assert not job(MemoryOptions(cache="first-block")).learned
