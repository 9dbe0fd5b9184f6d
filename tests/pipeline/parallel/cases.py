"""What the ranks run in the tests of this folder."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cogmagic
from cogmagic import Request
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.generate import generate_frames
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._pipeline.load import load
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.parallel.transformer import in_parallel
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._progress import Clock, silent
from tests.helpers.architectures import inputs, transformer
from tests.helpers.toy import PROMPT


@torch.no_grad()
def differences(
    rank: Rank, names: list[str], halves: bool = False, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """By architecture, the greatest difference to one rank, as a share of its greatest number."""
    return {name: _difference(rank, name, halves, dtype) for name in names}


def _difference(rank: Rank, name: str, halves: bool, dtype: torch.dtype) -> float:
    model = transformer(name).to(dtype)
    given = inputs(model)
    before = everything(model)
    with guidance_halves(model) if halves else nullcontext():
        alone = model(**given)[0]
    with in_parallel(model, rank):
        assert everything(model) != before
        together = model(**given)[0]
    assert everything(model) == before
    return float((together - alone).abs().max() / alone.abs().max())


def everything(model: Any) -> list[Any]:
    """The classes, hooks, overrides and attention processors of all modules."""
    return [
        (
            type(module),
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            "forward" in vars(module),
            type(getattr(module, "processor", None)),
        )
        for module in model.modules()
    ]


def frame_differences(rank: Rank, folder: str, requests: list[dict[str, Any]]) -> list[int]:
    """For each request, the greatest difference of a frame's value to one rank's, of 255.

    On other ranks than 0, the number of frames.
    """
    made = []
    for options in requests:
        together = frames(rank, folder, **options)
        if rank.first:
            delta = frames_of_one(folder, **options).astype(np.int16) - together
            made.append(int(np.abs(delta).max()))
        else:
            made.append(len(together))
    return made


@cache
def frames_of_one(folder: str, **options: Any) -> Any:
    """The frames of a request on one rank."""
    return frames(None, folder, **options)


@torch.no_grad()
def frames(rank: Rank | None, folder: str, **options: Any) -> Any:
    """The frames of a request; of one rank for None."""
    pipe = pipeline(folder)
    model = cogmagic.plan(model=folder).request.model
    request = Request.of(PROMPT, model, seed=1, num_inference_steps=2, **options)
    return generate_frames(pipe, request, Clock(silent), FiniteCheck(""), rank=rank)


@cache
def pipeline(folder: str) -> Any:
    """The pipeline of a checkpoint, loaded once per process."""
    return load(PipelineSpec(Path(folder), "t2v", "float32"))
