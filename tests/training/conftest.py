"""An accelerator, a pipeline to train, and training loops, launched once for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from diffusers import CogVideoXPipeline

from cogmagic._models.find import embedded_folder
from tests.helpers.training import Trained, train
from tests.helpers.training_loop import Loop

Loops = tuple[Path, dict[str, Trained]]
"""The folder of a launch and what its loops reported, by group of options."""

LOOPS = ("alone", "validated")


@pytest.fixture(scope="session")
def one_process(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """This process."""
    folder = tmp_path_factory.mktemp("one-process")
    return folder, {".": {scenario: [trained(toy, folder, scenario)] for scenario in LOOPS}}


def trained(model: Path, folder: Path, scenario: str) -> dict[str, Any]:
    """The report of a loop in this process."""
    (folder / scenario).mkdir()
    with torch.random.fork_rng():
        report = Loop(str(model), {"validate": scenario}).run(folder / scenario)
    forget_accelerator()
    return report


@pytest.fixture(scope="session")
def two_processes(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Two processes without DeepSpeed."""
    folder = tmp_path_factory.mktemp("two-processes")
    loops = ",".join(LOOPS)
    plain = f"{loops},raise,raise-one,refuse-one,other-one"
    mixed = {"mixed": "bf16", "wrapped": "yes"}
    return folder, train(toy, folder, 2, {"plain": (plain, {}), "bf16": (loops, mixed)})


@pytest.fixture(scope="session")
def zero(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Two processes under DeepSpeed's stages, in a folder that has one of the videos already."""
    folder = tmp_path_factory.mktemp("zero")
    (folder / "3" / "keep" / "videos").mkdir(parents=True)
    (folder / "3" / "keep" / "videos" / "step-000001-0.mp4").touch()
    loops = ",".join(LOOPS)
    groups = {
        "1": (loops, {"zero": "1"}),
        "2": (loops, {"zero": "2", "mixed": "bf16", "wrapped": "yes"}),
        "3": (f"{loops},raise,refuse-one,keep,main", {"zero": "3"}),
    }
    return folder, train(toy, folder, 2, groups)


def forget_accelerator() -> None:
    """Let the next test make an accelerator of its own."""
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


@pytest.fixture
def accelerator() -> Any:
    yield Accelerator(cpu=True)
    forget_accelerator()


@pytest.fixture
def pipe() -> Any:
    return CogVideoXPipeline.from_pretrained(embedded_folder(), use_safetensors=True)
