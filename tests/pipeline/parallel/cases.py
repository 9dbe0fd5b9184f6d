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
from cogmagic._progress import Clock, silent
from tests.helpers.toy import PROMPT

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "2b": {},
    "5b": {"use_rotary_positional_embeddings": True},
    "5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
        "in_channels": 8,
    },
    "1.5-5b": {"use_rotary_positional_embeddings": True, "patch_size_t": 2, "patch_bias": False},
    "1.5-5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "patch_bias": False,
        "in_channels": 8,
        "ofs_embed_dim": 8,
    },
}


def transformer(name: str) -> Any:
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=16,
        num_layers=2,
        text_embed_dim=32,
        time_embed_dim=8,
        sample_width=14,
        sample_height=10,
        sample_frames=17 if "patch_size_t" in ARCHITECTURES[name] else 9,
        max_text_seq_length=7,
        **({"in_channels": 4, "out_channels": 4} | ARCHITECTURES[name]),
    ).eval()


def inputs(model: Any, *, batch: int = 2, scale: float = 1.0) -> dict[str, Any]:
    """A pass over 35 tokens for each (temporal) patch: 105 or 70, which 2 and 3 do not divide."""
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    config, generator = model.config, torch.Generator().manual_seed(1)
    frames = 4 if config.patch_size_t else 3

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    given: dict[str, Any] = {
        "hidden_states": random(2, frames, config.in_channels, 10, 14)[:batch],
        "encoder_hidden_states": random(2, 7, 32)[:batch],
        "timestep": torch.tensor([5, 5])[:batch],
        "return_dict": False,
    }
    if config.use_rotary_positional_embeddings:
        given["image_rotary_emb"] = get_3d_rotary_pos_embed(
            embed_dim=16,
            crops_coords=((0, 0), (5, 7)),
            grid_size=(5, 7),
            temporal_size=frames // (config.patch_size_t or 1),
        )
    if config.ofs_embed_dim:
        given["ofs"] = torch.full((1,), 2.0)
    return given


def run(model: Any, given: dict[str, Any]) -> torch.Tensor:
    """The output of a pass, without gradients."""
    with torch.no_grad():
        out: torch.Tensor = model(**given)[0]
    return out


@torch.no_grad()
def differences(
    rank: Rank, names: list[str], halves: bool = False, dtype: torch.dtype = torch.float32
) -> dict[str, float]:
    """By architecture, the greatest difference to one rank, as a share of its greatest number."""
    return {name: _difference(rank, name, halves, dtype) for name in names}


def _difference(rank: Rank, name: str, halves: bool, dtype: torch.dtype) -> float:
    model = transformer(name).to(dtype)
    given = {
        key: value.to(dtype) if getattr(value, "dtype", None) == torch.float32 else value
        for key, value in inputs(model).items()
    }
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
    return load(Path(folder), "t2v", "float32")
