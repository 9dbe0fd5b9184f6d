"""A described machine on which every check of the doctor is ok, and parts to replace in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cogmagic import Gpu, Machine, Ram
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._machine.torch_build import TorchBuild
from cogmagic._units import GIB

H100 = Gpu(0, "NVIDIA H100 80GB HBM3", total=80 * GIB, free=79 * GIB, capability=(9, 0))
T4 = Gpu(0, "Tesla T4", total=15 * GIB, free=14 * GIB, capability=(7, 5))

HEALTHY = Surroundings(
    machine=replace(Machine.of("H100"), gpus=(H100,), ram=Ram(128 * GIB, 120 * GIB, "machine")),
    build=TorchBuild("2.13.0", cuda="13.0"),
    python=(3, 12, 4),
    packages={
        "ipykernel": "7.4.0",
        "anywidget": "0.11.0",
        "ipywidgets": "8.1.9",
        "jupyterlab": "4.6.6",
        "diffusers": "0.42.1",
    },
    requirements=("diffusers>=0.42.1", 'anywidget>=0.11; extra == "lab"'),
    driver="580.95.05",
    driver_cuda=(13, 0),
    nvidia_devices=1,
    shared_memory=64 * GIB,
)


def packages(**changes: str | None) -> dict[str, str]:
    """The packages of the healthy machine with other versions; None takes one away."""
    changed: dict[str, Any] = {**HEALTHY.packages, **changes}
    return {name: version for name, version in changed.items() if version is not None}


def machine(**changes: Any) -> Machine:
    """The healthy machine with other values."""
    return replace(HEALTHY.machine, **changes)
