"""Real training loops with validations: one and two processes, DeepSpeed's stages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.benchmarks import ROOT
from tests.helpers.training import Trained, deepspeed, train

Loops = Callable[..., tuple[Path, Trained]]


@pytest.fixture(scope="module")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Folder and results of training loops, launched once for all tests that look at them."""
    done: dict[str, tuple[Path, Trained]] = {}

    def launched(processes: int, **options: str) -> tuple[Path, Trained]:
        name = "-".join([str(processes), *options.values()])
        if name not in done:
            scenarios = ["alone", "validated"]
            scenarios += ["raise"] if name in ("2", "2-3") else []
            scenarios += ["main"] if name == "2-3" else []
            folder = tmp_path_factory.mktemp("loops")
            done[name] = folder, train(folder, processes, ",".join(scenarios), **options)
        return done[name]

    return launched


@pytest.mark.parametrize(
    ("processes", "options"),
    [
        (1, {}),
        (2, {}),
        (2, {"mixed": "bf16", "wrapped": "yes"}),
        pytest.param(2, {"zero": "1"}, marks=deepspeed),
        pytest.param(2, {"zero": "2", "mixed": "bf16", "wrapped": "yes"}, marks=deepspeed),
        pytest.param(2, {"zero": "3"}, marks=deepspeed),
    ],
    ids=lambda value: "-".join(value.values()) or "plain" if isinstance(value, dict) else None,
)
def test_validation_does_not_change_the_training(
    loops: Loops, processes: int, options: dict[str, str]
) -> None:
    """To the last bit, and nothing that it relies on has moved."""
    folder, trained = loops(processes, **options)
    validated = trained["validated"]
    for before, after in zip(trained["alone"], validated, strict=True):
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
        assert after["notes"] == []
        assert after["videos"] == validated[0]["videos"]  # each process has all of them
    videos = validated[0]["videos"]
    assert len(videos) == 3
    assert {v["tier"] for v in videos} == {"deepspeed" if "zero" in options else "none"}
    assert all(Path(v["path"]).is_file() for v in videos)
    assert videos[0]["sha"] != videos[2]["sha"]  # the same prompt, another seed
    assert len(list((folder / "validated" / "videos").iterdir())) == 6


@pytest.mark.parametrize("zero", [None, pytest.param("3", marks=deepspeed)])
def test_failed_validation_does_not_change_the_training(loops: Loops, zero: str | None) -> None:
    folder, trained = loops(2, **({"zero": zero} if zero else {}))
    for before, after in zip(trained["alone"], trained["raise"], strict=True):
        assert after["notes"] == ["RuntimeError: injected"] * 2
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
    assert list((folder / "raise" / "videos").iterdir()) == []


@deepspeed
def test_validation_in_one_process_alone_is_refused_without_hanging(loops: Loops) -> None:
    main, other = loops(2, zero="3")[1]["main"]
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
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *options, "--dynamo_backend=no",
         str(examples / "validate_while_training.py")],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    names = ["step-000009-0.mp4", "step-000019-0.mp4"]
    assert sorted(p.name for p in (tmp_path / "validation").iterdir()) == names
