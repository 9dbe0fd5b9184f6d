"""Masks at the times and the size of a request: what is selected, or one line."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cogmagic import Request, RequestError
from cogmagic._models.masks.levels import KEPT, REMOVED
from cogmagic._video.mask_reader import masked_frames, with_mask_read

CLIP = np.zeros((9, 48, 64, 3), np.uint8)
STILL = np.zeros((48, 64), bool)
STILL[10:30, 20:40] = True


def read(mask: Any, **options: Any) -> tuple[Request, Any]:
    request = Request.of("a fox", "tiny-inp", video=CLIP, mask=mask, size="128x64", **options)
    return with_mask_read(request, lambda: None)


@pytest.mark.parametrize(("invert", "inside"), [(False, REMOVED), (True, KEPT)])
def test_bars_are_kept_and_do_not_count(invert: bool, inside: int) -> None:
    request, pixels = read(STILL, fit="pad", invert_mask=invert)
    assert (pixels[:, :, :21] == KEPT).all()  # 85 of 128 columns show the mask
    assert (pixels[:, :, 107:] == KEPT).all()
    assert pixels[0, 25, 60] == inside
    assert pixels[0, 5, 60] == REMOVED + KEPT - inside
    assert request.mask is not None
    assert request.mask.share == pytest.approx((~STILL if invert else STILL).mean(), abs=0.01)


def test_a_mask_whose_end_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=8, options={"slicecrc": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        for number in range(9):
            frame = av.VideoFrame.from_ndarray(STILL * np.uint8(255), format="gray")
            for packet in stream.encode(frame):
                broken = av.Packet(bytes(packet)[:4]) if number > 3 else packet
                broken.stream, broken.pts, broken.dts = stream, number, number
                broken.time_base = Fraction(1, 8)
                file.mux(broken)
    with pytest.raises(RequestError, match=r"only 4 of the 9 frames that are used can be decoded"):
        read(path)


def test_given_frames_are_kept_at_both_ends() -> None:
    first, last = np.full((2, 64, 128, 3), 7, np.uint8), np.full((64, 128, 3), 9, np.uint8)
    request = Request.of("a fox", "tiny-inp", image=first[0], last_image=last, size="128x64")
    for given, count in ((None, 1), (first, 2)):
        clip, pixels = masked_frames(request, given)
        assert [n for n in range(17) if (pixels[n] == KEPT).all()] == [*range(count), 16]
        assert (clip[:count] == 7).all()
        assert (clip[-1] == 9).all()
