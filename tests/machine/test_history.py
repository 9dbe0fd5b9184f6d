"""The file of past runs: damage, locks and limits that it survives."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cogmagic._machine.history import History, history_table
from tests.helpers.past_runs import RUN


def test_runs_are_read_in_order_and_can_be_deleted(tmp_path: Path) -> None:
    history = History(tmp_path / "new" / "folder")
    assert history.read() == ()
    runs = [replace(RUN, num_frames=n) for n in (9, 17, 25)]
    for run in runs:
        history.add(run)
    assert list(History(tmp_path / "new" / "folder").read()) == runs
    assert history.clear() == 3
    assert history.read() == ()


@pytest.mark.slow
def test_only_the_newest_500_runs_are_stored(tmp_path: Path) -> None:
    history = History(tmp_path)
    for n in range(505):
        history.add(replace(RUN, num_frames=n))
    stored = history.read()
    assert (len(stored), stored[0].num_frames, stored[-1].num_frames) == (500, 5, 504)


def test_concurrent_writers_lose_no_run(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from cogmagic._machine.history import History
from tests.helpers.past_runs import RUN
for _ in range(40):
    History(Path({str(tmp_path)!r})).add(RUN)
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [p.wait() for p in running] == [0, 0, 0]
    assert len(History(tmp_path).read()) == 120


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"not json\n", b'{"a": 1}\n', b"[]\n"])
def test_foreign_file_is_moved_aside_with_a_note(tmp_path: Path, content: bytes) -> None:
    history = History(tmp_path)
    history.path.write_bytes(content)
    assert history.read() == ()
    assert "unreadable" in history.note
    assert [p.read_bytes() for p in tmp_path.glob("*.corrupt-*")] == [content]
    history.add(RUN)
    assert History(tmp_path).read() == (RUN,)


def test_truncated_line_is_skipped(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(RUN)
    with history.path.open("a") as file:
        file.write('{"v": 1, "when": 1\n{"v": 99, "card": "newer"}\n')
    history.add(RUN)
    assert history.read() == (RUN, RUN)


def test_impossible_folder_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file")
    history.add(RUN)
    assert (history.read(), history.clear()) == ((), 0)


def test_table_shows_measured_and_predicted_figures() -> None:
    text = history_table([RUN, replace(RUN, out_of_memory=True, measured_step=None)])
    assert "1.00, 2.00" in text
    assert "out of memory" in text
    assert "n/a, 2.00" in text


ROW = {"v": 1, **asdict(RUN)}


@pytest.mark.parametrize(
    "line",
    [
        "[" * 200_000,  # deeper than Python's parser goes
        json.dumps(ROW).replace("1000", "9" * 400),  # no float holds it
        json.dumps(ROW | {"when": math.nan}),
        json.dumps(ROW | {"when": "yesterday"}),
        json.dumps(ROW | {"measured_step": -1}),
        json.dumps(ROW | {"model": None}),
        json.dumps(ROW | {"num_frames": [49]}),
        json.dumps(ROW | {"out_of_memory": "no"}),
        json.dumps(ROW | {"limit": True}),
    ],
)
def test_invalid_line_is_skipped(tmp_path: Path, line: str) -> None:
    history = History(tmp_path)
    history.path.write_text(json.dumps(ROW) + "\n" + line + "\n")
    assert history.read() == (RUN,)
    assert history_table(history.read())


def test_run_after_a_truncated_line_is_stored(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.path.write_text(json.dumps(ROW) + "\n" + '{"v": 1, "wh')
    history.add(RUN)
    assert history.read() == (RUN, RUN)


def test_lines_with_fewer_or_more_fields_are_read(tmp_path: Path) -> None:
    history = History(tmp_path)
    old = {k: v for k, v in ROW.items() if k not in {"driver", "batch", "limit"}}
    history.path.write_text(json.dumps(old | {"of a later version": 1}) + "\n")
    full = replace(RUN, driver="580.95.05", limit=10**10)
    history.add(full)
    assert history.read() == (RUN, full)


def test_run_with_impossible_figures_is_not_stored(tmp_path: Path) -> None:
    history = History(tmp_path)
    for amount in (math.nan, math.inf, -1.0, 0.0):
        history.add(replace(RUN, measured_step=amount))
    assert not history.path.exists()


def test_oversized_file_is_moved_aside(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.path.write_bytes(b"x" * 5_000_001)
    assert history.read() == ()
    assert "larger than 5 MB" in history.note


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_in_place_of_the_file_does_not_block(tmp_path: Path) -> None:
    history = History(tmp_path)
    os.mkfifo(history.path)
    assert history.read() == ()
    assert "not a file" in history.note


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
def test_symbolic_link_is_preserved(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = tmp_path / "elsewhere" / "runs"
    target.write_text((json.dumps(ROW) + "\n") * 500)
    history = History(tmp_path)
    history.path.symlink_to(target)
    history.add(replace(RUN, num_frames=9))
    assert history.path.is_symlink()
    assert [r.num_frames for r in history.read()] == [49] * 499 + [9]
    assert [p.name for p in target.parent.iterdir()] == ["runs"]


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
def test_lock_that_is_never_released_does_not_block(tmp_path: Path) -> None:
    import fcntl

    history = History(tmp_path, lock_seconds=0.05)
    history.path.write_text((json.dumps(ROW) + "\n") * 500)
    with history.path.with_suffix(".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        start = time.monotonic()
        history.add(RUN)
        assert time.monotonic() - start < 300
        assert len(history.read()) == 501  # appended, trimmed by whoever has the lock next
    history.add(RUN)
    assert len(history.read()) == 500


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_unwritable_folder_is_no_error(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(RUN)
    history.path.write_text("not ours")
    tmp_path.chmod(0o500)
    history.path.chmod(0o400)
    try:
        history.add(RUN)
        assert (history.read(), history.clear()) == ((), 0)
        assert str(history.path) in history.note
    finally:
        tmp_path.chmod(0o700)


def test_file_that_cannot_be_moved_aside_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    history = History(tmp_path)
    history.path.write_text("not ours")
    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    history.add(RUN)
    assert (history.read(), history.clear()) == ((), 0)
    assert history.note.endswith(f"is unreadable (no runs in it): {history.path}")
    assert history.path.read_text() == "not ours"


def test_table_shows_any_date_and_name() -> None:
    odd = [replace(RUN, when=w, model="someone/with-a-long-name-5b") for w in (-1e17, 1e17)]
    for line in history_table(odd).splitlines():
        assert len(line) <= 100
    assert "n/a" in history_table(odd)
    assert "name-5b" in history_table(odd)
