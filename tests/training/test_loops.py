"""Real training loops with validations: one and two processes, DeepSpeed's stages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.benchmarks import ROOT
from tests.helpers.training import deepspeed
from tests.training.conftest import Loops


@pytest.mark.parametrize(
    ("launch", "group"),
    [
        ("one_process", "."),
        ("two_processes", "plain"),
        ("two_processes", "bf16"),
        pytest.param("zero", "1", marks=deepspeed),
        pytest.param("zero", "2", marks=deepspeed),
        pytest.param("zero", "3", marks=deepspeed),
    ],
)
def test_validation_does_not_change_the_training(
    request: pytest.FixtureRequest, launch: str, group: str
) -> None:
    """To the last bit, and nothing that it relies on has moved."""
    folder, groups = request.getfixturevalue(launch)
    trained = groups[group]
    validated = trained["validated"]
    for before, after in zip(trained["alone"], validated, strict=True):
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
        assert after["notes"] == []
        assert after["videos"] == validated[0]["videos"]  # each process has all of them
    videos = validated[0]["videos"]
    assert len(videos) == 3
    assert {v["tier"] for v in videos} == {"deepspeed" if launch == "zero" else "none"}
    assert all(Path(v["path"]).is_file() for v in videos)
    assert videos[0]["sha"] != videos[2]["sha"]  # the same prompt, another seed
    assert len(list((folder / group / "validated" / "videos").iterdir())) == 6


@pytest.mark.parametrize(
    ("launch", "group"),
    [("two_processes", "plain"), pytest.param("zero", "3", marks=deepspeed)],
)
def test_failed_validation_does_not_change_the_training(
    request: pytest.FixtureRequest, launch: str, group: str
) -> None:
    folder, groups = request.getfixturevalue(launch)
    trained = groups[group]
    for before, after in zip(trained["alone"], trained["raise"], strict=True):
        assert after["notes"] == ["RuntimeError: injected"] * 2
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
    assert list((folder / group / "raise" / "videos").iterdir()) == []


@deepspeed
def test_validation_in_one_process_alone_is_refused_without_hanging(zero: Loops) -> None:
    main, other = zero[1]["3"]["main"]
    assert "Process 1 of 2 did not reach the validation within 5 s" in main["notes"][0]
    assert "is_main_process: ZeRO-3 keeps a part of each weight" in main["notes"][0]
    assert len(main["losses"]) == len(other["losses"]) == 4
    assert (len(main["notes"]), other["notes"]) == (1, [])
    assert main["videos"] == other["videos"]  # the next time all come, and it works
    assert len(main["videos"]) == 3


@pytest.mark.parametrize("engine", ["", pytest.param("deepspeed", marks=deepspeed)])
def test_example_script_runs(tmp_path: Path, engine: str) -> None:
    examples = ROOT / "docs" / "examples"
    options = ["--num_processes=1", "--num_machines=1", "--mixed_precision=no"]
    if engine:
        options += ["--use_deepspeed", f"--deepspeed_config_file={examples / 'deepspeed.json'}"]
        options += ["--module"]
    script = ["tests.helpers.without_shm"] * bool(engine)
    script += [str(examples / "validate_while_training.py")]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *options, "--dynamo_backend=no",
         *script],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    names = ["step-000009-0.mp4", "step-000019-0.mp4"]
    assert sorted(p.name for p in (tmp_path / "validation").iterdir()) == names
