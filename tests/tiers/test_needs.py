"""What torch's allocator must be given for the tensors of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from cogmagic import Request
from cogmagic._footprint.footprint import Footprint, footprint
from cogmagic._tiers.base import Variant
from cogmagic._tiers.needs import allocatable, reserved_bytes, workspace
from cogmagic._tiers.registry import TIERS
from cogmagic._units import GIB, MIB


def test_allocator_loses_most_in_decoding_and_nothing_where_there_are_no_tensors() -> None:
    whole, least = round(GIB * 1.02), round(0.15 * GIB)
    assert reserved_bytes({"load": 0}) == 0
    for phase in ("load", "encode", "denoise", "lean decode"):
        assert reserved_bytes({"decode": 0, phase: GIB}) == whole + least
    assert reserved_bytes({"encode": GIB, "decode": GIB}) == whole + round(0.6 * GIB)
    assert reserved_bytes({"encode": 2 * GIB, "decode": GIB}) == round(2.04 * GIB) + least


def test_tensors_under_a_cap_need_no_more_than_the_cap() -> None:
    for cap in (GIB, 8 * GIB):
        assert reserved_bytes({"denoise": allocatable(cap)}) == pytest.approx(cap, abs=2)
    assert allocatable(0) == 0


@pytest.mark.parametrize(
    ("capability", "mebibytes"), [(None, 9), ((7, 5), 9), ((8, 9), 9), ((9, 0), 33), ((12, 0), 33)]
)
def test_workspace_of_matrix_products_is_larger_from_hopper_on(
    capability: tuple[int, int] | None, mebibytes: int
) -> None:
    assert workspace(capability) == mebibytes * MIB


@pytest.mark.parametrize("tier", sorted(TIERS.keys() - {"balanced"}))
def test_tiers_count_the_encoding_of_the_first_frame(tier: str) -> None:
    """But for balanced, where the same GPU decodes, which takes nine times as much."""
    request = Request.of("a fox", "5b-i2v", image=Image.new("RGB", (64, 48)))
    usual = footprint(request, "bfloat16")
    assert usual.encode_image is not None
    size = 100 * GIB  # more than any other phase takes
    large = replace(usual, encode_image=replace(usual.encode_image, peak=size, leaf_peak=size))

    def peak(f: Footprint) -> int:
        return max(max(gpu.values()) for gpu in TIERS[tier].phases(f, 0, Variant()))

    assert size <= peak(large) < size + peak(usual)
    assert peak(replace(usual, encode_image=None)) <= peak(usual) < size
