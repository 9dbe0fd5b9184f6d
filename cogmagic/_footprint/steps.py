"""Traced denoising steps, and the curves through them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cogmagic._footprint.curves import Curve, Peak, parabola

__all__ = ["Step", "denoising_curves"]


@dataclass(frozen=True)
class Step:
    """One traced denoising step."""

    tokens: int
    """Text and video tokens per batch item."""
    peak: Peak
    operations: int
    after_linears: dict[str, Peak]
    """By `layer_kind`, what is alive when a linear layer has made its output."""
    around_blocks: Peak
    """The most bytes alive outside the blocks, and those alive when a block begins: see
    `Profile.around_blocks`."""


def denoising_curves(steps: Mapping[int, Sequence[Step]]) -> dict[str, Any]:
    """The fields of a profile that its steps make, by batch size."""
    each = steps.items()
    return {
        "denoise": {b: Curve.through([(s.tokens, s.peak) for s in all_]) for b, all_ in each},
        "denoise_operations": {
            b: parabola([(s.tokens, s.operations) for s in all_]) for b, all_ in each
        },
        "after_linears": {
            b: {
                kind: Curve.through([(s.tokens, s.after_linears[kind]) for s in all_])
                for kind in all_[0].after_linears
            }
            for b, all_ in each
        },
        "around_blocks": {
            b: Curve.through([(s.tokens, s.around_blocks) for s in all_]) for b, all_ in each
        },
    }
