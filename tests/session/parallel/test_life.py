"""The workers of a kernel from their start to their end, with real processes on the CPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import cogmagic
from tests.helpers.toy import PROMPT, QUICK

resource = pytest.importorskip("resource", reason="--parallel is refused on Windows")
pytestmark = pytest.mark.slow


def video(toy: Path, name: str = "clip.png", **options: Any) -> cogmagic.Video:
    options = QUICK | {"num_inference_steps": 4, "model": str(toy), "save": name} | options
    return cogmagic.generate(PROMPT, overwrite=True, **options)


def shared_memory() -> set[Path]:
    return set(Path("/dev/shm").iterdir()) if sys.platform == "linux" else set()  # noqa: S108


def assert_freed(before: set[Path]) -> None:
    """What other programs share meanwhile, such as a browser, has no name after a moment."""
    until = time.monotonic() + 60
    while not shared_memory() <= before and time.monotonic() < until:
        time.sleep(0.1)
    assert shared_memory() <= before


def at_step(number: int, act: Any) -> Any:
    """Calls `act` after a step of denoising."""

    def follow(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and progress.done == number:
            act()

    return follow


HOLD = """
import pathlib, time
from cogmagic._session.parallel.rank_clock import RankClock
hold, step = pathlib.Path({path!r}), RankClock.step
def held(*args):
    step(*args)
    while hold.exists():
        time.sleep(0.01)
RankClock.step = held
"""


@pytest.fixture
def hold(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it exists, workers that started with this fixture wait after each step."""
    folder = tmp_path_factory.mktemp("hold")
    (folder / "sitecustomize.py").write_text(HOLD.format(path=str(folder / "hold")))
    monkeypatch.syspath_prepend(folder)
    return folder / "hold"


def test_workers_from_the_first_run_to_release(
    toy: Path, cwd: Path, session: Any, hold: Path
) -> None:
    before = shared_memory()
    one = video(toy)
    previews: list[Any] = []
    two = cogmagic.generate(
        PROMPT, parallel=2, save="two.png", model=str(toy), on_preview=previews.append,
        **QUICK | {"num_inference_steps": 4},
    )  # fmt: skip
    assert np.abs(two.frames().astype(int) - one.frames()).max() <= 1
    assert previews[0].dtype == np.uint8
    facts = two.facts_line()
    assert "2 CPU processes (guidance 2 x tokens 1)" in facts
    assert "frames may differ from one process's in rounding" in facts
    assert session.loaded is None  # the kernel itself holds no weights then

    # They stay for the next run.
    pids = session.slot.workers.pids
    status = cogmagic.status()
    assert status.workers == 2
    assert 0 < status.workers_ram < 2**32
    assert "2 processes use " in str(status)
    again = video(toy, parallel=2)
    assert session.slot.workers.pids == pids
    assert again.report.frames_sha256 == two.report.frames_sha256
    assert session.slot.plan.available.weights_loaded

    # After staged loading, which leaves none, the next run is planned to read the weights again.
    for tier in ("staged", None):
        video(toy, parallel=2, tier=tier)
    assert session.slot.workers.pids == pids
    assert not session.slot.plan.available.weights_loaded

    # A run that is stopped leaves them ready for the next one, or none.
    with pytest.raises(cogmagic.Cancelled):
        video(toy, parallel=2, on_progress=at_step(2, session.cancel))
    assert not session.running
    assert video(toy, parallel=2).report.frames_sha256 == two.report.frames_sha256

    # A worker that is killed: the run goes on with one process, the next one has two again.
    def kill() -> None:
        if session.slot.workers:
            os.kill(session.slot.workers.pids[1], signal.SIGKILL)
        hold.unlink(missing_ok=True)

    hold.touch()
    rest = video(toy, parallel=2, on_progress=at_step(1, kill))
    assert "worker 2 of 2 was killed (SIGKILL)" in rest.facts_line()
    assert rest.report.frames_sha256 == one.report.frames_sha256
    assert session.slot.workers is None
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert_freed(before)


def test_workers_that_do_not_stop_in_time_are_killed_and_cold_ones_end(
    toy: Path, cwd: Path, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("cogmagic._session.parallel.workers._STOP_SECONDS", 0.0)
        with pytest.raises(cogmagic.Cancelled):
            video(toy, parallel=2, on_progress=at_step(1, session.cancel))
    assert session.slot.workers is None
    assert video(toy).report.split == ""
    assert video(toy, parallel=2, keep="cold").report.kept == "weights not kept, as requested"
    assert session.slot.workers is None


def test_shortage_in_a_worker_and_rows_of_a_batch(
    toy: Path, cwd: Path, session: Any, hold: Path
) -> None:
    rows = [{"prompt": PROMPT, "seed": seed} for seed in (1, 2)]
    options = QUICK | {"model": str(toy)}
    del options["seed"]
    videos = list(cogmagic.generate_many(rows, parallel=2, save="rows", **options))
    assert [v.report.split for v in videos] == ["2 CPU processes (guidance 2 x tokens 1)"] * 2
    pids = session.slot.workers.pids

    def limit() -> None:
        for pid in session.slot.workers.pids if session.slot.workers else ():
            mapped = psutil.Process(pid).memory_info().vms
            resource.prlimit(pid, resource.RLIMIT_AS, (mapped, mapped))
        hold.unlink(missing_ok=True)

    # Little enough for the shortage, by a size whose tensors need new memory.
    hold.touch()
    made = video(toy, parallel=2, size="384x384", on_progress=at_step(1, limit))
    assert "with no offload on 2 CPU processes" in made.report.reason
    assert made.report.split == ""
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_killed_kernel_leaves_no_worker(toy: Path, cwd: Path) -> None:
    script = (
        "import cogmagic, sys\n"
        "from cogmagic._session.session import session\n"
        "def follow(p):\n"
        "    if p.phase == 'denoise' and p.done == 1:\n"
        "        print(*session().slot.workers.pids, flush=True)\n"
        f"cogmagic.generate({PROMPT!r}, model={str(toy)!r}, parallel=2, num_inference_steps=500,\n"
        "    num_frames=9, on_progress=follow)\n"
    )
    before = shared_memory()
    kernel = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    pids = [int(pid) for pid in kernel.stdout.readline().split()]
    assert len(pids) == 2
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    until = time.monotonic() + 300
    while time.monotonic() < until and any(psutil.pid_exists(pid) for pid in pids):
        time.sleep(0.1)
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert_freed(before)
