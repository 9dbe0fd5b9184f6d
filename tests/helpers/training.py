"""Training loops in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.benchmarks import ROOT

LOOP = Path(__file__).with_name("training_loop.py")

SMALL = {"num_frames": 9, "width": 64, "height": 64, "num_inference_steps": 2}


Trained = dict[str, list[dict[str, Any]]]

deepspeed = pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed needs Linux")


def train(
    model: Path, folder: Path, processes: int, groups: dict[str, tuple[str, dict[str, str]]]
) -> dict[str, Trained]:
    """Train once for each scenario of each group, all in one launch of so many processes.

    Importing the libraries takes longest: what can share a launch does.

    Args:
        model: the checkpoint that is trained.
        folder: where each group has a folder with one for each scenario and its videos.
        processes: how many train together.
        groups: per group the scenarios, separated by commas (`training_loop.py` knows them), and
            the options: mixed precision, DeepSpeed's stage, a wrapped transformer. All groups are
            with DeepSpeed, or all without it.

    Returns:
        The reports of the processes, by group and scenario.
    """
    command = [str(LOOP), str(model), str(folder), json.dumps(groups)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    zero = any("zero" in options for _, options in groups.values())
    if processes > 1 or zero:
        launch = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        # On a free port, which the launcher itself picks and holds.
        command = [*launch, "--standalone", "--local_addr=127.0.0.1", *command]
    if zero:
        environment |= {"ACCELERATE_USE_DEEPSPEED": "true"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {
        group: {
            name: [
                json.loads((folder / group / name / f"{n}.json").read_text())
                for n in range(processes)
            ]
            for name in scenarios.split(",")
        }
        for group, (scenarios, _) in groups.items()
    }
