"""Checkpoint configurations, and the parts of them that determine memory and work."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from cogmagic._models.catalog import MODELS
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.family import (
    FIXED_CONFIG,
    POSITION_SIZES,
    Configs,
    padded_frames,
    video_tokens,
)
from cogmagic._models.model import Model
from cogmagic._models.request import Request
from cogmagic._models.seen import seen_latents, window_lengths
from cogmagic._models.tiling import TileGrid

__all__ = [
    "TABLE",
    "configs_of",
    "decisive",
    "grid_of",
    "latent_clip",
    "pass_clip",
    "same",
    "stored_name",
    "table",
    "tokens_of",
]


TABLE = Path(__file__).parent / "footprints.json"


def configs_of(folder: Path) -> Configs:
    """The configurations of a checkpoint, with the classes' defaults for missing keys."""
    configs = {}
    for part, defaults in table()["defaults"].items():
        path = folder / part / "config.json"
        configs[part] = defaults | read_json(path)
    return configs


def decisive(configs: Configs) -> Configs:
    """The parts of the configurations that determine memory and work."""
    picked = {
        part: {key: configs[part][key] for key in keys} for part, keys in FIXED_CONFIG.items()
    }
    transformer = configs["transformer"]
    if (
        transformer["use_learned_positional_embeddings"]
        or not transformer["use_rotary_positional_embeddings"]
    ):
        picked["transformer"] |= {key: transformer[key] for key in POSITION_SIZES}
    return picked


def same(configs: Configs) -> str | None:
    """The name of the stored model whose decisive configuration is the same, or None."""
    key = decisive(configs)
    for name, model in table()["models"].items():
        if model["configs"] == key:
            return str(name)
    return None


def stored_name(model: Model) -> str | None:
    """The catalogue's model of that architecture, by the rule that identifies folders."""
    key = model.architecture, model.max_tokens
    return next((m.name for m in MODELS if (m.architecture, m.max_tokens) == key), None)


def grid_of(request: Request, configs: Configs) -> TileGrid:
    """The VAE's tile grid for the request's pictures."""
    return TileGrid.of_config(request.height, request.width, configs["vae"])


def latent_clip(request: Request, configs: Configs) -> tuple[int, int, int]:
    """Frames, height and width of the latents to denoise, CogVideoX 1.5's padding included."""
    if request.model.inpaints:
        return seen_latents(request), *grid_of(request, configs).size
    patch = configs["transformer"]["patch_size_t"]
    return padded_frames(request.latent_frames, patch), *grid_of(request, configs).size


def pass_clip(request: Request, configs: Configs) -> tuple[int, int, int]:
    """The latents of the transformer's largest pass: those of a window, where there are several."""
    frames, *size = latent_clip(request, configs)
    window = max(window_lengths(request)) if request.model.inpaints else frames
    return window, *size  # type: ignore[return-value]


def tokens_of(config: dict[str, Any], clip: tuple[int, int, int]) -> int:
    """Patches of a latent clip (frames, height, width) in a transformer of that configuration."""
    return video_tokens(clip, config["patch_size"], config["patch_size_t"])


@cache
def table() -> dict[str, Any]:
    """The stored profiles and configurations by model, and the classes' default configurations."""
    loaded: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return loaded
