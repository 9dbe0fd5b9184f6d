"""Runs that go on from the end of a clip, one by one and in batches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cogmagic
from cogmagic import BatchError, OutputError, RequestError
from cogmagic._session.session import Session
from cogmagic._video.formats.mp4 import MP4
from cogmagic._video.seam import match_seam
from tests.helpers.clips import numbered
from tests.helpers.toy import PROMPT, QUICK

CLIP = np.stack([numbered(n, (96, 96)) for n in range(6)])


def test_new_frames_are_those_of_the_last_frame_in_the_clips_colours(
    toy_i2v: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = {"model": str(toy_i2v), "save": "a.png", "overwrite": True, **QUICK}
    by_hand = cogmagic.generate(PROMPT, image=CLIP[-1], **options).frames()
    match_seam(by_hand, CLIP[-1:])
    video = cogmagic.generate(PROMPT, extend=CLIP, **options)
    assert (video.num_frames, video.report.extended) == (14, (6, 8))
    frames = video.frames()
    assert np.array_equal(frames[:6], CLIP)
    assert np.array_equal(frames[6:], by_hand[1:])
    assert " · extended: 6 + 8 frames · " in video.facts_line()

    longer = cogmagic.generate(PROMPT, extend=video, overlap=3, **options | {"save": "b.mp4"})
    assert longer.num_frames == len(longer.frames()) == 14 + 9 - 3
    assert longer.report.extension == "extended from a: 14 + 6 frames"
    stored = MP4.metadata(longer.path)
    assert (stored["overlap"], stored["extended"], stored["fit"]) == (3, [14, 6], "crop")
    assert "video/mp4;base64" in longer.player_html()


def test_clip_that_is_removed_during_the_run_leaves_the_new_frames(
    toy_i2v: Path, cwd: Path, session: Session
) -> None:
    first = cogmagic.generate(PROMPT, model=str(toy_i2v), image=CLIP[0], save="a.mp4", **QUICK)

    def remove(_: object) -> None:
        Path("a.mp4").unlink(missing_ok=True)

    with pytest.raises(OutputError, match=r"removed.* Its 9 new frames are kept in memory"):
        cogmagic.generate(PROMPT, model=str(toy_i2v), extend=first, on_progress=remove, **QUICK)
    assert session.unsaved is not None
    assert len(session.unsaved.frames()) == session.unsaved.num_frames == 9


def test_damaged_end_is_refused_before_anything_is_loaded(
    toy_i2v: Path, cwd: Path, session: Session
) -> None:
    first = cogmagic.generate(PROMPT, model=str(toy_i2v), image=CLIP[0], save="a.mp4", **QUICK)
    session.release()
    first.path.write_bytes(first.path.read_bytes()[:-2000])
    for make in (cogmagic.generate, lambda p, **o: list(cogmagic.generate_many([p], **o))):
        with pytest.raises(RequestError, match=r"a\.mp4 is cut off") as error:
            make(PROMPT, model=str(toy_i2v), extend=str(first.path), **QUICK)
        assert "\n" not in str(error.value)
    assert session.slot.loaded is None


def test_each_prompt_extends_the_video_of_the_one_before(
    toy_i2v: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = {"model": str(toy_i2v), "save": "out", "seeds": [1, 2]}
    options |= {"num_frames": 9, "num_inference_steps": 2, "progress": False}
    clip = cogmagic.generate(PROMPT, model=str(toy_i2v), image=CLIP[0], save="a.mp4", **QUICK).path
    prompts = [PROMPT, "a blue square"]
    made = list(cogmagic.generate_many(prompts, extend="a.mp4", **options))
    assert [video.num_frames for video in made] == [17, 17, 25, 25]
    assert [len(video.frames()) for video in made] == [17, 17, 25, 25]
    assert [Path(video.report.extends).name for video in made] == [
        "a.mp4", "a.mp4", "0001-1.mp4", "0002-2.mp4",
    ]  # fmt: skip
    first, last = made[1].frames(), made[3].frames()
    assert np.abs(first.astype(int) - last[:17]).mean() < 6  # noise, compressed twice

    made[3].path.unlink()
    os.utime(clip)  # the same clip, copied
    again = list(cogmagic.generate_many(prompts, extend="a.mp4", **options))
    assert [v.report.frames_sha256 for v in again] == [v.report.frames_sha256 for v in made]
    assert [video.num_frames for video in again] == [17, 17, 25, 25]
    for changes, difference in (
        ({"extend": CLIP}, "extend is SHA-256"),
        ({"extend": "a.mp4", "overlap": 2}, "overlap is 1 there and 2 here"),
    ):
        with pytest.raises(OutputError, match=difference):
            cogmagic.generate_many(prompts, **options | changes)


def test_row_after_a_failed_one_is_left_out(toy_i2v: Path, cwd: Path, session: Session) -> None:
    options: dict[str, Any] = {"model": str(toy_i2v), "extend": CLIP, "save": "out", **QUICK}
    rows = [PROMPT, "a blue square", PROMPT]
    made: list[Any] = []

    def stop(progress: Any) -> None:
        if progress.row == 1 and progress.phase == "denoise":
            raise ValueError("stopped by the test")

    with pytest.raises(BatchError) as error:
        made.extend(cogmagic.generate_many(rows, on_progress=stop, **options))
    assert made == []
    assert error.value.failed[2] == "row 1, whose video it extends, failed"
    assert error.value.failed[3] == "row 2, whose video it extends, failed"
    entries = Path("out/finished.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in entries] == [1, 2, 3]
    assert [v.num_frames for v in cogmagic.generate_many(rows, **options)] == [14, 22, 30]


def test_variable_of_a_cell(toy_i2v: Path, shell: Any, session: Session) -> None:
    shell.user_ns["first"] = CLIP
    line = f"--model {toy_i2v} --frames 9 --steps 2 --extend first --out a"
    shell.run_cell_magic("cogvideo", line, PROMPT)
    line = f"--model {toy_i2v} --frames 9 --steps 2 --extend a --overlap 2 --seeds 1,2 --out b"
    shell.run_cell_magic("cogvideo", line, PROMPT)
    a, b = shell.user_ns["a"], shell.user_ns["b"]
    assert (a.num_frames, [video.num_frames for video in b]) == (14, [21, 21])
    for wrong, message in (
        ("--extend nobody", "No clip at nobody. Check the path, or the variable's name."),
        ("--extend a --overlap 40", "Nearest: --overlap 8."),
        ("--extend a --start 1", "Leave out --start"),
        ("--extend a --image a", "so --image cannot be combined with it"),
    ):
        with pytest.raises(RequestError, match=message):
            shell.run_cell_magic("cogvideo", f"--model {toy_i2v} --frames 9 {wrong}", PROMPT)
