"""One loader for the embedded model, local folders and the hub's cache.

Safetensors only, no remote code, no network: when a pipeline is loaded, its files are on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.catalog import Dtype, Task
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.request import Request
from cogmagic._pipeline.empty import empty_component_of
from cogmagic._pipeline.libraries import (
    component_class,
    pipeline_class,
    quiet_libraries,
    torch_dtype,
)

if TYPE_CHECKING:
    import torch

__all__ = ["load", "load_component", "prepared", "scheduler_for"]


def load(folder: Path, task: Task, dtype: Dtype, *, empty: bool = False, text: bool = True) -> Any:
    """The pipeline of `folder` in host memory, with VAE slicing and tiling on.

    The dtype rules are the loaders' own: T5 keeps parts in float32 when loaded in float16.

    Args:
        folder: the checkpoint.
        task: which pipeline class to load.
        dtype: the precision of the components.
        empty: leave the weights out.
        text: whether it has a text encoder.
    """
    with quiet_libraries():
        names = [n for n in WEIGHTED_COMPONENTS if empty and (text or n != "text_encoder")]
        parts = {name: empty_component_of(folder, name, dtype) for name in names}
        parts |= {} if text else {"text_encoder": None}
        pipe = pipeline_class(task).from_pretrained(
            folder, dtype=torch_dtype(dtype), use_safetensors=True, local_files_only=True, **parts
        )
    return prepared(pipe)


def load_component(folder: Path, name: str, dtype: Dtype, device: torch.device) -> Any:
    """One component of `folder`, loaded straight onto `device`."""
    with quiet_libraries():
        return component_class(name).from_pretrained(
            folder,
            subfolder=name,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map={"": device},
        )


def scheduler_for(pipe: Any, request: Request) -> Any:
    """A fresh scheduler of the requested kind, with the checkpoint's own noise schedule.

    Always with trailing timesteps, as in the authors' scripts (``inference/cli_demo.py``).
    """
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    from cogmagic._pipeline.timesteps import ddim_at

    if request.timesteps:
        return ddim_at(pipe.scheduler.config, request.timesteps)
    cls = CogVideoXDPMScheduler if request.scheduler == "dpm" else CogVideoXDDIMScheduler
    return cls.from_config(pipe.scheduler.config, timestep_spacing="trailing")


class _NoProgressBar:
    """A stand-in for diffusers' progress bar, which warns when an interrupt cuts it short."""

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> _NoProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, _: int = 1) -> None:
        """Show nothing."""


def prepared(pipe: Any) -> Any:
    """`pipe` without a progress bar, with VAE slicing and tiling on."""
    pipe.progress_bar = _NoProgressBar
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    return pipe
