"""Batches on a Ray cluster that someone else started: from one of its nodes, and from outside."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import cogmagic
from cogmagic._cluster.address import Address
from cogmagic._cluster.cluster import connect, disconnect
from cogmagic._cluster.ray_settings import ray_environ
from tests.helpers.lora_files import write_lora

pytest.importorskip("ray")
pytest.importorskip("grpc")  # of ray[client]
pytestmark = pytest.mark.slow
WAIT = 300.0


def free_port() -> int:
    """A port between those that Ray gives to workers and those that systems give to anyone."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("", port))
            return port


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The ports of a head with one CPU: its own, and that of its client server."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for name, value in ray_environ(Address("127.0.0.1", 6379)).items():
        monkeypatch.setenv(name, value)
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets have short paths
    started: list[psutil.Process] = []
    try:
        for _ in range(3):
            port, client = free_port(), free_port()
            ray = started_head(port, client, folder)
            started.append(ray)
            if answers(client, ray):
                break
        else:
            log = (folder / "log").read_text()
            assert "timed out during startup" in log, log
            pytest.skip("Ray, which gives itself 30 seconds, did not start on this busy machine")
        yield port, client
    finally:
        for process in started:
            end_with_children(process)
        shutil.rmtree(folder, ignore_errors=True)


def started_head(port: int, client: int, folder: Path) -> psutil.Process:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={folder}"),
        *("--num-cpus=1", "--include-dashboard=false", "--object-store-memory=100000000"),
    ]
    with (folder / "log").open("a") as log:
        return psutil.Process(subprocess.Popen(command, stdout=log, stderr=log).pid)


def answers(port: int, ray: psutil.Process) -> bool:
    """Whether a process accepts connections at a port before it ends, or WAIT is over."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end and ray.is_running() and ray.status() != psutil.STATUS_ZOMBIE:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        time.sleep(0.1)
    return False


def end_with_children(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        processes = [process, *process.children(recursive=True)]
        for one in processes:
            one.kill()
        psutil.wait_procs(processes, timeout=WAIT)


def test_rows_with_a_lora_come_from_a_cluster_by_both_of_its_addresses(
    head: tuple[int, int], toy: Path, cwd: Path
) -> None:
    import diffusers

    transformer = diffusers.CogVideoXTransformer3DModel.from_pretrained(toy / "transformer")
    lora = write_lora(cwd / "style.safetensors", transformer)
    options: dict[str, Any] = {
        "model": str(toy),
        "size": "48x32",
        "frames": 9,
        "steps": 2,
        "progress": False,
    }
    here = cogmagic.generate("a fox", seed=1, lora=str(lora), **options)
    plain = cogmagic.generate("a fox", seed=1, **options)
    assert here.report.frames_sha256 != plain.report.frames_sha256
    for address in (f"127.0.0.1:{head[0]}", f"ray://127.0.0.1:{head[1]}"):
        try:
            connected = connect(address)
            (video,) = cogmagic.generate_many(
                ["a fox"], seeds=[1], lora=str(lora), save=address.rpartition(":")[2], **options
            )
            assert video.report.frames_sha256 == here.report.frames_sha256
            assert "1 of 1 workers" in connected.lines()
        finally:
            disconnect()
