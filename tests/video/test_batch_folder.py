"""The folder of a batch: begun, resumed, and kept from others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogmagic import BusyError, OutputError, Request, Video
from cogmagic._models.batch_row import Row, StoredInput
from cogmagic._video.batch_folder import BatchFolder, default_folder
from cogmagic._video.batch_list import as_json
from tests.helpers.benchmarks import ROOT

OPTIONS = {"model": "tiny", "frames": {"fp8": False}}


def batch(*prompts: str, drawn: bool = False, **options: Any) -> tuple[Row, ...]:
    chosen = {} if drawn else {"seed": 7}
    return tuple(
        Row(n, Request.of(p, "tiny", **chosen | options), drawn=drawn)
        for n, p in enumerate(prompts, 1)
    )


def finish(folder: BatchFolder, row: Row, video: Video) -> Video:
    """Put a copy of `video` in the row's place, and record it."""
    path = folder.file(row)
    path.write_bytes(video.path.read_bytes())
    made = replace(video, path=path)
    folder.add(row, made)
    return made


def finished(folder: BatchFolder) -> list[int]:
    return [row.number for row in folder.rows if folder.video(row) is not None]


def test_list_is_written_before_any_video(cwd: Path) -> None:
    folder = BatchFolder.open("out/new", batch("a", "b\n2"), OPTIONS)
    stored = json.loads((cwd / "out/new/batch.json").read_text())
    assert [(r["row"], r["prompt"], r["seed"]) for r in stored["rows"]] == [
        (1, "a", 7),
        (2, "b\n2", 7),
    ]
    assert stored["options"] == OPTIONS
    assert stored["versions"].keys() >= {"cogmagic", "torch", "diffusers"}
    assert folder.file(folder.rows[1]).name == "0002-7.mp4"
    folder.close()


def test_names_have_as_many_digits_as_the_batch_needs(cwd: Path) -> None:
    folder = BatchFolder(cwd, batch("a") * 10_000, None)  # type: ignore[arg-type]
    assert folder.file(folder.rows[0]).name == "00001-7.mp4"


def test_folder_may_be_named_like_a_file_if_it_exists_or_ends_in_a_slash(cwd: Path) -> None:
    for _ in range(2):
        BatchFolder.open("x.gif/", batch("a"), OPTIONS).close()
        BatchFolder.open("x.gif", batch("a"), OPTIONS).close()
    folder = BatchFolder.open("", batch("a"), OPTIONS)
    assert folder.path.name.startswith("cogvideo-")
    folder.close()


def test_default_folder_is_new(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    assert default_folder() == Path("cogvideo-20260102-030405")
    default_folder().mkdir()
    assert default_folder() == Path("cogvideo-20260102-030405-2")


def test_finished_rows_are_known_when_it_is_resumed(cwd: Path, video: Video) -> None:
    folder = BatchFolder.open("out", batch("a", "b", "c", drawn=True), OPTIONS)
    made = finish(folder, folder.rows[1], video)
    folder.add_failure(folder.rows[2], "no")
    folder.close()
    again = BatchFolder.open("out", batch("a", "b", "c", drawn=True), OPTIONS)
    assert finished(again) == [2]
    assert again.rows == folder.rows  # with the seeds of the first time
    video_again = again.video(again.rows[1])
    assert video_again is not None
    assert video_again.report == made.report
    assert (video_again.frames() == video.frames()).all()
    again.close()


@pytest.mark.parametrize("damage", ["removed", "cut", "zeroed", "longer"])
def test_row_without_its_whole_file_is_made_again(cwd: Path, video: Video, damage: str) -> None:
    folder = BatchFolder.open("out", batch("a", "b"), OPTIONS)
    for row in folder.rows:
        finish(folder, row, video)
    folder.close()
    file = folder.file(folder.rows[0])
    data = file.read_bytes()
    file.unlink()
    if damage != "removed":
        size = len(data)
        changed = {"cut": data[:-1], "zeroed": bytes(size), "longer": data + b"0"}
        file.write_bytes(changed[damage])
    again = BatchFolder.open("out", batch("a", "b"), OPTIONS)
    assert finished(again) == [2]
    again.close()


def test_half_a_line_is_ignored(cwd: Path, video: Video) -> None:
    folder = BatchFolder.open("out", batch("a", "b"), OPTIONS)
    for row in folder.rows:
        finish(folder, row, video)
    folder.close()
    lines = (cwd / "out/finished.jsonl").read_bytes()
    begin = lines.index(b"\n") + 1
    for end in range(begin, len(lines), 40):
        (cwd / "out/finished.jsonl").write_bytes(lines[:end])
        again = BatchFolder.open("out", batch("a", "b"), OPTIONS)
        assert finished(again) == [1]
        finish(again, again.rows[1], video)
        again.close()
        again = BatchFolder.open("out", batch("a", "b"), OPTIONS)
        assert finished(again) == [1, 2]
        again.close()


PICTURE = {"image": StoredInput("x.png", "aa")}


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (batch("a"), OPTIONS, "has another batch, of 2 rows, not 1"),
        (batch("a", "c"), OPTIONS, "in row 2, prompt is 'b' there and 'c' here"),
        (batch("a", "b", seed=8), OPTIONS, "in row 1, seed is 7 there and 8 here"),
        (batch("a", "b", drawn=True), OPTIONS, "the seed is given there and drawn here"),
        (batch("a", "b", steps=3), OPTIONS, "num_inference_steps is 20 there and 3 here"),
        (batch("a", "b", size="64x64"), OPTIONS, "width is 96 there and 64 here"),
        (batch("a", "b", dtype="float32"), OPTIONS, "dtype is the model's own there and 'fl"),
        (batch("a", "b", guidance_until=0.5), OPTIONS, "guidance_until is 1.0 there and 0.5 h"),
        (tuple(replace(r, inputs=PICTURE) for r in batch("a", "b")), OPTIONS, "image is missing"),
        (batch("a", "b"), {"frames": {"fp8": True}}, "other options: fp8 is False there and True"),
    ],
)
def test_another_list_is_refused_with_the_difference(
    cwd: Path, rows: tuple[Row, ...], options: dict[str, Any], message: str
) -> None:
    BatchFolder.open("out", batch("a", "b"), OPTIONS).close()
    with pytest.raises(OutputError) as error:
        BatchFolder.open("out", rows, options)
    assert message in str(error.value)
    assert "--save FOLDER" in str(error.value)
    BatchFolder.open("out", batch("a", "b"), OPTIONS | {"tier": "other"}).close()


def test_other_picture_is_another_list(cwd: Path) -> None:
    row = replace(batch("a")[0], inputs={"image": StoredInput("x.png", "a" * 64)})
    BatchFolder.open("out", [row], OPTIONS).close()
    other = replace(row, inputs={"image": StoredInput("x.png", "b" * 64)})
    with pytest.raises(OutputError, match=r"image is SHA-256 a{12}… there and SHA-256 b{12}… here"):
        BatchFolder.open("out", [other], OPTIONS)


def test_given_seed_is_another_list_than_a_drawn_one(cwd: Path) -> None:
    folder = BatchFolder.open("out", batch("a", drawn=True), OPTIONS)
    folder.close()
    same = replace(folder.rows[0], drawn=False)
    with pytest.raises(OutputError, match="the seed is drawn there and given here"):
        BatchFolder.open("out", [same], OPTIONS)


def test_seeds_of_drawn_rows_are_read_from_the_list(cwd: Path) -> None:
    rows = batch("a", drawn=True)
    BatchFolder.open("out", rows, OPTIONS).close()
    other = [replace(rows[0], request=replace(rows[0].request, seed=rows[0].request.seed + 1))]
    again = BatchFolder.open("out", other, OPTIONS)
    assert again.rows == rows
    again.close()


def test_file_in_place_of_the_folder_is_refused(cwd: Path) -> None:
    for name in ("x.mp4", "x.GIF", "x.png", "x.avi"):
        with pytest.raises(OutputError, match=rf"{name} is one file, but the batch makes 2 videos"):
            BatchFolder.open(name, batch("a", "b"), OPTIONS)
    (cwd / "x").write_text("")
    with pytest.raises(OutputError, match="--save x is a file"):
        BatchFolder.open("x", batch("a", "b"), OPTIONS)
    (cwd / "x/y").parent.chmod(0o644)
    with pytest.raises(OutputError, match="Choose another folder"):
        BatchFolder.open("x/y", batch("a", "b"), OPTIONS)
    for wrong in ("a\0b", "~no-such-user/x", 7, "x" * 300):
        with pytest.raises(OutputError):
            BatchFolder.open(wrong, batch("a", "b"), OPTIONS)  # type: ignore[arg-type]


def test_files_of_others_are_never_replaced(cwd: Path) -> None:
    (cwd / "notes.txt").write_text("mine")
    BatchFolder.open(cwd, batch("a"), OPTIONS).close()
    (cwd / "batch.json").unlink()
    (cwd / "0001-7.mp4").write_text("mine")
    with pytest.raises(OutputError, match=r"0001-7.mp4 already exists, and belongs to no batch"):
        BatchFolder.open(cwd, batch("a"), OPTIONS)
    assert sorted(p.name for p in cwd.iterdir()) == ["0001-7.mp4", "notes.txt"]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"rows": [{}], "options": {}}', "\0"])
def test_damaged_list_is_refused(cwd: Path, content: str) -> None:
    BatchFolder.open("out", batch("a"), OPTIONS).close()
    (cwd / "out/batch.json").write_text(content)
    with pytest.raises(OutputError, match=r"batch.json is damaged"):
        BatchFolder.open("out", batch("a"), OPTIONS)


def test_lost_list_is_refused(cwd: Path, video: Video) -> None:
    folder = BatchFolder.open("out", batch("a"), OPTIONS)
    finish(folder, folder.rows[0], video)
    folder.close()
    (cwd / "out/batch.json").unlink()
    with pytest.raises(OutputError, match=r"its batch.json is missing"):
        BatchFolder.open("out", batch("a"), OPTIONS)


def test_disk_must_have_space_for_all_unfinished_rows(
    cwd: Path, video: Video, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BatchFolder.open("out", batch("a", "b", "c"), OPTIONS)
    finish(folder, folder.rows[0], video)
    need = 2 * 17 * 96 * 96 // 8
    for free, fits in ((need, True), (need - 1, False)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, n=free: type("U", (), {"free": n})())
        again = BatchFolder.open("out", batch("a", "b", "c"), OPTIONS)
        if fits:
            again.check_disk_space()
        else:
            with pytest.raises(OutputError, match="the 2 videos may take"):
                again.check_disk_space()
        again.close()


def test_second_kernel_is_kept_out_and_the_same_one_takes_over(cwd: Path) -> None:
    folder = BatchFolder.open("out", batch("a"), OPTIONS)
    code = (
        "from cogmagic._video.batch_folder import BatchFolder\n"
        "from tests.video.test_batch_folder import batch, OPTIONS\n"
        "BatchFolder.open('out', batch('a'), OPTIONS)"
    )
    other = [sys.executable, "-c", code]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    refused = subprocess.run(other, capture_output=True, text=True, env=env, check=False)
    assert BusyError.__name__ in refused.stderr
    assert "Another kernel runs the batch" in refused.stderr
    again = BatchFolder.open(cwd / "out", batch("a"), OPTIONS)
    assert not folder.is_open
    folder.close()
    assert again.is_open
    again.close()
    assert subprocess.run(other, env=env, check=False).returncode == 0


def test_another_fit_is_another_batch(cwd: Path) -> None:
    inputs = {"image": StoredInput("x.png", "a" * 64)}
    (row,) = (replace(r, inputs=inputs) for r in batch("a"))
    assert '"fit"' not in as_json((row,), OPTIONS).decode()  # the default is not stored
    cropped = replace(row, request=replace(row.request, fit="crop"))
    BatchFolder.open("out", (row,), OPTIONS).close()
    with pytest.raises(OutputError, match=r"in row 1, fit is 'stretch' there and 'crop' here"):
        BatchFolder.open("out", (cropped,), OPTIONS)
