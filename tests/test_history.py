"""The file of past runs: what it survives, and what it teaches."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic._history import History, Past, cache_folder, correction, render

RUN = Past(
    when=1.8e9,
    card="Card",
    versions="torch 2",
    model="5b",
    size="720x480",
    num_frames=49,
    dtype="bfloat16",
    tier="model",
    predicted_allocated=1000,
    measured_allocated=1100,
    predicted_step=2.0,
    measured_step=1.0,
)


def test_runs_come_back_in_order_and_can_be_forgotten(tmp_path: Path) -> None:
    history = History(tmp_path / "new" / "folder")
    assert history.read() == ()
    runs = [replace(RUN, num_frames=n) for n in (9, 17, 25)]
    for run in runs:
        history.add(run)
    assert list(History(tmp_path / "new" / "folder").read()) == runs
    assert history.clear() == 3
    assert history.read() == ()


def test_only_the_newest_500_are_kept(tmp_path: Path) -> None:
    history = History(tmp_path)
    for n in range(505):
        history.add(replace(RUN, num_frames=n))
    kept = history.read()
    assert (len(kept), kept[0].num_frames, kept[-1].num_frames) == (500, 5, 504)


def test_kernels_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.test_history import RUN, History
for _ in range(40):
    History(Path({str(tmp_path)!r})).add(RUN)
"""
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [p.wait() for p in running] == [0, 0, 0]
    assert len(History(tmp_path).read()) == 120


@pytest.mark.parametrize("content", [b"\xff\xfe\x00garbage", b"not json\n", b'{"a": 1}\n', b"[]\n"])
def test_a_foreign_file_is_set_aside_and_told(tmp_path: Path, content: bytes) -> None:
    history = History(tmp_path)
    history.path.write_bytes(content)
    assert history.read() == ()
    assert "unreadable" in history.note
    assert [p.read_bytes() for p in tmp_path.glob("*.corrupt-*")] == [content]
    history.add(RUN)
    assert History(tmp_path).read() == (RUN,)


def test_a_line_cut_short_costs_that_line_only(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add(RUN)
    with history.path.open("a") as file:
        file.write('{"v": 1, "when": 1\n{"v": 99, "card": "newer"}\n')
    history.add(RUN)
    assert history.read() == (RUN, RUN)


def test_a_folder_that_cannot_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history = History(tmp_path / "file")
    history.add(RUN)
    assert (history.read(), history.clear()) == ((), 0)


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGMAGIC_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")


def step(run: Past) -> tuple[float | None, float | None]:
    return run.predicted_step, run.measured_step


def runs(*ratios: float) -> list[Past]:
    return [replace(RUN, predicted_step=1.0, measured_step=r) for r in ratios]


def test_evidence_counts_when_there_is_enough_of_it() -> None:
    assert correction([], step, 9) == 1.0
    assert correction(runs(3), step, 9) == 1.0  # one odd run moves nothing
    assert correction(runs(2, 2), step, 9) == pytest.approx(math.sqrt(2))
    assert correction(runs(2, 2, 2), step, 9) == 2.0
    assert correction(runs(2, 2, 2, 2, 100), step, 9) == 2.0
    assert correction(runs(*[50] * 9), step, spread=0.25) == pytest.approx(1.25)


@given(st.lists(st.floats(0.8, 1.25), max_size=8), st.floats(0.001, 1000))
def test_a_single_run_cannot_poison_it(ratios: list[float], odd: float) -> None:
    factor = correction(runs(*ratios, odd), step, 9)
    assert 0.8 - 1e-9 <= factor <= 1.25 + 1e-9


def test_the_table_shows_measured_and_predicted() -> None:
    text = render([RUN, replace(RUN, out_of_memory=True, measured_step=None)])
    assert "1.00, 2.00" in text
    assert "out of memory" in text
    assert "n/a, 2.00" in text
