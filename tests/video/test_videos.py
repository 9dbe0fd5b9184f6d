"""The list of a batch's videos: its table, its gallery, and its contact sheets."""

from __future__ import annotations

import builtins
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cogmagic import OutputError, Request, Video, Videos
from cogmagic._models.batch_row import Row
from cogmagic._video import videos as module
from cogmagic._video.posters import PER_PAGE, poster, sheet_paths, write_sheet


def batch(video: Video, count: int, failed: tuple[int, ...] = ()) -> Videos:
    """A batch all of whose rows have the same file."""
    request = Request.of("an edge", "tiny", seed=3, size="96x64")
    rows = [Row(n, request) for n in range(1, count + 1)]
    made = []
    for row in rows:
        if row.number not in failed:
            path = video.path.with_name(f"{row.number:04}-3.mp4")
            path.hardlink_to(video.path)
            made.append(replace(video, path=path))
    return Videos(made, folder=video.path.parent, rows=rows, failed=dict.fromkeys(failed, "no"))


def test_it_is_a_list_with_failures(video: Video) -> None:
    videos = batch(video, 3, failed=(2,))
    assert len(videos) == 2
    assert isinstance(videos, list)
    assert repr(videos) == f"Videos(2 of 3 in {str(video.path.parent)!r}, 1 failed)"
    assert videos._repr_mimebundle_() == {
        "text/html": videos.gallery_html(), "text/plain": repr(videos)
    }  # fmt: skip


def test_table_is_a_list_of_dicts_without_pandas(
    video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = batch(video, 2, failed=(1,))
    frame = videos.table.reset_index().to_dict("records")
    monkeypatch.setitem(sys.modules, "pandas", None)
    lines = videos.table
    assert [line["row"] for line in lines] == [1, 2]
    assert [line["error"] for line in lines] == ["no", ""]
    assert lines[1] == frame[1]
    assert builtins.isinstance(lines, list)


@pytest.mark.parametrize("name", ["fox.gif", "fox.webm", "fox.png"])
def test_one_row_may_have_named_its_file(video: Video, name: str) -> None:
    request = Request.of("an edge", "tiny", seed=3, size="96x64")
    saved = video.save(video.path.with_name(name))
    videos = Videos([saved], folder=video.path.parent, rows=[Row(1, request)], failed={})
    assert list(videos.table["file"]) == [str(saved.path)]
    assert "cannot be read" not in videos.gallery_html()


def test_file_that_is_not_of_the_batch_is_not_in_its_table(video: Video) -> None:
    videos = batch(video, 2)
    videos[0] = videos[0].save(video.path.with_name("best.mp4"))
    assert list(videos.table["file"].isna()) == [True, False]


def test_poster_is_the_middle_frame(video: Video, frames: np.ndarray) -> None:
    small = np.asarray(poster(video, 96)).astype(int)
    assert np.abs(small - frames[4]).mean() < 12
    video.path.write_bytes(b"")
    with pytest.raises(OutputError):
        poster(video)


def test_gallery_is_bounded(video: Video, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SHOWN", 4)
    html = batch(video, 6).gallery_html()
    assert html.count("<figure") == 4
    assert "2 more videos are in" in html
    size = len(html) // 4
    monkeypatch.setattr(module, "_MOST_BYTES", size)
    assert replace_html(video) < 4


def replace_html(video: Video) -> int:
    for path in video.path.parent.glob("0*.mp4"):
        path.unlink()
    return batch(video, 6).gallery_html().count("<figure")


def test_gallery_survives_a_missing_file(video: Video) -> None:
    videos = batch(video, 2)
    videos[0].path.unlink()
    html = videos.gallery_html()
    assert "0001-3.mp4 cannot be read." in html
    assert html.count("<img") == 1


def test_contact_sheets_have_a_hundred_videos_each(cwd: Path) -> None:
    assert [p.name for p in sheet_paths(cwd, PER_PAGE)] == ["contact-sheet.png"]
    names = [p.name for p in sheet_paths(cwd, 10 * PER_PAGE)]
    assert names[:2] == ["contact-sheet-01.png", "contact-sheet-02.png"]
    assert len(names) == 10


def test_contact_sheet_shows_each_row_in_its_place(video: Video, frames: Any) -> None:
    path = video.path.with_name("contact-sheet.png")
    write_sheet(path, [("0001-3", video), ("0002-3", None), ("0003-3", video)])
    sheet = np.asarray(Image.open(path)).astype(int)
    assert sheet.shape == (2 * 148 + 4, 2 * 196 + 4, 3)
    expected = np.asarray(poster(video)).astype(int)
    for x, y in ((4, 4), (4, 152)):
        assert (sheet[y : y + 128, x : x + 192] == expected).all()
    assert (sheet[4:132, 200:392] == 211).all()  # a row without a video is grey
