"""The clips of a folder: what is listed, and how one is made again."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic import OutputError, Request, Video
from cogmagic._api.options.parser import parse_line
from cogmagic._notebook.cell_text import as_cell, changed_options
from cogmagic._video.clip_settings import clip_settings
from cogmagic._video.formats.registry import FORMATS, read_metadata
from cogmagic._video.library import clips_in, delete_clip, stored_clip
from cogmagic._video.report import Report, metadata


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """A clip of the embedded model, with options that its file must record."""
    folder = tmp_path_factory.mktemp("made")
    return cogmagic.generate(
        "a red circle <b>moves</b> right", num_frames=9, num_inference_steps=2, seed=3,
        tier="none", lean_decode=True, save=folder / "made.mp4", progress=False,
    )  # fmt: skip


@pytest.fixture
def facts(made: Video) -> dict[str, Any]:
    return read_metadata(made.path)


def put(path: Path, facts: dict[str, Any], age: int = 0) -> None:
    """Write a small clip with these facts, last changed `age` seconds ago."""
    kind = FORMATS[path.suffix or ".png"]
    kind.write(path, np.zeros((3, 64, 96, 3), np.uint8), 8, facts)
    os.utime(path, (time.time() - age,) * 2)


def test_clips_of_every_format_are_listed_the_newest_first(
    facts: dict[str, Any], tmp_path: Path
) -> None:
    for age, name in enumerate(("a.MP4", "b.webm", "c.gif", "frames")):
        put(tmp_path / name.lower(), facts, age)
    clips = list(clips_in(tmp_path))
    assert [clip.path.name for clip in clips] == ["a.mp4", "b.webm", "c.gif", "frames"]
    assert [clip.video().format for clip in clips] == ["mp4", "webm", "gif", "png"]
    assert all(clip.prompt == facts["prompt"] and not clip.error for clip in clips)


def test_files_that_are_no_clips_are_left_out_and_damaged_ones_say_so(
    made: Video, facts: dict[str, Any], tmp_path: Path
) -> None:
    others = [{"title": "a trip"}, facts | {"seed": "x"}, facts | {"extended": ["a", None]}]
    for i, other in enumerate((*others, facts | {"peak_allocated": [1]}, facts | {"prompt": 7})):
        put(tmp_path / f"other-{i}.mp4", other)
    for name in (".hidden.mp4", "notes.txt"):
        shutil.copy(made.path, tmp_path / name)
    for name in ("empty.mp4", "text.webm", "text.gif"):
        (tmp_path / name).write_bytes(b"#EXTM3U\nhttp://127.0.0.1:1/" * (name != "empty.mp4"))
    (tmp_path / "folder.mp4").mkdir()
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.mp4")
        (tmp_path / "link.mp4").symlink_to(made.path)
        (tmp_path / "broken.mp4").symlink_to("nowhere.mp4")
        (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    clips = {clip.path.name: clip for clip in clips_in(tmp_path)}
    assert clips.pop("link.mp4").video() == stored_clip(tmp_path / "link.mp4").video()  # type: ignore[union-attr]
    assert set(clips) == {"empty.mp4", "text.webm", "text.gif"}
    assert {clip.error for clip in clips.values()} == {"damaged or unfinished"}
    with pytest.raises(OutputError, match=r"empty\.mp4 cannot be read \(damaged or unfinished"):
        clips["empty.mp4"].video()


def test_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"The folder .*none cannot be read \(No such file"):
        next(clips_in(tmp_path / "none"))


def test_nothing_but_the_listed_clip_is_deleted(
    made: Video, facts: dict[str, Any], tmp_path: Path
) -> None:
    for name in ("a.mp4", "frames", "mixed"):
        put(tmp_path / name, facts)
    (tmp_path / "mixed" / "notes.txt").write_text("mine")
    (tmp_path / "link.mp4").symlink_to(made.path)
    clips = {clip.path.name: clip for clip in clips_in(tmp_path)}
    put(tmp_path / "a.mp4", facts, age=9)
    with pytest.raises(OutputError, match="has changed since it was listed"):
        delete_clip(clips["a.mp4"])
    with pytest.raises(OutputError, match="has other files than frames"):
        delete_clip(clips["mixed"])
    delete_clip(clips["frames"])
    delete_clip(clips["link.mp4"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "mixed"]
    assert made.path.exists()
    with pytest.raises(OutputError, match=r"cannot be deleted \(No such file"):
        delete_clip(clips["frames"])


@pytest.mark.slow
def test_cell_of_a_stored_clip_makes_it_again(made: Video, facts: dict[str, Any]) -> None:
    settings = clip_settings(facts)
    assert settings.missing == ()
    first, _, body = as_cell(settings.prompt, changed_options(settings.options)).partition("\n")
    assert first == (
        "%%cogvideo --model tiny --num-frames 9 --num-inference-steps 2 --seed 3 --tier none"
        " --lean-decode"
    )
    options = parse_line(first.removeprefix("%%cogvideo "), "%%cogvideo")
    again = cogmagic.generate(body, **options, save=made.path.parent, progress=False)
    assert again.report.frames_sha256 == made.report.frames_sha256


def test_settings_have_what_the_request_had_and_name_what_is_missing(
    facts: dict[str, Any],
) -> None:
    facts |= {
        "model": "mine", "source": "local folder", "timesteps": [999, 499], "fit": "stretch",
        "options": ["speed fast", "quantize int8:text_encoder"], "preset": "of a file",
        "loras": [{"name": "red.safetensors", "weight": 0.5, "scales": [1]}],
        "asked": {"dtype": "float32", "parallel": 2, "truncate": True, "save": "/etc/passwd"},
    }  # fmt: skip
    settings = clip_settings(facts)
    expected = {
        "model": "mine", "timesteps": "999,499", "speed": "fast", "dtype": "float32",
        "quantize": "int8:text_encoder", "lora": ["red.safetensors@0.5"], "parallel": 2,
    }  # fmt: skip
    assert expected.items() <= settings.options.items()
    assert not {"save", "preset"} & settings.options.keys()
    assert settings.missing == (
        "the model's folder (mine)", "its first frame", "the folder of red.safetensors",
    )  # fmt: skip


def test_settings_name_the_clips_of_a_request(facts: dict[str, Any]) -> None:
    extended = clip_settings(facts | {"extended": [9, 8], "extends": "a.mp4", "overlap": 1})
    assert extended.options["extend"] == "a.mp4"
    assert extended.missing == ()
    asked = {"strength": 0.6, "start": 1.0, "fit": "pad", "asked": {"video": "b.mp4"}}
    options = clip_settings(facts | asked).options
    assert [options[n] for n in ("video", "strength", "start", "fit")] == ["b.mp4", 0.6, 1.0, "pad"]
    unnamed = clip_settings(facts | {"extended": [9, 8], "extends": "", "asked": {"last_image": 1}})
    assert unnamed.missing == ("the clip that it extends", "its last frame")


def test_settings_name_the_mask_of_a_request() -> None:
    clip, mask = np.zeros((9, 96, 96, 3), np.uint8), np.eye(96, dtype=bool)
    request = Request.of("a fox", "tiny-inp", video=clip, mask=mask, paste_back=True)
    report = Report(tier="none", reason="", device="cpu", dtype="float32", masked="mask: white …")
    unnamed = clip_settings(metadata(request, report))
    assert unnamed.missing == ("the video that it began from", "its mask")
    assert request.mask is not None
    named = replace(request, inputs={**request.inputs, "mask": replace(request.mask, path="m.png")})
    options = clip_settings(metadata(named, report)).options
    assert (options["mask"], options["paste_back"], options["strength"]) == ("m.png", True, 1.0)
    assert "invert_mask" not in options
    cell = as_cell("a fox", changed_options(options | {"video": "v.mp4"}))
    assert "--video v.mp4 --mask m.png --paste-back" in cell
    assert "--strength" not in cell
    assert "--strength 0.8" in as_cell("a fox", changed_options(options | {"strength": 0.8}))


def test_preset_of_the_package_stands_for_its_values(facts: dict[str, Any]) -> None:
    from cogmagic._models.presets import PRESETS

    preset = next(iter(PRESETS.values()))
    settings = clip_settings(facts | {"preset": preset.name} | preset.settings)
    assert settings.options["preset"] == preset.name
    assert not preset.settings.keys() & settings.options.keys()
