"""An accelerator and a pipeline to train."""

from __future__ import annotations

from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from diffusers import CogVideoXPipeline

from cogmagic._models.find import embedded_folder


@pytest.fixture
def accelerator() -> Any:
    yield Accelerator(cpu=True)
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


@pytest.fixture
def pipe() -> Any:
    return CogVideoXPipeline.from_pretrained(embedded_folder(), use_safetensors=True)
