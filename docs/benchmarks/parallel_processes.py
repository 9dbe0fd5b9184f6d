"""Seconds in the life of the worker processes of ``--parallel``: stopped, killed, left over.

    python docs/benchmarks/parallel_processes.py --out docs/benchmarks/parallel_processes.jsonl

A process in place of a kernel makes videos of the embedded model (or of ``--model``) by ``--count``
workers. It is interrupted as by a terminal (SIGINT to its process group, twice for ``two presses``)
or killed, loses a worker, or makes 20 videos in a row. Prints a JSON line for each, with what is
left of shared memory and temporary files; rows that the file has already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from common import HERE, append, facts, rows, say

KERNEL = """
import json, sys, threading, time
import cogmagic
from cogmagic._session.session import session

options = json.loads(sys.argv[1])

def say(**row):
    print(json.dumps(row), flush=True)

def follow(progress):
    if progress.phase == "denoise":
        pids = session().slot.workers.pids if session().slot.workers else []
        say(step=progress.done, pids=pids)

for line in sys.stdin:
    ask = json.loads(line)
    try:
        video = cogmagic.generate("a red circle", overwrite=True, save="clip.png",
                                  on_progress=follow, **options | ask)
        say(made=video.report.split or "one process", sha=video.report.frames_sha256,
            reason=video.report.reason)
    except KeyboardInterrupt as error:
        say(stopped=time.time(), text=str(error))
    except cogmagic.CogMagicError as error:
        say(failed=str(error))
"""
PATIENCE = 60.0


class Kernel:
    """A process that makes a video for each line that it is sent."""

    def __init__(self, options: dict[str, Any], folder: Path, temporary: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", "-c", KERNEL, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ
            | {
                "PYTHONPATH": str(HERE.parents[1]),
                "TMPDIR": str(temporary),
                "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
            },
            start_new_session=True,
        )
        self.pids: list[int] = []

    def ask(self, **options: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(options) + "\n")
        self._process.stdin.flush()

    def answer(self, at_step: int = -1, act: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """The outcome of a run, during which `act` is called once after a step."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            row: dict[str, Any] = json.loads(line)
            if "step" not in row:
                return row
            self.pids = row["pids"] or self.pids
            if row["step"] == at_step:
                act()
                at_step = -1
        raise EOFError("the kernel has ended")

    def send(self, number: int) -> None:
        """Send a signal to the kernel's process group, as a terminal does."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)


def private(pid: int) -> int:
    """Bytes of a process's private memory; 0 if it has ended."""
    try:
        process = psutil.Process(pid)
        info = process.memory_info()
        return 0 if process.status() == psutil.STATUS_ZOMBIE else int(info.rss - info.shared)
    except psutil.Error:
        return 0


def seconds_until(done: Callable[[], bool], since: float) -> float | None:
    """Seconds from `since` until `done`; None if that takes more than a minute."""
    while not done():
        if time.time() - since > PATIENCE:
            return None
        time.sleep(0.02)
    return round(time.time() - since, 2)


def shared_memory() -> set[str]:
    folder = Path("/dev/shm")  # noqa: S108
    return set(map(str, folder.iterdir())) if folder.is_dir() else set()


def interrupted(started: Kernel, presses: int) -> dict[str, Any]:
    """Ctrl-C in the middle of denoising."""
    started.ask(num_inference_steps=4)
    first = started.answer()
    idle = sum(map(private, started.pids))
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.time())
        for _ in range(presses):
            started.send(signal.SIGINT)
            time.sleep(0.2 * (presses > 1))

    started.ask(num_inference_steps=500)
    stopped = started.answer(3, press)
    pids = list(started.pids)
    free = seconds_until(lambda: sum(map(private, pids)) <= idle * 1.1, pressed[0])
    alive = sum(map(psutil.pid_exists, pids))
    started.ask(num_inference_steps=4)
    again = started.answer()
    return {
        "idle_after_s": round(stopped["stopped"] - pressed[0], 2),
        "memory_free_after_s": free,
        "workers_left": alive,
        "text": stopped["text"],
        "next_cell_is_the_same": again.get("sha") == first.get("sha"),
    }


def kernel_killed(started: Kernel) -> dict[str, Any]:
    """SIGKILL of the kernel in the middle of denoising."""
    killed: list[float] = []

    def kill() -> None:
        killed.append(time.time())
        started.kill()

    started.ask(num_inference_steps=500)
    with suppress(EOFError):
        started.answer(3, kill)
    pids = list(started.pids)
    gone = seconds_until(lambda: not any(map(psutil.pid_exists, pids)), killed[0])
    return {"workers": len(pids), "no_worker_after_s": gone}


def worker_killed(started: Kernel) -> dict[str, Any]:
    """SIGKILL of the last worker in the middle of denoising."""
    started.ask(num_inference_steps=4)
    first = started.answer()
    began = time.time()
    started.ask(num_inference_steps=20)
    rest = started.answer(3, lambda: os.kill(started.pids[-1], signal.SIGKILL))
    seconds = round(time.time() - began, 2)
    started.ask(num_inference_steps=4)
    again = started.answer()
    return {
        "made_by": rest.get("made"),
        "reason": rest.get("reason"),
        "seconds": seconds,
        "next_cell_by": again.get("made"),
        "next_cell_is_the_same": again.get("sha") == first.get("sha"),
    }


def many_cells(started: Kernel, cells: int) -> dict[str, Any]:
    """Cells in a row, every fifth without keeping anything, and the end of the kernel."""
    began, made, pids = time.time(), [], set()
    for number in range(cells):
        started.ask(num_inference_steps=2, keep="cold" if number % 5 == 4 else "warm")
        made.append(started.answer().get("sha"))
        pids |= set(started.pids)
    started.close()
    gone = seconds_until(lambda: not any(map(psutil.pid_exists, pids)), time.time())
    return {
        "cells": cells,
        "seconds": round(time.time() - began, 1),
        "different_outcomes": len(set(made)),
        "processes_started": len(pids),
        "no_worker_after_s": gone,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--count", type=int, default=2)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--out", type=Path, help="where the lines go as well; those there stay")
    args = parser.parse_args()
    options = {"model": args.model, "parallel": args.count, "num_frames": 9, "seed": 1}
    kinds: dict[str, Callable[[Kernel], dict[str, Any]]] = {
        "interrupt": lambda k: interrupted(k, 1),
        "two presses": lambda k: interrupted(k, 2),
        "kernel killed": kernel_killed,
        "worker killed": worker_killed,
        "cells": lambda k: many_cells(k, args.cells),
    }
    measured = {(r["kind"], r["model"], r["count"]) for r in rows(args.out)} if args.out else set()
    for kind, measure in kinds.items():
        if (kind, args.model, args.count) in measured:
            continue
        with tempfile.TemporaryDirectory() as folder:
            before, temporary = shared_memory(), Path(folder) / "temporary"
            temporary.mkdir()
            started = Kernel(options, Path(folder), temporary)
            try:
                figures = measure(started)
            finally:
                started.kill()
            left = [*(shared_memory() - before), *map(str, temporary.iterdir())]
        row = {"kind": kind, "model": args.model, "count": args.count, **figures}
        row |= {"files_left": left, **facts()}
        say(json.dumps(row))
        if args.out:
            append(args.out, row)


if __name__ == "__main__":
    main()
