"""Whole clips on ranks: decoding, tiers, previews, and runs that stop."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cogmagic
from cogmagic import NonFiniteError, Progress, Request
from cogmagic._pipeline.decoding.fast import fast_decoding
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.load import load
from cogmagic._pipeline.parallel.decode import decoding_in_parallel
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._progress import Clock, silent
from tests.helpers.decoders import decoded, embedded_vae, latents, state
from tests.helpers.placing import placed
from tests.helpers.toy import PROMPT

DECODERS: dict[str, Any] = {"lean": lean_decoding, "fast": fast_decoding}


def decode_differences(rank: Rank) -> dict[str, tuple[float, int, int]]:
    """For each way of decoding: the difference to one rank's clip, and both numbers of calls.

    On other ranks than 0: the values received, 0, and the number of calls.
    """
    made, vae = {}, embedded_vae()
    sizes = {"plain": (7, 6), "lean": (7, 6), "fast": (7, 6), "one tile": (6, 5)}
    before = state(vae)
    for name, size in sizes.items():
        z = latents(3 if name == "fast" else 2, size, torch.float32)
        with DECODERS[name](vae) if name in DECODERS else nullcontext():
            alone, calls = decoded(vae, z) if rank.first else (z[:0], 0)
            dealt = decoding_in_parallel(vae, rank, z.permute(0, 2, 1, 3, 4))
            together, own = decoded(vae, z, dealt)
        difference = float((together - alone).abs().max()) if rank.first else together.numel()
        made[name] = difference, calls, own
    assert state(vae) == before
    return made


def request(pipe_folder: str, **options: Any) -> Request:
    model = cogmagic.plan(model=pipe_folder).request.model
    defaults = {"seed": 1, "num_inference_steps": 2, "num_frames": 9, "guidance_scale": 4.0}
    return Request.of(PROMPT, model, **defaults | options)


@torch.no_grad()
def tier_differences(
    rank: Rank, folder: str, task: Any, tiers: list[str], options: dict[str, Any]
) -> dict[str, int]:
    """By tier, the greatest difference of a frame's value to one rank's without offload."""
    about, made = request(folder, **options), {}
    pipe = load(PipelineSpec(Path(folder), task, "float32"))
    if not rank.first:
        pipe.text_encoder = None  # which only rank 0 needs
    run = partial(generate_frames, pipe, about, finite=FiniteCheck(""), clip=clip_of(about))
    alone = run(Clock(silent)) if rank.first else None
    for tier in tiers:
        with placed(pipe, tier, torch.device("cpu")):
            together = run(Clock(silent), rank=rank)
        made[tier] = 0 if alone is None else _greatest(alone, together)
    return made


def clip_of(about: Request) -> Any:
    """The frames to begin from, given as an array of the request's size."""
    return about.video and about.video.source


def _greatest(one: Any, other: Any) -> int:
    return int(np.abs(one.astype(np.int16) - other).max())


@torch.no_grad()
def stopped_at(rank: Rank, folder: str, stopper: int) -> tuple[str, list[tuple[str, int]]]:
    """The error, and the steps reported, of a run that one rank stops in step 2 of 4."""
    steps: list[tuple[str, int]] = []

    def follow(progress: Progress) -> None:
        steps.append((progress.phase, progress.done))

    def stopped() -> bool:
        return rank.index == stopper and steps[-1:] == [("denoise", 2)]

    pipe, about = (
        load(PipelineSpec(Path(folder), "t2v", "float32")),
        request(folder, num_inference_steps=4),
    )
    try:
        generate_frames(pipe, about, Clock(follow, stopped), FiniteCheck(""), rank=rank)
    except KeyboardInterrupt:
        return "KeyboardInterrupt", steps[-1:]
    return "", steps


@torch.no_grad()
def progress_and_previews(rank: Rank, folder: str) -> tuple[list[Any], int, tuple[int, ...]]:
    """The steps of a run's decoding, how many previews it showed, and the shape of its frames."""
    steps: list[Any] = []
    shown: list[Any] = []

    def follow(progress: Progress) -> None:
        if progress.phase == "decode":
            steps.append((progress.done, progress.total))

    about = request(folder, width=240, height=160)
    pipe = load(PipelineSpec(Path(folder), "t2v", "float32"))
    frames = generate_frames(
        pipe, about, Clock(follow), FiniteCheck(""), on_preview=shown.append, rank=rank
    )
    return steps, len(shown), frames.shape


@torch.no_grad()
def not_finite(rank: Rank, folder: str, owner: int) -> str:
    """The error of a rank where one rank decodes to NaN."""
    pipe, about = (
        load(PipelineSpec(Path(folder), "t2v", "float32")),
        request(folder, width=240, height=160),
    )
    if rank.index == owner:
        pipe.vae.decoder.conv_out.conv.bias.data.fill_(float("nan"))
    try:
        generate_frames(pipe, about, Clock(silent), FiniteCheck("Advice."), rank=rank)
    except NonFiniteError as error:
        return str(error)
    return ""
