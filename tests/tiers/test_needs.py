"""What torch's allocator must be given for the tensors of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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


@pytest.mark.parametrize("tier", sorted(TIERS.keys() - {"balanced"}))
def test_encoding_a_video_is_a_phase_of_its_own(tier: str) -> None:
    """The text encoder has not left yet with no offload and with model offload."""
    request = Request.of("a fox", "5b", video=np.zeros((49, 8, 8, 3), np.uint8))
    f = footprint(request, "bfloat16")
    assert f.encode_video is not None
    text, transformer, vae = f.text_encoder.weights, f.transformer.weights, f.vae.weights
    work = f.encode_video.leaf_peak if tier == "sequential" else f.encode_video.peak
    beside = {"none": text + transformer + vae, "model": text + vae, "sequential": 0}
    (phases,) = TIERS[tier].phases(f, 1000, Variant())
    assert phases["encode video"] == beside.get(tier, vae) + work + 1000
    plain = footprint(replace(request, inputs={}), "bfloat16")
    (others,) = TIERS[tier].phases(plain, 1000, Variant())
    assert "encode video" not in others
    stays = vae if tier == "model" else 0  # nothing evicts the VAE before the end
    clip = 49 * 480 * 720 * 3 * 2
    assert phases["denoise"] - others["denoise"] == clip + stays
