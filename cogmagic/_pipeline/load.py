"""Loading: one loader for the embedded model, a local folder and the hub's cache.

Safetensors only, no remote code, no network: by the time a pipeline is loaded, its files are here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.catalog import Dtype, Task
from cogmagic._models.request import Request
from cogmagic._pipeline.libraries import _pipeline_class, quiet_libraries, torch_dtype

if TYPE_CHECKING:
    import torch

__all__ = ["COMPONENTS", "empty_component", "load", "load_component", "scheduler_for"]


COMPONENTS = {
    "text_encoder": ("transformers", "T5EncoderModel"),
    "transformer": ("diffusers", "CogVideoXTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLCogVideoX"),
}
"""The components that have weights: name, library, class."""


def load(folder: Path, task: Task, dtype: Dtype, *, empty: bool = False) -> Any:
    """The pipeline of `folder` in host memory, tiling on.

    The dtype rules are the loaders' own: T5 keeps parts in float32 when loaded in float16.

    Args:
        folder: the checkpoint.
        task: which pipeline it is for.
        dtype: what the components are loaded in.
        empty: leave the weights out.
    """
    with quiet_libraries():
        given = {n: empty_component(folder, n, dtype) for n in COMPONENTS} if empty else {}
        pipe = _pipeline_class(task).from_pretrained(
            folder, dtype=torch_dtype(dtype), use_safetensors=True, local_files_only=True, **given
        )
    return _prepared(pipe)


def load_component(folder: Path, name: str, dtype: Dtype, device: torch.device) -> Any:
    """One component of `folder`, loaded straight onto `device`."""
    with quiet_libraries():
        return _component_class(name).from_pretrained(
            folder,
            subfolder=name,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map={"": device},
        )


def empty_component(folder: Path, name: str, dtype: Dtype) -> Any:
    """One component of `folder` on the meta device, without weights."""
    import torch

    cls = _component_class(name)
    with torch.device("meta"):
        if COMPONENTS[name][0] == "diffusers":
            module = cls.from_config(cls.load_config(folder, subfolder=name))
        else:
            module = cls(cls.config_class.from_pretrained(folder, subfolder=name))
    return module.to(torch_dtype(dtype)).eval()


def _component_class(name: str) -> Any:
    from importlib import import_module

    library, kind = COMPONENTS[name]
    return getattr(import_module(library), kind)


def scheduler_for(pipe: Any, request: Request) -> Any:
    """A fresh scheduler of the requested kind, on the checkpoint's own noise schedule.

    Always with trailing timesteps, as the authors' scripts set it (``inference/cli_demo.py``).
    """
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    kind = CogVideoXDPMScheduler if request.scheduler == "dpm" else CogVideoXDDIMScheduler
    return kind.from_config(pipe.scheduler.config, timestep_spacing="trailing")


class _NoBar:
    """In the place of diffusers' bar, which complains when an interrupt cuts it short."""

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, _: int = 1) -> None:
        """Nobody is told."""


def _prepared(pipe: Any) -> Any:
    pipe.progress_bar = _NoBar
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    return pipe
