"""Training loops in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LOOP = Path(__file__).with_name("training_loop.py")

SMALL = {"num_frames": 9, "width": 64, "height": 64, "num_inference_steps": 2}


Trained = dict[str, list[dict[str, Any]]]

deepspeed = pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed needs Linux")


def train(folder: Path, processes: int, scenarios: str, **options: str) -> Trained:
    """Train once for each of the scenarios, in one launch of so many processes.

    Args:
        folder: where each scenario has a folder of its own, with its videos.
        processes: how many train together.
        scenarios: their names, separated by commas: `training_loop.py` knows them.
        options: mixed precision, DeepSpeed's stage, a wrapped transformer.

    Returns:
        The reports of the processes, by scenario.
    """
    command = [str(LOOP), str(folder), scenarios, *(f"{k}={v}" for k, v in options.items())]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if processes > 1 or "zero" in options:
        launch = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        # On a free port, which the launcher itself picks and holds.
        command = [*launch, "--standalone", "--local_addr=127.0.0.1", *command]
    if "zero" in options:
        environment |= {"ACCELERATE_USE_DEEPSPEED": "true"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {
        name: [json.loads((folder / name / f"{n}.json").read_text()) for n in range(processes)]
        for name in scenarios.split(",")
    }
