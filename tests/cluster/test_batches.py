"""Batches on a real Ray cluster of this machine with two actors on the CPU, which all tests share.

Each start of an actor takes seven seconds of a core, so that few tests kill one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import cogmagic
from cogmagic import (
    BatchError,
    Cancelled,
    CheckpointError,
    ClusterError,
    OutputError,
    Progress,
    RequestError,
    Video,
)
from cogmagic._cluster.cluster import Cluster, connect, current, disconnect
from tests.helpers.cells import cell
from tests.helpers.checkpoints import save_checkpoint

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
SMALL: dict[str, Any] = {"size": "48x32", "frames": 9, "steps": 10, "progress": False}
WAIT = 180.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "torch.py").write_text("raise ImportError('not the library')")
    with chdir(folder):
        connected = connect("local")
    yield connected
    disconnect()


def many(toy: Path, rows: Any, **options: Any) -> Iterator[Video]:
    return cogmagic.generate_many(rows, model=str(toy), **{"save": "out"} | SMALL | options)


def until(done: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def finished(folder: str) -> list[int]:
    entries = map(json.loads, (Path(folder) / "finished.jsonl").read_bytes().splitlines())
    return [entry["row"] for entry in entries if "file" in entry]


def kill_makers(cluster: Cluster, deaths: dict[int, int]) -> threading.Thread:
    """Kills the process that makes a row, as often as `deaths` has it."""

    def run() -> None:
        left, killed = dict(deaths), set[int]()
        end = time.monotonic() + 2 * WAIT
        while any(left.values()) and time.monotonic() < end:
            for actor in cluster.actors:
                if left.get(actor.row or 0) and actor.pid and actor.pid not in killed:
                    killed.add(actor.pid)
                    left[actor.row or 0] -= 1
                    os.kill(actor.pid, signal.SIGKILL)
            time.sleep(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_every_good_row_comes_once_in_order_whatever_happens_to_others(
    cluster: Cluster, toy_i2v: Path, cwd: Path
) -> None:
    from PIL import Image

    for number in (1, 2):
        Image.new("RGB", (48, 32), (number * 100, 0, 0)).save(f"{number}.png")
    rows = [
        {"prompt": f"a red circle {n}", "seed": n, "image": "2.png" if n == 2 else "1.png"}
        for n in range(1, 13)
    ]
    for killed in (rows[3], rows[6]):  # once and twice, before they could end
        killed["steps"] = 1000
    videos = many(toy_i2v, rows)
    Path("2.png").unlink()  # row 2 always fails
    killer = kill_makers(cluster, {4: 1, 7: 2})
    made: list[Video] = []
    with pytest.raises(BatchError) as error:
        made.extend(videos)
    killer.join()
    failed = error.value.failed
    assert set(failed) == {2, 7}
    assert "2.png" in failed[2]
    assert failed[7].startswith("It ended two workers (worker ")
    assert failed[7].count("its process died") == 2
    assert [video.seed for video in made] == [1, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    assert finished("out") == [1, 3, 4, 5, 6, 8, 9, 10, 11, 12]
    until(lambda: all(a.pid and not a.out for a in cluster.actors))

    alone = cogmagic.generate(model=str(toy_i2v), save="4.mp4", **SMALL | rows[3])
    assert made[2].report.frames_sha256 == alone.report.frames_sha256  # of the row that died once
    assert made[2].path == cwd / "out" / "0004-4.mp4"
    assert made[2].frames().shape == alone.frames().shape
    assert "2 of 2 workers" in cluster.lines()
    assert "tier none" in cluster.lines()


def test_cancelled_batch_leaves_the_workers_idle_and_goes_on_later(
    cluster: Cluster, toy: Path, cwd: Path
) -> None:
    rows = ["a red circle", "a blue square", "a fox"]

    def stop(progress: Progress) -> None:
        assert progress.rows == 3
        if progress.row == 2:
            raise KeyboardInterrupt

    made: list[Video] = []
    with pytest.raises(Cancelled, match=r"1 of 3 videos are finished"):
        made.extend(many(toy, rows, seeds=[1], steps=60, on_progress=stop))
    assert len(made) == 1
    until(lambda: all(actor.row is None for actor in cluster.actors))
    rest = list(many(toy, rows, seeds=[1], steps=60))
    assert rest[0].report.frames_sha256 == made[0].report.frames_sha256
    assert finished("out") == [1, 2, 3]

    other = many(toy, ["a", "b"], save="other", steps=2)
    next(other)
    cogmagic.cancel()
    with pytest.raises(Cancelled, match=r"1 of 2 videos are finished"):
        next(other)


def test_abandoned_batch_blocks_nothing(cluster: Cluster, toy: Path, cwd: Path) -> None:
    first = many(toy, ["a", "b", "c"], seeds=[1], steps=2)
    next(first)
    second = list(many(toy, ["d", "e"], seeds=[1], steps=2, save="second"))
    assert len(second) == 2
    assert len(list(first)) == 2
    assert finished("out") == [1, 2, 3]


def test_what_no_row_can_do_ends_the_batch_in_one_line(
    cluster: Cluster, toy: Path, toy_i2v: Path, cwd: Path
) -> None:
    with pytest.raises(RequestError, match=r"^Row 2: The prompt has \d+ tokens"):
        next(many(toy, ["a", "a red circle " * 200], save="long"))
    for option, value in (("parallel", 2), ("gpus", "0")):
        with pytest.raises(RequestError, match=rf"^{option}=\S+ is for this kernel's GPUs"):
            many(toy, ["a", "b"], save="no", **{option: value})
    with pytest.raises(
        RequestError, match=r"so a cluster cannot make them at the same time\. Type"
    ):
        many(toy_i2v, ["a", "b"], extend=np.zeros((3, 32, 48, 3), np.uint8), save="no")
    assert not Path("no").exists()
    Path("file").touch()
    with pytest.raises(OutputError, match=r"file is a file\. Give a folder"):
        many(toy, ["a", "b"], save="file")

    missing = save_checkpoint(cwd / "moved")
    videos = many(missing, ["a", "b"], save="gone")
    shutil.rmtree(missing)
    with pytest.raises(CheckpointError, match=r"moved.* 0 of 2 videos are finished"):
        next(videos)
    until(lambda: not any(cluster._folder.glob("batch-*")))  # it has ended on the workers, too
    assert len(list(many(toy, ["a", "b"], save="after", steps=2))) == 2


def test_cell_says_which_workers_made_its_rows(
    cluster: Cluster, toy: Path, shell: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    shell.run(cell(toy, "--seeds 1,2 --save cell --out clips"))
    assert [video.seed for video in shell.user_ns["clips"]] == [1, 2]
    workers = r"[12] workers? \((2 x )?CPU, tier none\)"
    assert re.search(rf"2 of 2 videos in \S+ s by {workers} · ", capfd.readouterr().err)
    status = shell.run("%cogvideo cluster status")
    assert str(status) == str(cogmagic.cluster()) == cluster.lines()
    assert repr(status) == "<cluster local, 2 actors>"
    assert status.actors == cluster.actors
    until(lambda: cluster.held > 0)  # its workers have settled, with warm weights
    assert "holds 0.0" in str(cogmagic.status())
    shell.run("%cogvideo release")
    assert "The cluster's workers freed 0.0" in capfd.readouterr().out
    assert cluster.held == 0
    assert "holds" not in cluster.lines()
    with pytest.raises(RequestError, match=r"^--parallel 2 is for this kernel's GPUs"):
        shell.run(cell(toy, "--seeds 1,2 --parallel 2"))


def test_lost_head_ends_the_batch_and_the_kernel_goes_on(
    cluster: Cluster, toy: Path, cwd: Path
) -> None:
    """Last, as it ends the cluster."""
    driver = psutil.Process(cluster._driver.pid)
    started = {p.pid: p for p in (driver, *driver.children(recursive=True))}
    folder = cluster._folder
    (head,) = (p for p in started.values() if p.name() == "gcs_server")
    previews: list[Any] = []

    def lose(preview: Any) -> None:
        previews.append(preview)
        head.kill()

    videos = many(toy, ["a", "b", "c"], seeds=[1], steps=1000, on_preview=lose)
    with pytest.raises(ClusterError, match=r"^The cluster local is lost: .*of 3 videos are fin"):
        list(videos)
    assert previews[0].ndim == 4
    with pytest.raises(ClusterError, match=r"^The cluster local is lost: .*Connect again"):
        many(toy, ["a", "b"], save="next")
    assert "lost" in cluster.lines()
    cogmagic.cluster().off()
    assert current() is None
    _, alive = psutil.wait_procs(started.values(), timeout=WAIT)
    assert not alive
    until(lambda: not folder.exists())
    assert len(list(many(toy, ["a", "b"], save="here", steps=2))) == 2
