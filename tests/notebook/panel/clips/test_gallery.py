"""The gallery of a folder's clips, and what is done with one, pressed from Python."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Video
from cogmagic._notebook.panel.widget import Panel

PROMPT = "a red circle <b>moves</b> right"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """A clip of the embedded model."""
    return cogmagic.generate(
        PROMPT, num_frames=9, num_inference_steps=1, seed=3, lean_decode=True, progress=False,
        save=tmp_path_factory.mktemp("made") / "made.mp4",
    )  # fmt: skip


@pytest.fixture
def gallery(panel: Panel, made: Video, cwd: Path) -> Any:
    """The gallery of a folder with 14 clips, of which the newest is damaged."""
    for age in range(14):
        path = cwd / f"clip-{age:02}.mp4"
        shutil.copy(made.path, path)
        os.utime(path, (1e9 - age,) * 2)
    (cwd / "broken.mp4").touch()
    panel.watch.meter.visible = True
    panel.results.gallery.wait()
    return panel.results.gallery


def shown(gallery: Any) -> list[str]:
    return [tile.clip.path.name for tile in gallery.tiles if tile.clip]


def test_gallery_has_pages_with_posters(gallery: Any) -> None:
    assert shown(gallery) == ["broken.mp4", *(f"clip-{n:02}.mp4" for n in range(11))]
    assert gallery.newer.disabled
    assert "<div>cannot be read: damaged or unfinished</div>" in gallery.tiles[0].picture.value
    assert "of 2: clips 1 to 12 of 15" in gallery.note.value
    assert all('src="data:image/jpeg' in tile.picture.value for tile in gallery.tiles[1:])
    gallery.older.click()
    gallery.wait()
    assert shown(gallery) == ["clip-11.mp4", "clip-12.mp4", "clip-13.mp4"]
    assert "of 2: clips 13 to 15 of 15" in gallery.note.value
    assert (gallery.number.value, gallery.number.max) == (2, 2)
    assert gallery.older.disabled
    gallery.newer.click()
    gallery.wait()
    assert shown(gallery)[0] == "broken.mp4"
    gallery.number.value = 2
    gallery.wait()
    assert shown(gallery)[0] == "clip-11.mp4"
    gallery.folder.value = "none"
    gallery.wait()
    assert shown(gallery) == []
    assert "none cannot be read (No such file" in gallery.note.value


def test_clips_are_searched_by_all_that_the_file_says(gallery: Any, cwd: Path) -> None:
    gallery.older.click()
    for text, names in (
        ("CIRCLE clip-0", [f"clip-{n:02}.mp4" for n in range(10)]),
        ("2001-09-09 tiny clip-03", ["clip-03.mp4"]),
        ("no such", []),
    ):
        gallery.search.value = text
        gallery.wait()
        assert shown(gallery) == names
    assert "No clip has &#x27;no such&#x27;." in gallery.note.value
    gallery.search.value = ""
    gallery.wait()
    assert len(shown(gallery)) == 12
    (cwd / "empty").mkdir()
    gallery.search.value = " "
    gallery.folder.value = "empty"
    gallery.wait()
    assert "No clips made by cogmagic in this folder yet." in gallery.note.value


def test_new_clip_comes_first_without_reading_the_others_again(
    gallery: Any, panel: Panel, made: Video, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._notebook.panel.clips.pages.clips_in", None)
    path = cwd / "clip-13.mp4"  # made again
    os.utime(path)
    panel.results.add(replace(made, path=path), {})
    gallery.wait()
    assert shown(gallery)[:2] == ["clip-13.mp4", "broken.mp4"]
    assert "clips 1 to 12 of 15" in gallery.note.value


def test_clip_of_another_session_is_used_again(gallery: Any, panel: Panel, cwd: Path) -> None:
    gallery.tiles[1].button.click()
    clip, fields = panel.results.clip, panel.fields
    assert "<video" in clip.player.value
    assert "<b>moves" not in clip.facts.value
    assert "&lt;b&gt;moves" in clip.facts.value
    clip.buttons["Copy as a cell"].click()
    cell = "%%cogvideo --model tiny --num-frames 9 --num-inference-steps 1 --seed 3 --lean-decode"
    assert clip.cell.value == f"{cell}\n{PROMPT}"
    panel.results.browser._on_message(None, {"copied": True}, None)
    assert "Copied." in clip.note.value
    fields.inputs["negative_prompt"].value = "left over"
    clip.buttons["Use these settings again"].click()
    assert fields.prompt() == PROMPT
    entered = {"seed": 3, "num_inference_steps": 1, "lean_decode": True, "negative_prompt": ""}
    assert entered.items() <= fields.entered().items()
    clip.buttons["Extend"].click()
    entered = {"model": "tiny-i2v", "extend": "clip-00.mp4", "lean_decode": False}
    assert entered.items() <= fields.entered().items()
    assert "Generate continues from the end of clip-00.mp4" in clip.note.value
    assert not fields.lock.value
    clip.buttons["Use as first frame"].click()
    assert [fields.entered()[name] for name in ("image", "extend")] == ["first_frame", None]
    assert "first_frame." in clip.note.value
    fields.inputs["model"].value = "tiny"
    clip.buttons["Use as first frame"].click()
    assert [fields.entered()[n] for n in ("image", "model")] == ["first_frame_2", "tiny-i2v"]
    assert fields.given.variables["first_frame"].size == (96, 96)
    assert "The model is now tiny-i2v" in clip.note.value


def test_clip_that_extends_another_takes_no_input_of_it(gallery: Any, panel: Panel) -> None:
    clip, uses = gallery.tiles[1].clip, panel.results.uses
    inputs = {"video": "in.mp4", "mask": "mask.png", "strength": 0.5, "paste_back": True}
    settings = {"model": "tiny-inp", "seed": 3, "num_inference_steps": 7, **inputs}
    uses.remember(clip.video(), settings)
    uses.extend(replace(clip, facts={**clip.facts, "model": "tiny-inp"}))
    entered = panel.fields.entered()
    assert (entered["model"], entered["extend"]) == ("tiny-inp", "clip-00.mp4")
    assert entered["num_inference_steps"] == 7
    assert [entered[name] for name in inputs] == [None] * 4
    assert panel.fields.check() == ""
    panel.fields.enter("", {"model": "tiny-inp", "video": "clip-00.mp4"})
    uses.as_first_frame(clip)
    assert [panel.fields.entered()[name] for name in ("image", "video")] == ["first_frame", None]


def test_settings_that_the_form_does_not_offer_are_an_error_and_the_plan_follows(
    gallery: Any, panel: Panel
) -> None:
    clip = gallery.tiles[1].clip
    panel.results.uses.remember(clip.video(), {"model": "5b", "seed": 3, "num_frames": 50})
    with pytest.raises(cogmagic.OutputError, match="Not all settings could be entered"):
        panel.results.uses.enter(clip)
    assert panel.fields.inputs["model"].value == "5b"
    assert panel.watch.plan is not None
    assert panel.watch.plan.request.model.name == "5b"


def test_clip_is_downloaded_by_the_page(
    gallery: Any, panel: Panel, made: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    browser = panel.results.browser
    monkeypatch.setattr(browser, "send", lambda *message: sent.append(message))
    browser._on_message(None, {"pressed": "one view"}, None)
    gallery.tiles[1].button.click()
    panel.results.clip.buttons["Download"].click()
    message = {"download": "clip-00.mp4", "mime": "video/mp4", "view": "one view"}
    assert sent == [(message, [made.path.read_bytes()])]


def test_deleting_asks_first(gallery: Any, panel: Panel, cwd: Path) -> None:
    gallery.tiles[1].button.click()
    clip = panel.results.clip
    clip.buttons["Delete"].click()
    question, delete, keep = clip.confirmation.children
    assert "Delete clip-00.mp4 for good?" in question.value
    assert clip.row.layout.display == "none"
    keep.click()
    assert clip.row.layout.display == ""
    assert (cwd / "clip-00.mp4").exists()
    clip.buttons["Delete"].click()
    delete.click()
    gallery.wait()
    assert "Deleted clip-00.mp4." in clip.note.value
    assert shown(gallery) == ["broken.mp4", *(f"clip-{n:02}.mp4" for n in range(1, 12))]
    assert len(list(cwd.iterdir())) == 14
    gallery.older.click()
    for _ in range(2):
        gallery.wait()
        gallery.tiles[0].button.click()
        clip.buttons["Delete"].click()
        delete.click()
    gallery.wait()
    assert gallery.number.value == 1, "the last page is empty"
    assert len(shown(gallery)) == 12


def test_clip_of_a_run_that_ends_before_the_answer_is_not_deleted(
    gallery: Any, panel: Panel, made: Video, cwd: Path
) -> None:
    gallery.tiles[1].button.click()
    clip = panel.results.clip
    clip.buttons["Delete"].click()
    panel.results.add(replace(made, path=cwd / "clip-05.mp4"), {})
    clip.confirmation.children[1].click()
    assert "Another clip is shown now." in clip.note.value
    assert len(list(cwd.iterdir())) == 15


def test_errors_of_a_clip_appear_below_its_actions(gallery: Any, panel: Panel, cwd: Path) -> None:
    clip = panel.results.clip
    gallery.tiles[0].button.click()
    assert "broken.mp4: damaged or unfinished." in clip.facts.value
    assert clip.buttons["Copy as a cell"].disabled
    path = cwd / "clip-01.mp4"
    path.write_bytes(path.read_bytes()[:-600])  # the header is whole
    gallery.folder.value = str(cwd)
    gallery.wait()
    (cut,) = (tile for tile in gallery.tiles if tile.clip and tile.clip.path == path)
    assert "<div>cannot be decoded</div>" in cut.picture.value
    cut.button.click()
    assert "clip-01.mp4 cannot be read as a video" in clip.facts.value
    assert clip.row.layout.display == ""
    next(t for t in gallery.tiles if t.clip.path.name == "clip-00.mp4").button.click()
    (cwd / "clip-00.mp4").write_bytes(b"another")
    for action in ("Use as first frame", "Delete"):
        clip.buttons[action].click()
    clip.confirmation.children[1].click()
    assert "has changed since it was listed" in clip.note.value
    assert (cwd / "clip-00.mp4").exists()
