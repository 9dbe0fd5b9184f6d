"""A video: its player, its text, its copies."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from cogmagic import OutputError, Video
from cogmagic._video.formats.registry import read_metadata


def test_player_embeds_small_files_and_links_large_ones(video: Video) -> None:
    html = video.player_html()
    assert 'src="data:video/mp4;base64,' in html
    assert 'poster="data:image/jpeg;base64,' in html
    linked = replace(video, embed_limit=10).player_html()
    assert 'src="edge.mp4"' in linked
    assert "video/mp4" not in linked


def test_large_video_that_cannot_be_linked_is_a_picture_with_its_path_and_the_reason(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "<notebook>").mkdir()
    monkeypatch.chdir(tmp_path / "<notebook>")
    html = replace(video, embed_limit=1000).player_html()
    assert "<video" not in html
    assert html.startswith('<img alt="9 frames of 96×64 at 8 fps"')
    assert f"{video.path} cannot be linked: it is outside the notebook's folder" in unescape(html)
    assert "exceed the limit of 0.001 MB." in html
    assert "%config CogMagic.embed_limit_mb = 1." in html
    assert "&lt;notebook&gt;" in html
    assert "<video" in replace(video, embed_limit=1_000_000).player_html()


def test_repr_is_small_with_volatile_text_in_one_element(video: Video) -> None:
    bundle = video._repr_mimebundle_()
    stripped = re.sub(r'(?s)<div class="cogmagic-volatile".*?</div>', "", bundle["text/html"])
    assert "seed 3" in bundle["text/html"]
    assert "seed 3" not in stripped
    assert "<b>" not in stripped
    assert len(bundle["text/plain"]) < 300
    video.path.unlink()
    assert "no longer exists" in video.player_html()


def test_video_can_be_saved_to_another_path(video: Video, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    copy = video.save(tmp_path / "other" / "b.mp4")
    assert copy.path.read_bytes() == video.path.read_bytes()
    assert copy.path.name == "b.mp4"
    with pytest.raises(OutputError, match="already exists"):
        video.save(copy.path)
    assert video.save(copy.path, overwrite=True) == copy
    video.path.unlink()
    with pytest.raises(OutputError, match="cannot be read"):
        video.save(tmp_path / "c.mp4")
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == []


def test_video_in_memory_can_be_shown_and_saved(video: Video, tmp_path: Path) -> None:
    unsaved = replace(video, path=tmp_path / "never.mp4", unsaved=video.path.read_bytes())
    assert (unsaved.frames() == video.frames()).all()
    assert "base64" in unsaved.player_html()
    assert "not saved" in unsaved.facts_line()
    saved = unsaved.save(tmp_path)
    assert saved.unsaved is None
    assert saved.path.read_bytes() == video.path.read_bytes()


def test_damaged_or_missing_file_is_an_error_of_one_line(video: Video) -> None:
    video.path.write_bytes(video.path.read_bytes()[:400])
    for read in (video.frames, video.player_html, lambda: read_metadata(video.path)):
        with pytest.raises(OutputError, match="cannot be read as a video made by cogmagic"):
            read()
    video.path.unlink()
    with pytest.raises(OutputError, match="No such file"):
        video.frames()
