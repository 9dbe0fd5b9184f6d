"""The masks of a batch: each is read once before the first row runs, and a wrong one is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cogmagic
from cogmagic import Progress, RequestError, Video
from cogmagic._api.batch.rows import rows_of, source_of
from cogmagic._progress import Clock
from cogmagic._session import batch_masks
from cogmagic._session.session import Session

CLIP = np.zeros((17, 96, 96, 3), np.uint8)
PART = np.zeros((96, 96), np.uint8)
PART[20:50, 10:60] = 255
BAD = {
    "empty": (PART * 0, "selects none of the pixels"),
    "full": (PART * 0 + 255, "selects all pixels"),
    "photo": (np.arange(96 * 96).reshape(96, 96).astype(np.uint8), "is a picture, not a mask"),
}


def saved(name: str, mask: Any) -> str:
    Image.fromarray(mask).save(f"{name}.png")
    return f"{name}.png"


def many(masks: list[str], **options: Any) -> Iterator[Video]:
    rows = [{"prompt": "a red circle", "mask": mask, "seed": 1} for mask in masks]
    small = {"size": "96x96", "frames": 9, "steps": 1, "save": "out", "progress": False}
    return cogmagic.generate_many(rows, model="tiny-inp", video=CLIP, **(small | options))


@pytest.mark.parametrize("kind", BAD)
def test_a_wrong_mask_of_a_later_row_is_named_before_anything_is_loaded(
    cwd: Path, session: Session, kind: str
) -> None:
    mask, message = BAD[kind]
    good, bad = saved("good", PART), saved("bad", mask)
    videos = many([good, good, bad])
    with pytest.raises(RequestError, match=rf"^Row 3: bad\.png {message}"):
        next(videos)
    assert session.loaded is None
    assert not Path("out").exists()  # so that the corrected rows may have it


def test_a_folder_that_was_there_stays(cwd: Path, session: Session) -> None:
    Path("out").mkdir()
    with pytest.raises(RequestError, match=r"^Row 1: "):
        next(many([saved("bad", PART * 0)]))
    assert not list(Path("out").iterdir())


def test_each_mask_is_read_once(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    whole = batch_masks.with_mask_read

    def counted(request: Any, check: Any) -> Any:
        read.append((request.mask.path, request.num_frames))
        return whole(request, check)

    monkeypatch.setattr(batch_masks, "with_mask_read", counted)
    a, b = saved("a", PART), saved("b", PART)
    table = [{"prompt": "x", "mask": mask, "frames": n} for mask, n in [(a, 9), (b, 9), (a, 17)]]
    options = {"model": "tiny-inp", "video": CLIP, "size": "96x96", "num_videos": 20}
    rows = rows_of(source_of({"prompts": table} | options)[0])
    seen: list[Progress] = []
    batch_masks.check_masks(rows, Clock(seen.append))
    assert len(rows) == 60
    assert read == [("a.png", 9), ("b.png", 9), ("a.png", 17)]
    assert [(p.phase, p.done, p.total) for p in seen] == [("read masks", n, 3) for n in range(4)]
