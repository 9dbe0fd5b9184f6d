"""Batches on a Ray cluster: scaling, a killed node, memory of the driver, interrupts, leftovers.

    python docs/benchmarks/cluster.py --out docs/benchmarks/cluster.jsonl

Starts a head and nodes (raylets) with one CPU each on this machine, with a private folder and a
token of their own, and makes ``--rows`` videos of the embedded model on them: with one worker, with
two, and with two of which a node is killed after a third of the rows. Then it interrupts a batch
and kills a kernel that has a local cluster. Prints a JSON line for each; rows that the file has
already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from common import HERE, append, facts, rows, say

import cogmagic

CLIP = {"model": "tiny", "num_frames": 9, "size": "64x64", "num_inference_steps": 8}
PATIENCE = 120.0
os.environ |= {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
os.environ |= {"RAY_worker_niceness": "0"}
os.environ |= {"RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": str(HERE.parents[1])}

KERNEL = """
import cogmagic, json, sys
clip = json.loads(sys.argv[1])
cogmagic.cluster("local")
for video in cogmagic.generate_many(["a red circle"], seeds=range(100), progress=False, **clip):
    print(video.seed, flush=True)
"""


class Nodes:
    """A head and further nodes on this machine."""

    def __init__(self, count: int, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        port = self.address.partition(":")[2]
        self._folder = str(folder)
        _ray("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false",
             "--node-ip-address=127.0.0.1")  # fmt: skip
        for _ in range(count - 1):
            _ray(f"--address={self.address}")

    def kill_last(self) -> None:
        """Kill the last node that was started: its raylet and the workers there."""
        raylets = [p for p in self._processes() if p.name() == "raylet"]
        last = max(raylets, key=lambda p: p.create_time())
        for process in [last, *last.children(recursive=True)]:
            process.kill()

    def end(self) -> None:
        ended = self._processes()
        for process in ended:
            if process.is_running():
                process.kill()
        psutil.wait_procs(ended, timeout=10)

    def _processes(self) -> list[psutil.Process]:
        mine = [p for p in psutil.process_iter() if self._folder in " ".join(command(p))]
        return [q for p in mine for q in (p, *p.children(recursive=True))]


def command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _ray(*arguments: str) -> None:
    start = [str(Path(sys.executable).with_name("ray")), "start", *arguments]
    start += ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000"]
    subprocess.run(start, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


@contextmanager
def nodes(count: int) -> Iterator[Nodes]:
    folder = Path(tempfile.mkdtemp(prefix="nodes-", dir="/tmp"))
    started = None
    try:
        started = Nodes(count, folder)
        yield started
    finally:
        if started:
            started.end()
        shutil.rmtree(folder, ignore_errors=True)


def driver_mib() -> int:
    """Private memory of the driver, in MiB."""
    for process in psutil.Process().children():
        if "cogmagic._cluster.driver" in command(process):
            info = process.memory_info()
            return int(info.rss - info.shared) >> 20
    raise LookupError("there is no driver")


def batch(count: int, workers: int, *, killed: bool) -> dict[str, Any]:
    """Many rows on nodes with a worker each; the last node is killed if `killed`."""
    prompts = [f"a red circle {n % 7}" for n in range(count)]
    table = [{"prompt": prompt, "seed": n} for n, prompt in enumerate(prompts)]
    with nodes(workers) as started, cogmagic.cluster(started.address) as cluster:
        list(cogmagic.generate_many(table[:4], save="warm", progress=False, **CLIP))
        began, seeds, memory = time.time(), [], []
        videos = cogmagic.generate_many(table, save="out", progress=False, **CLIP)
        for video in videos:
            seeds.append(video.seed)
            if len(seeds) % max(count // 8, 1) == 0:
                memory.append(driver_mib())
            if killed and len(seeds) == count // 3:
                started.kill_last()
        seconds = time.time() - began
        left_out = [actor.out for actor in cluster.actors if actor.out]
    lines = Path("out/finished.jsonl").read_text().splitlines()
    return {
        "workers": workers,
        "rows": count,
        "seconds": round(seconds, 1),
        "in_order_once": seeds == list(range(count)) and len(lines) == count,
        "left_out": left_out,
        "driver_mib": memory,
    }


def interrupted() -> dict[str, Any]:
    """Ctrl-C in a long batch: when the kernel is idle, and when the workers are."""
    pressed: list[float] = []

    def press(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and not pressed:
            pressed.append(time.time())
            os.kill(os.getpid(), signal.SIGINT)

    clip = CLIP | {"num_inference_steps": 900}
    with cogmagic.cluster("local") as cluster:
        try:
            list(cogmagic.generate_many(["a", "b", "c"], save="long", on_progress=press, **clip))
        except cogmagic.Cancelled as error:
            text, idle = str(error).partition(" The same")[0], time.time() - pressed[0]
        workers = until(lambda: all(a.row is None for a in cluster.actors), pressed[0])
        again = len(list(cogmagic.generate_many(["a", "b"], save="b", progress=False, **CLIP)))
    return {"idle_after_s": round(idle, 2), "workers_idle_after_s": workers, "text": text,
            "next_batch": again}  # fmt: skip


def kernel_killed() -> dict[str, Any]:
    """SIGKILL of a kernel in the middle of a batch on a local cluster."""
    before = set(map(str, folders()))
    start = [sys.executable, "-P", "-c", KERNEL, json.dumps(CLIP | {"save": "killed"})]
    kernel = subprocess.Popen(start, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert kernel.stdout is not None
    for line in kernel.stdout:
        if line.startswith("3"):
            break
    made = [folder for folder in folders() if str(folder) not in before]
    processes = psutil.Process(kernel.pid).children(recursive=True)
    kernel.kill()
    since = time.time()
    gone = until(lambda: not any(map(alive, processes)), since)
    files = until(lambda: not any(map(Path.exists, made)), since)
    return {"processes": len(processes), "none_after_s": gone, "files_gone_after_s": files}


def folders() -> list[Path]:
    """The private folders of local clusters."""
    return list(Path(tempfile.gettempdir()).glob("cogmagic-ray-*"))


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def until(done: Callable[[], bool], since: float) -> float | None:
    """Seconds from `since` until `done`; None if that takes more than two minutes."""
    while not done():
        if time.time() - since > PATIENCE:
            return None
        time.sleep(0.02)
    return round(time.time() - since, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--only", help="one kind")
    parser.add_argument("--out", type=Path, help="where the lines go as well; those there stay")
    args = parser.parse_args()
    args.out = args.out and args.out.absolute()
    kinds: dict[str, Callable[[], dict[str, Any]]] = {
        "one worker": lambda: batch(args.rows, 1, killed=False),
        "two workers": lambda: batch(args.rows, 2, killed=False),
        "node killed": lambda: batch(args.rows, 2, killed=True),
        "interrupt": interrupted,
        "kernel killed": kernel_killed,
    }
    measured = {row["kind"] for row in rows(args.out)} if args.out else set()
    for kind, measure in kinds.items():
        if kind in measured or args.only not in (None, kind):
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            row = {"kind": kind, **measure(), "load": round(os.getloadavg()[0], 1), **facts()}
            os.chdir("/")
        say(json.dumps(row))
        if args.out:
            append(args.out, row)


if __name__ == "__main__":
    main()
