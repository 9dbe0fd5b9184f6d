"""CogVideoX in a notebook, on whatever GPU the machine has.

    %load_ext cogmagic

    %%cogvideo
    a red circle moves to the right on a black background

Everything that the magics do, `generate`, `plan`, `status`, `models`, `release`, `cancel`,
`cluster`, `doctor`, `enhance` and `mask` do from Python. Importing this package brings in neither
torch nor diffusers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cogmagic._version import __version__

if TYPE_CHECKING:
    from cogmagic import training
    from cogmagic._api.batch.generate_many import generate_many
    from cogmagic._api.cluster import cluster
    from cogmagic._api.doctor import doctor
    from cogmagic._api.enhance import Enhanced, enhance
    from cogmagic._api.generate import generate
    from cogmagic._api.kernel import cancel, models, release, status, unsaved
    from cogmagic._api.plan import plan
    from cogmagic._errors import (
        BatchError,
        BusyError,
        Cancelled,
        CheckpointError,
        ClusterError,
        CogMagicError,
        DeviceError,
        EndpointError,
        NonFiniteError,
        OutOfMemoryError,
        OutputError,
        RequestError,
        TierError,
        TrainingError,
    )
    from cogmagic._machine.gpu import Gpu
    from cogmagic._machine.machine import Machine
    from cogmagic._machine.ram import Ram
    from cogmagic._models.request import Request
    from cogmagic._notebook.masks import mask
    from cogmagic._notebook.panel import panel
    from cogmagic._planning.plan import Plan
    from cogmagic._progress import Progress
    from cogmagic._video.report import Report
    from cogmagic._video.video import Video
    from cogmagic._video.videos import Videos

_HOMES = {
    "_api.cluster": ("cluster",),
    "_api.doctor": ("doctor",),
    "_api.enhance": ("Enhanced", "enhance"),
    "_api.generate": ("generate",),
    "_api.batch.generate_many": ("generate_many",),
    "_api.kernel": ("cancel", "models", "release", "status", "unsaved"),
    "_api.plan": ("plan",),
    "_errors": (
        "BatchError",
        "BusyError",
        "Cancelled",
        "CheckpointError",
        "ClusterError",
        "CogMagicError",
        "DeviceError",
        "EndpointError",
        "NonFiniteError",
        "OutOfMemoryError",
        "OutputError",
        "RequestError",
        "TierError",
        "TrainingError",
    ),
    "_machine.gpu": ("Gpu",),
    "_machine.machine": ("Machine",),
    "_machine.ram": ("Ram",),
    "_models.request": ("Request",),
    "_notebook.masks": ("mask",),
    "_notebook.panel": ("panel",),
    "_planning.plan": ("Plan",),
    "_progress": ("Progress",),
    "_video.report": ("Report",),
    "_video.video": ("Video",),
    "_video.videos": ("Videos",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BatchError",
    "BusyError",
    "Cancelled",
    "CheckpointError",
    "ClusterError",
    "CogMagicError",
    "DeviceError",
    "EndpointError",
    "Enhanced",
    "Gpu",
    "Machine",
    "NonFiniteError",
    "OutOfMemoryError",
    "OutputError",
    "Plan",
    "Progress",
    "Ram",
    "Report",
    "Request",
    "RequestError",
    "TierError",
    "TrainingError",
    "Video",
    "Videos",
    "__version__",
    "cancel",
    "cluster",
    "doctor",
    "enhance",
    "generate",
    "generate_many",
    "mask",
    "models",
    "panel",
    "plan",
    "release",
    "status",
    "training",
    "unsaved",
]


def __getattr__(name: str) -> Any:
    if name == "training":
        return import_module("cogmagic.training")
    if name in _HOME:
        return getattr(import_module(f"cogmagic.{_HOME[name]}"), name)
    raise AttributeError(f"module 'cogmagic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def load_ipython_extension(ipython: Any) -> None:
    """Called by ``%load_ext cogmagic``."""
    from cogmagic._notebook.extension import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Called by ``%unload_ext cogmagic``."""
    from cogmagic._notebook.extension import unload

    unload(ipython)
