"""What is known of a model's memory and work: points that traces gave, and lines between them.

A `Profile` holds them for one model in one dtype. Those of the catalogue's models are kept in
``footprints.json``, which ``docs/benchmarks/trace_footprints.py`` writes; reading them needs
neither torch nor diffusers.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from cogmagic._catalog import Dtype
from cogmagic._errors import CheckpointError
from cogmagic._folder import read_json

__all__ = [
    "TABLE",
    "Configs",
    "Curve",
    "Part",
    "Passes",
    "Peak",
    "Profile",
    "configs_of",
    "decisive",
    "kept",
    "parabola",
    "read",
    "same",
    "table",
    "tokens_of",
]

Configs = dict[str, dict[str, Any]]
"""What each component's ``config.json`` says, by component."""

TABLE = Path(__file__).parent / "footprints.json"

# What of a configuration decides over memory and work; the rest (scaling factors, dropout, the
# sizes that rotary positions do not look at) may differ between checkpoints of one model.
_DECISIVE = {
    "text_encoder": (
        "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "feed_forward_proj", "vocab_size",
        "relative_attention_num_buckets",
    ),
    "transformer": (
        "num_attention_heads", "attention_head_dim", "in_channels", "out_channels",
        "time_embed_dim", "ofs_embed_dim", "text_embed_dim", "num_layers", "attention_bias",
        "patch_size", "patch_size_t", "temporal_compression_ratio", "max_text_seq_length",
        "activation_fn", "norm_elementwise_affine", "use_rotary_positional_embeddings",
        "use_learned_positional_embeddings",
    ),
    "vae": (
        "in_channels", "out_channels", "block_out_channels", "latent_channels",
        "layers_per_block", "norm_num_groups", "temporal_compression_ratio", "sample_height",
        "sample_width", "use_quant_conv", "use_post_quant_conv",
    ),
}  # fmt: skip
_BLOCKS, _WIDEST = 256, 2**20
_POSITIONS = ("sample_height", "sample_width", "sample_frames")  # of a stored grid of positions


@dataclass(frozen=True)
class Part:
    """One component of the pipeline. Bytes of parameters and buffers, as the loader loads it."""

    weights: int
    largest_leaf: int
    """Bytes of the largest module's directly owned parameters."""
    block: int
    """Bytes of one of the repeated blocks; 0 where none repeat."""
    blocks: int
    fp8_saves: int = 0
    """By how much a block is smaller with its linear layers kept in fp8."""
    tensors: int = 0
    """Parameters that a pass needs."""
    spare: int = 0
    """Bytes that a pass does not need: of a VAE, its encoder's."""


@dataclass(frozen=True)
class Peak:
    """Most bytes alive at once, without weights, and with those of the leaf that runs."""

    peak: int
    leaf_peak: int
    mapped: int = 0
    """Bytes of memory found anew, if what is free is given back before each leaf."""


@dataclass(frozen=True)
class Curve:
    """Peaks over a size (tokens, or a tile's area): `at` ascending, one `peak` for each.

    A peak is the largest of several sums of tensors, each affine in the size, so it is convex: a
    line between two points of it is never below it.
    """

    at: tuple[int, ...]
    peak: tuple[int, ...]
    leaf_peak: tuple[int, ...]
    mapped: tuple[int, ...]

    @classmethod
    def through(cls, points: Sequence[tuple[int, Peak]]) -> Curve:
        """The curve through traced (size, peak)s; of one size, the highest counts."""
        highest: dict[int, Peak] = {}
        for size, peak in points:
            other = highest.get(size, peak)
            highest[size] = Peak(
                max(peak.peak, other.peak),
                max(peak.leaf_peak, other.leaf_peak),
                max(peak.mapped, other.mapped),
            )
        at = tuple(sorted(highest))
        found = [highest[x] for x in at]
        return cls(
            at,
            tuple(p.peak for p in found),
            tuple(p.leaf_peak for p in found),
            tuple(p.mapped for p in found),
        )

    def __call__(self, size: int) -> Peak:
        """The peaks at `size`, linear between the points; the end's line goes on beyond it."""
        if len(self.at) == 1 and size != self.at[0]:
            raise ValueError(f"traced at {self.at[0]} only, not at {size}")
        i = min(max(bisect_left(self.at, size), 1), len(self.at) - 1)
        lines = (self.peak, self.leaf_peak, self.mapped)
        return Peak(*(self._line(values, i, size) for values in lines))

    def _line(self, values: tuple[int, ...], i: int, size: int) -> int:
        if i == 0:
            return values[0]
        run, rise = self.at[i] - self.at[i - 1], values[i] - values[i - 1]
        return values[i] - (self.at[i] - size) * rise // run  # rounds up


@dataclass(frozen=True)
class Passes:
    """The passes over one tile of the VAE: curves over the tile's area (latents or pixels).

    A later pass finds what earlier passes over the same tile keep for it (``conv_cache``), which
    is counted; what they gave out is not. The third pass stands for all that follow it.
    """

    curves: tuple[Curve, ...]
    cache: Curve
    """What the last pass keeps."""
    operations: tuple[float, ...]
    """Of each pass, per unit of area."""


@dataclass(frozen=True)
class Profile:
    """All that a footprint of one model in one dtype is made of."""

    text_encoder: Part
    transformer: Part
    vae: Part
    buffers: int
    """Bytes of buffers, which sequential offload leaves on the device throughout."""
    encode: Peak
    encode_operations: float
    denoise: Mapping[int, Curve]
    """By batch size, over tokens per batch item."""
    denoise_operations: Mapping[int, tuple[float, float, float]]
    """By batch size: ``a + b * tokens + c * tokens**2``."""
    decode: Passes
    decode_lean: Passes
    """The same with fewer tensors alive (`_lean_decode`)."""
    encode_image: Passes | None


def parabola(points: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """The (a, b, c) of ``a + b * n + c * n * n`` through three of the points, or a constant."""
    if len(points) < 3:
        return float(points[-1][1]), 0.0, 0.0
    (x, p), (y, q), (z, r) = points[0], points[len(points) // 2], points[-1]
    c = (Fraction(r - q, z - y) - Fraction(q - p, y - x)) / (z - x)
    b = Fraction(q - p, y - x) - c * (x + y)
    return float(p - b * x - c * x * x), float(b), float(c)


def tokens_of(config: dict[str, Any], clip: tuple[int, int, int]) -> int:
    """Patches of a latent clip (frames, height, width) in a transformer of that configuration."""
    frames, height, width = clip
    patch = config["patch_size"]
    across: int = (height // patch) * (width // patch)
    return frames // (config["patch_size_t"] or 1) * across


def read(profile: dict[str, Any]) -> Profile:
    """The profile that ``dataclasses.asdict`` and JSON made a plain dict of."""
    return Profile(
        **{name: Part(**profile[name]) for name in ("text_encoder", "transformer", "vae")},
        buffers=profile["buffers"],
        encode=Peak(**profile["encode"]),
        encode_operations=profile["encode_operations"],
        denoise={int(batch): _curve(c) for batch, c in profile["denoise"].items()},
        denoise_operations={int(b): tuple(o) for b, o in profile["denoise_operations"].items()},
        decode=_passes(profile["decode"]),
        decode_lean=_passes(profile["decode_lean"]),
        encode_image=_passes(profile["encode_image"]) if profile["encode_image"] else None,
    )


def _curve(curve: dict[str, Any]) -> Curve:
    return Curve(**{name: tuple(values) for name, values in curve.items()})


def _passes(passes: dict[str, Any]) -> Passes:
    curves = tuple(_curve(c) for c in passes["curves"])
    return Passes(curves, _curve(passes["cache"]), tuple(passes["operations"]))


@cache
def table() -> dict[str, Any]:
    """The kept profiles and configurations by model, and what configurations leave out."""
    loaded: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return loaded


@cache
def kept(name: str, dtype: Dtype) -> Profile:
    """The kept profile of the catalogue's model `name`."""
    return read(table()["models"][name]["profiles"][dtype])


def configs_of(folder: Path) -> Configs:
    """The configurations of a checkpoint, with the classes' defaults for what they leave out."""
    found = {}
    for part, defaults in table()["defaults"].items():
        path = folder / part / "config.json"
        found[part] = defaults | read_json(path)
        for key in _DECISIVE[part]:
            _check_size(path, key, found[part].get(key))
    return found


def _check_size(path: Path, key: str, value: object) -> None:
    """Refuse what would take for ever to build."""
    many = isinstance(value, list) and len(value) > _BLOCKS
    deep = key in ("num_layers", "layers_per_block") and type(value) is int and value > _BLOCKS
    if many or deep or (type(value) is int and abs(value) > _WIDEST):
        raise CheckpointError(
            f"{path} says {key} {value!r:.40}, more than any CogVideoX. Download or copy it again."
        )


def decisive(configs: Configs) -> Configs:
    """What of the configurations decides over memory and work."""
    found = {part: {key: configs[part][key] for key in keys} for part, keys in _DECISIVE.items()}
    transformer = configs["transformer"]
    if (
        transformer["use_learned_positional_embeddings"]
        or not transformer["use_rotary_positional_embeddings"]
    ):
        found["transformer"] |= {key: transformer[key] for key in _POSITIONS}
    return found


def same(configs: Configs) -> str | None:
    """The name of the kept model whose configurations decide the same, if there is one."""
    wanted = decisive(configs)
    for name, model in table()["models"].items():
        if model["configs"] == wanted:
            return str(name)
    return None
