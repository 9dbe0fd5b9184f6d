"""Training loops in processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LOOP = Path(__file__).with_name("training_loop.py")

SMALL = {"num_frames": 9, "width": 64, "height": 64, "num_inference_steps": 2}


deepspeed = pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed needs Linux")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(folder: Path, processes: int, **options: str) -> list[dict[str, Any]]:
    """What each process of a training loop tells; all at the same time."""
    out = folder / "-".join(["out", *options.values()])
    command = [str(LOOP), str(out), *(f"{k}={v}" for k, v in options.items())]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if processes > 1 or "zero" in options:
        launch = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        command = [*launch, f"--master_port={free_port()}", *command]
    if "zero" in options:
        environment |= {"ACCELERATE_USE_DEEPSPEED": "true"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(Path(f"{out}-{rank}.json").read_text()) for rank in range(processes)]
