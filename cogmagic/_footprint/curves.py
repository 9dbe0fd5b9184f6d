"""Curves of memory and work over the request's size: traced points, and lines between them.

A `Profile` holds them for one model in one dtype. Those of the catalogue's models are stored in
``footprints.json``, which ``docs/benchmarks/trace_footprints.py`` writes; reading them needs
neither torch nor diffusers.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

from cogmagic._footprint.configs import table
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.model import Dtype

__all__ = [
    "Curve",
    "Part",
    "Passes",
    "Peak",
    "Profile",
    "layer_kind",
    "parabola",
    "read",
    "stored_profile",
]


@dataclass(frozen=True)
class Part:
    """One component of the pipeline, in bytes of parameters and buffers as the loader loads it."""

    weights: int
    largest_leaf: int
    """Bytes of the largest module's directly owned parameters."""
    block: int
    """Bytes of one of the repeated blocks; 0 where none repeat."""
    blocks: int
    linear_numel: int = 0
    """Numbers in the weights of a block's linear layers that a `Storage` can narrow."""
    linear_rows: int = 0
    """Output features of those layers."""
    itemsize: int = 0
    """Bytes of a number in them."""
    tensors: int = 0
    """Parameters that a pass needs."""
    spare: int = 0
    """Bytes that a pass does not need: those of the VAE's encoder."""


@dataclass(frozen=True)
class Peak:
    """Most bytes alive at once: without weights, and with those of the running leaf module."""

    peak: int
    leaf_peak: int
    mapped: int = 0
    """Bytes of memory newly mapped, if free memory is returned before each leaf module."""
    ahead_peak: int = 0
    """Most bytes alive at once with the weights of the running leaf module and of the next; 0 where
    nothing streams leaf modules."""


@dataclass(frozen=True)
class Curve:
    """Peaks over a size (tokens, or a tile's area): `at` ascending, one `peak` for each.

    A peak is the largest of several sums of tensors, each affine in the size, so it is convex: a
    line between two of its points is never below it.
    """

    at: tuple[int, ...]
    peak: tuple[int, ...]
    leaf_peak: tuple[int, ...]
    mapped: tuple[int, ...]

    @classmethod
    def through(cls, points: Sequence[tuple[int, Peak]]) -> Curve:
        """The curve through traced (size, peak)s; of several at one size, the highest counts."""
        highest: dict[int, Peak] = {}
        for size, peak in points:
            other = highest.get(size, peak)
            highest[size] = Peak(
                max(peak.peak, other.peak),
                max(peak.leaf_peak, other.leaf_peak),
                max(peak.mapped, other.mapped),
            )
        at = tuple(sorted(highest))
        peaks = [highest[x] for x in at]
        return cls(
            at,
            tuple(p.peak for p in peaks),
            tuple(p.leaf_peak for p in peaks),
            tuple(p.mapped for p in peaks),
        )

    def __call__(self, size: int) -> Peak:
        """The peaks at `size`: linear between the points, extrapolated beyond the ends."""
        if len(self.at) == 1 and size != self.at[0]:
            raise ValueError(f"traced at {self.at[0]} only, not at {size}")
        i = min(max(bisect_left(self.at, size), 1), len(self.at) - 1)
        lines = (self.peak, self.leaf_peak, self.mapped)
        return Peak(*(self._line(values, i, size) for values in lines))

    def share(self, size: int, whole: int) -> Peak:
        """The peaks at a share of `whole`: in proportion, where only the whole was traced.

        Transformers with learned positions run at one size alone, but a rank has a part of it.
        """
        if size == whole or len(self.at) > 1:
            return self(size)
        full = self(whole)
        amounts = full.peak, full.leaf_peak, full.mapped
        peak, leaf_peak, mapped = (-(-value * size // whole) for value in amounts)
        beside = full.leaf_peak - full.peak  # a layer's weights are no less in a share
        return Peak(peak, max(leaf_peak, peak + beside), mapped)

    def _line(self, values: tuple[int, ...], i: int, size: int) -> int:
        if i == 0:
            return values[0]
        run, rise = self.at[i] - self.at[i - 1], values[i] - values[i - 1]
        return values[i] - (self.at[i] - size) * rise // run  # rounds up


@dataclass(frozen=True)
class Passes:
    """The passes over one tile of the VAE: curves over the tile's area (latents or pixels).

    A later pass counts what earlier passes over the same tile cache for it (``conv_cache``), but
    not what they returned. The third pass stands for all later ones.
    """

    curves: tuple[Curve, ...]
    cache: Curve
    """The cache that the last pass leaves."""
    operations: tuple[float, ...]
    """Operations of each pass, per unit of area."""


@dataclass(frozen=True)
class Profile:
    """All that the footprints of one model in one dtype are computed from."""

    text_encoder: Part
    transformer: Part
    vae: Part
    buffers: int
    """Bytes of buffers, which sequential offload leaves on the device throughout."""
    lookup: Peak
    """Of one prompt's tokens in the text encoder's table, which precedes all matrix products."""
    encode: Peak
    """Of one prompt through the text encoder's blocks; `Peak.ahead_peak` with the lookup."""
    encode_operations: float
    denoise: Mapping[int, Curve]
    """By batch size, over tokens per batch item."""
    denoise_operations: Mapping[int, tuple[float, float, float]]
    """By batch size: ``a + b * tokens + c * tokens**2``."""
    after_linears: Mapping[int, Mapping[str, Curve]]
    """By batch size and kind of linear layer (``attn1.to_q``, ``proj_out``), over tokens: the most
    bytes alive when such a layer has made its output, to which an adapter adds its own."""
    around_blocks: Mapping[int, Curve]
    """By batch size, over tokens: as `peak` the most bytes alive outside the transformer's blocks,
    as `leaf_peak` those alive when a block begins. Speedups change what is alive within."""
    decode: Passes
    decode_lean: Passes
    """The same with fewer tensors alive (``lean_decode``)."""
    decode_fast: Passes
    """The same in fewer passes over memory (`Speedups.decode`), with the operations of `decode`."""
    encode_image: Passes | None
    encode_video: Passes | None = None
    """Passes over the frames of a clip, of models that take one."""


def layer_kind(name: str) -> str:
    """The name of a transformer's layer without the number of its block: ``attn1.to_q``."""
    return re.sub(r"^transformer_blocks\.\d+\.", "", name)


def parabola(points: Sequence[tuple[int, int]]) -> tuple[float, float, float]:
    """The (a, b, c) of ``a + b * n + c * n * n`` through three of the points, or a constant."""
    points = list(dict(points).items())  # VOID's passes are alike, whatever the number of frames
    if len(points) < 3:
        return float(points[-1][1]), 0.0, 0.0
    (x, p), (y, q), (z, r) = points[0], points[len(points) // 2], points[-1]
    c = (Fraction(r - q, z - y) - Fraction(q - p, y - x)) / (z - x)
    b = Fraction(q - p, y - x) - c * (x + y)
    return float(p - b * x - c * x * x), float(b), float(c)


def read(profile: dict[str, Any]) -> Profile:
    """The profile from the plain dict that ``dataclasses.asdict`` and JSON made of it."""
    return Profile(
        **{name: Part(**profile[name]) for name in WEIGHTED_COMPONENTS},
        buffers=profile["buffers"],
        lookup=Peak(**profile["lookup"]),
        encode=Peak(**profile["encode"]),
        encode_operations=profile["encode_operations"],
        denoise={int(batch): _curve(c) for batch, c in profile["denoise"].items()},
        denoise_operations={int(b): tuple(o) for b, o in profile["denoise_operations"].items()},
        after_linears={
            int(batch): {kind: _curve(c) for kind, c in kinds.items()}
            for batch, kinds in profile["after_linears"].items()
        },
        around_blocks={int(b): _curve(c) for b, c in profile["around_blocks"].items()},
        decode=_passes(profile["decode"]),
        decode_lean=_passes(profile["decode_lean"]),
        decode_fast=_passes(profile["decode_fast"]),
        encode_image=_passes(profile["encode_image"]) if profile["encode_image"] else None,
        encode_video=_passes(profile["encode_video"]) if profile["encode_video"] else None,
    )


def _curve(curve: dict[str, Any]) -> Curve:
    return Curve(**{name: tuple(values) for name, values in curve.items()})


def _passes(passes: dict[str, Any]) -> Passes:
    curves = tuple(_curve(c) for c in passes["curves"])
    return Passes(curves, _curve(passes["cache"]), tuple(passes["operations"]))


@cache
def stored_profile(name: str, dtype: Dtype) -> Profile:
    """The stored profile of the catalogue's model `name`."""
    return read(table()["models"][name]["profiles"][dtype])
