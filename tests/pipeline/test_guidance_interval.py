"""A guidance interval, against diffusers' own pipeline with guidance off outside it."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import cogmagic
from cogmagic import Machine, Request
from cogmagic._footprint.trace import traced
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.guidance import guidance_interval
from cogmagic._pipeline.load import load, scheduler_for
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._planning.plan_json import as_json
from cogmagic._progress import Clock, silent
from cogmagic._session.session import Session
from cogmagic._video.report import request_facts
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT

STEPS = 4


def in_parts(pipe: Any, request: Request) -> Any:
    """The frames of diffusers' own pipeline, called for each part of the steps in turn.

    Guidance is off in parts outside the interval. The scheduler hands over what the pipeline's loop
    remembers from step to step.
    """
    scheduler = scheduler_for(pipe, request)
    original: Any = type(scheduler)

    class Part(original):  # type: ignore[misc]
        steps = range(0)
        old: Any = None

        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            super().set_timesteps(*args, **kwargs)
            self.every = self.timesteps
            self.timesteps = self.every[self.steps.start : self.steps.stop]

        @wraps(original.step)  # whose signature the pipeline reads
        def step(self, predicted: Any, *args: Any, **kwargs: Any) -> Any:
            if request.scheduler == "ddim":
                return super().step(predicted, *args, **kwargs)
            old, t, back, *others = args
            if old is None and self.steps.start:
                old, back = self.old, self.every[self.steps.start - 1]
            made = super().step(predicted, old, t, back, *others, **kwargs)
            self.old = made[1]
            return made

    pipe.scheduler = part = Part.from_config(scheduler.config)
    guided, count = request.guided_steps, request.num_inference_steps
    generator, latents = torch.Generator("cpu").manual_seed(request.seed), None
    parts = range(guided.start), guided, range(guided.stop, count)
    for part.steps in (steps for steps in parts if steps):
        made = pipe(
            PROMPT,
            height=request.height,
            width=request.width,
            num_frames=request.num_frames,
            num_inference_steps=count,
            guidance_scale=request.guidance_scale if part.steps == guided else 1.0,
            use_dynamic_cfg=request.use_dynamic_cfg,
            generator=generator,
            latents=latents,
            output_type="pil" if part.steps.stop == count else "latent",
            max_sequence_length=request.model.max_tokens,
        ).frames
        latents = made if part.steps.stop < count else None
    return made[0]


def digest(images: Any) -> str:
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


@pytest.mark.parametrize(
    "interval",
    [
        {"guidance_until": 0.5},
        {"guidance_from": 0.5},
        {"guidance_from": 0.25, "guidance_until": 0.6},
    ],
)
@pytest.mark.parametrize("scheduler", ["ddim", "dpm", "dynamic"])
def test_frames_equal_those_of_the_pipeline_without_guidance_outside(
    toy: Path, scheduler: str, interval: dict[str, float]
) -> None:
    model = cogmagic.plan(model=str(toy)).request.model
    model = replace(model, dynamic_guidance=scheduler == "dynamic")
    options = {"num_inference_steps": STEPS, "num_frames": 9, "seed": 1, "guidance_scale": 4}
    name = "ddim" if scheduler == "ddim" else "dpm"
    request = Request.of(PROMPT, model, scheduler=name, **options, **interval)
    assert request.use_dynamic_cfg == (scheduler == "dynamic")
    pipe = load(PipelineSpec(toy, "t2v", "float32"))
    with torch.no_grad():
        frames = generate_frames(pipe, request, Clock(silent), FiniteCheck(""))
        whole = generate_frames(
            pipe,
            replace(request, guidance_from=0, guidance_until=1),
            Clock(silent),
            FiniteCheck(""),
        )
    expected = digest(in_parts(pipe, request))
    assert hashlib.sha256(frames.tobytes()).hexdigest() == expected
    assert hashlib.sha256(whole.tobytes()).hexdigest() != expected


@pytest.mark.slow
def test_the_embedded_models_frames_equal_those_of_the_pipelines_own_call(
    cwd: Path, session: Session
) -> None:
    options = {"num_inference_steps": STEPS, "num_frames": 9, "seed": 1, "guidance_until": 0.5}
    video = cogmagic.generate(PROMPT, **options)
    model = cogmagic.plan().request.model
    pipe = load(PipelineSpec(embedded_folder(), "t2v", "float32"))
    assert video.report.frames_sha256 == digest(
        in_parts(pipe, Request.of(PROMPT, model, **options))
    )
    assert video.report.guided_steps == (2, STEPS)
    assert "guidance in 2 of 4 steps" in video.facts_line()
    facts = request_facts(Request.of(PROMPT, model, **options))
    assert (facts["guidance_from"], facts["guidance_until"]) == (0, 0.5)
    assert "guidance_until" not in request_facts(Request.of(PROMPT, model))  # batches go on


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy checkpoint with a block between the first and the last."""
    return save_checkpoint(tmp_path_factory.mktemp("deep") / "t2v", layers=3)


def report(folder: Path, **options: Any) -> cogmagic.Report:
    options = {
        "num_inference_steps": STEPS,
        "num_frames": 9,
        "seed": 1,
        "guidance_scale": 4,
    } | options
    return cogmagic.generate(PROMPT, model=str(folder), **options).report


@pytest.mark.slow
def test_every_tier_makes_the_same_frames_and_computes_half_outside(
    deep: Path, cwd: Path, session: Session
) -> None:
    made = report(deep, guidance_from=0.5, tier="none")
    assert session.loaded is not None
    transformer = session.loaded.pipe.transformer
    batches: list[int] = []
    handle = transformer.patch_embed.register_forward_hook(
        lambda _, given, __: batches.append(len(given[1]))
    )
    assert report(deep, guidance_from=0.5, tier="none").frames_sha256 == made.frames_sha256
    assert batches == [1, 1, 2, 2]
    batches.clear()
    halves = report(deep, guidance_from=0.5, tier="none", guidance_halves=True)
    assert batches == [1] * 6
    assert halves.guided_steps == (2, STEPS)
    handle.remove()
    for tier in ("model", "stream", "staged", "sequential"):
        assert report(deep, guidance_from=0.5, tier=tier).frames_sha256 == made.frames_sha256, tier
    assert traces(session.loaded.pipe) == []


@pytest.mark.parametrize("v15", [False, True])
def test_image_to_video_outside_the_interval_is_as_without_guidance(
    tmp_path: Path, toy_i2v: Path, v15: bool
) -> None:
    config = {"ofs_embed_dim": 8} if v15 else {}
    folder = save_checkpoint(tmp_path / "v15", i2v=True, v15=True, **config) if v15 else toy_i2v
    options = {"num_inference_steps": 2, "num_frames": 17, "seed": 1}
    options["image"] = Image.new("RGB", (96, 96), "red")
    model = cogmagic.plan(model=str(folder)).request.model
    pipe = load(PipelineSpec(folder, "i2v", "float32"))
    unguided = partial(guidance_interval, pipe.transformer, range(0))
    with torch.no_grad():
        off, on = (
            generate_frames(
                pipe,
                Request.of(PROMPT, model, guidance_scale=scale, **options),
                Clock(silent),
                FiniteCheck(""),
                denoising=unguided if scale > 1 else nullcontext,
            )
            for scale in (1, 4)
        )
    assert (off == on).all()


@pytest.mark.parametrize("halves", [False, True])
def test_a_step_cache_begins_again_where_guidance_ends(
    deep: Path, cwd: Path, session: Session, halves: bool
) -> None:
    options = {"guidance_until": 0.5, "guidance_halves": halves}
    assert report(deep, cache="first-block:0.99", **options).reused_steps == (2, STEPS)
    plain, cached = report(deep, **options), report(deep, cache="first-block:0.0000001", **options)
    assert cached.reused_steps == (0, STEPS)
    assert cached.frames_sha256 == plain.frames_sha256


def test_steps_outside_need_less_memory(deep: Path) -> None:
    transformer = load(PipelineSpec(deep, "t2v", "float32")).transformer
    config, peaks = transformer.config, []
    given = {
        "hidden_states": torch.zeros(2, 3, config.in_channels, 8, 8),
        "encoder_hidden_states": torch.zeros(2, config.max_text_seq_length, config.text_embed_dim),
        "timestep": torch.tensor([5, 5]),
        "image_rotary_emb": [torch.ones(48, config.attention_head_dim)] * 2,
        "return_dict": False,
    }
    interval = guidance_interval(transformer, range(1))
    with traced(transformer) as trace, torch.no_grad(), interval:
        for _ in range(2):
            trace.restart()
            before = trace.live
            out = transformer(**given)
            peaks.append(trace.peak(before).peak)
            assert len(out[0]) == 2
            del out
    assert peaks[1] < 0.6 * peaks[0]


CARD = Machine.of("RTX 4090", ram=64)


def plan(**options: Any) -> Any:
    return cogmagic.plan(**{"model": "5b", "machine": CARD} | options)


def test_plans_count_the_seconds_of_both_kinds_of_step_and_the_memory_of_guided_ones() -> None:
    whole, none, half = plan(), plan(guidance_scale=1), plan(guidance_until=0.5)
    for both, other, mixed in zip(*(p.candidates for p in (whole, none, half)), strict=True):
        assert (both.tier, both.peak_vram) == (mixed.tier, mixed.peak_vram)
        mean = (both.step_seconds + other.step_seconds) / 2
        assert mixed.step_seconds == pytest.approx(mean)
        saved = both.seconds - mixed.seconds
        assert saved == pytest.approx(25 * (both.step_seconds - other.step_seconds))
    assert "guidance 6 in steps 1 to 25 only" in str(half)
    assert "guidance 6 in step 50 only" in str(plan(guidance_from=0.98))
    facts = json.loads(as_json(half))
    names = "guided_steps", "guidance_from", "guidance_until"
    assert [facts[name] for name in names] == [25, 0, 0.5]
    assert plan(guidance_until=0.5, guidance_halves=True).step_seconds < whole.step_seconds


def test_two_batch_sizes_are_two_codes() -> None:
    from cogmagic._planning.compile_time import code_keys

    once, twice = plan(speed="fast"), plan(speed="fast", guidance_until=0.5)
    assert (once.compile_seconds, twice.compile_seconds) == (18, 23)
    halves = plan(speed="fast", guidance_until=0.5, guidance_halves=True)
    assert halves.compile_seconds == 18
    both = code_keys(twice.request, twice.dtype, twice.resolved)
    guided, decoding = code_keys(once.request, once.dtype, once.resolved)
    off = plan(speed="fast", guidance_scale=1)
    assert both == (guided, *code_keys(off.request, off.dtype, off.resolved))
    assert both[-1] == decoding


def test_halves_on_two_gpus_take_as_long_outside() -> None:
    two = Machine.of("2x H100", ram=200)
    whole, half = (plan(machine=two, parallel=2, **o) for o in ({}, {"guidance_until": 0.5}))
    assert half.split == whole.split
    assert half.seconds == whole.seconds


def test_such_runs_are_not_learned_from() -> None:
    from tests.helpers.plans import five, job

    assert job().learned
    assert not replace(job(), request=five(guidance_until=0.5)).learned
