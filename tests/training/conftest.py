"""An accelerator, a pipeline to train, and training loops, launched once for all tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from diffusers import CogVideoXPipeline

from cogmagic._models.find import embedded_folder
from tests.helpers.training import Trained, train, train_all

Loops = tuple[Path, dict[str, Trained]]
"""The folder of a launch and what its loops reported, by group of options."""

LOOPS = "alone,validated"


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    folder = tmp_path_factory.mktemp("one-process")
    return folder, {".": train(folder, 1, LOOPS)}


@pytest.fixture(scope="session")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Two processes without DeepSpeed."""
    folder = tmp_path_factory.mktemp("two-processes")
    plain = f"{LOOPS},raise,raise-one,refuse-one,other-one"
    mixed = {"mixed": "bf16", "wrapped": "yes"}
    return folder, train_all(folder, 2, {"plain": (plain, {}), "bf16": (LOOPS, mixed)})


@pytest.fixture(scope="session")
def zero(tmp_path_factory: pytest.TempPathFactory) -> Loops:
    """Two processes under DeepSpeed's stages, in a folder that has one of the videos already."""
    folder = tmp_path_factory.mktemp("zero")
    (folder / "3" / "keep" / "videos").mkdir(parents=True)
    (folder / "3" / "keep" / "videos" / "step-000001-0.mp4").touch()
    groups = {
        "1": (LOOPS, {"zero": "1"}),
        "2": (LOOPS, {"zero": "2", "mixed": "bf16", "wrapped": "yes"}),
        "3": (f"{LOOPS},raise,refuse-one,keep,main", {"zero": "3"}),
    }
    return folder, train_all(folder, 2, groups)


@pytest.fixture
def accelerator() -> Any:
    yield Accelerator(cpu=True)
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


@pytest.fixture
def pipe() -> Any:
    return CogVideoXPipeline.from_pretrained(embedded_folder(), use_safetensors=True)
