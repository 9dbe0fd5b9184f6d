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
from pathlib import Path
from typing import Any

import psutil
import pytest

import cogmagic
from cogmagic._cluster.cluster import connect, disconnect
from tests.helpers.lora_files import write_lora

pytest.importorskip("ray")
pytest.importorskip("grpc")  # of ray[client]
pytestmark = pytest.mark.slow
WAIT = 120.0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """The ports of a head with one CPU: its own, and that of its client server."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets have short paths
    port, client = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *(f"--port={port}", f"--ray-client-server-port={client}", f"--temp-dir={folder}"),
        *("--num-cpus=1", "--include-dashboard=false", "--object-store-memory=100000000"),
    ]
    with (Path(folder) / "log").open("w") as log:
        ray = psutil.Process(subprocess.Popen(command, stdout=log, stderr=log).pid)
    try:
        await_port(client)
        yield port, client
    finally:
        processes = [ray, *ray.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=WAIT)
        shutil.rmtree(folder, ignore_errors=True)


def await_port(port: int) -> None:
    end = time.monotonic() + WAIT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
        else:
            return


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
