"""Staging: each component goes from its files to the device when it is called, and then is gone.

Host memory never holds a component: what the pipeline is made of is empty modules, which take the
parameters of a component that the libraries load straight onto the device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import CheckpointError
from cogmagic._machine.failures import is_host_shortage
from cogmagic._models.catalog import Dtype
from cogmagic._models.checkpoint import fingerprint
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._pipeline.cancel import checked_between_operations
from cogmagic._pipeline.load import load_component
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.turns import Turns

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Source", "stage"]


@dataclass(frozen=True)
class Source:
    """Where components come from, and how they are kept."""

    folder: Path
    dtype: Dtype
    fp8: bool
    """Whether the transformer's linear layers are in fp8."""
    files: tuple[tuple[str, int, int], ...]
    """Names, sizes and times of the folder's files when the run began."""


def stage(
    pipe: Any,
    source: Source,
    device: torch.device,
    undo: ExitStack,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Have the components of `pipe`, which are empty modules, take turns on `device`.

    Args:
        pipe: its components are empty.
        source: where their parameters come from.
        device: where they compute.
        undo: gets a callback for each thing done.
        check: called between the tensors of a component that comes; raises when the run is to end.
    """
    from accelerate.hooks import ModelHook, add_hook_to_module

    turns = Turns(undo)
    for name in WEIGHTED_COMPONENTS:
        module = getattr(pipe, name)
        if module is None:
            continue
        hook = ModelHook()
        hook.execution_device = device  # where the pipeline, which asks for it, puts its tensors
        add_hook_to_module(module, hook)
        called = [module.encoder, module.decoder] if name == "vae" else [module]
        come = partial(_fill, module, name, source, device, check)
        turns.add(called, come, HostCopy([module]).restore)


def _fill(
    module: nn.Module,
    name: str,
    source: Source,
    device: torch.device,
    check: Callable[[], None],
) -> None:
    """Give the empty `module` the parameters and buffers of a loaded one.

    Raises:
        CheckpointError: when the files are not those with which the run began.
    """
    from safetensors import SafetensorError

    if fingerprint(source.folder) != source.files:
        raise CheckpointError(f"The files of {source.folder} changed during the run. Run it again.")
    try:
        with checked_between_operations(check):
            loaded = _loaded(name, source, device)
    except (OSError, SafetensorError) as error:
        if is_host_shortage(error):
            raise
        raise CheckpointError(
            f"The {name} could not be read from {source.folder}: {error} Is its disk still there?"
        ) from None
    for mine, other in zip(module.modules(), loaded.modules(), strict=True):
        mine._parameters.update(other._parameters)
        mine._buffers.update(other._buffers)


def _loaded(name: str, source: Source, device: torch.device) -> Any:
    import torch

    if source.fp8 and name == "transformer":
        from cogmagic._pipeline.storage import STORAGES

        # Whole it might not fit: mapped from its files, and narrowed on the device layer by layer.
        loaded = load_component(source.folder, name, source.dtype, torch.device("cpu"))
        STORAGES["fp8"].store(loaded, device, stay=True)
        HostCopy([loaded]).onload(device)
        return loaded
    return load_component(source.folder, name, source.dtype, device)
