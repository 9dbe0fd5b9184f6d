"""One loader for the embedded model, local folders and the hub's cache.

Safetensors only, no remote code, no network: when a pipeline is loaded, its files are on disk.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from cogmagic._pipeline.quantised.stored import empty_stored, is_stored, read_stored

if TYPE_CHECKING:
    import torch

    from cogmagic._pipeline.storage.quantised import Quantised

__all__ = ["load", "load_component", "load_quantised", "prepared", "scheduler_for"]


def load(
    folder: Path,
    task: Task,
    dtype: Dtype,
    *,
    empty: bool = False,
    text: bool = True,
    quantised: Mapping[str, Quantised] | None = None,
    widened: frozenset[str] = frozenset(),
    gpu: torch.device | None = None,
) -> Any:
    """The pipeline of `folder` in host memory, with VAE slicing and tiling on.

    The dtype rules are the loaders' own: T5 keeps parts in float32 when loaded in float16.

    Args:
        folder: the checkpoint.
        task: which pipeline class to load.
        dtype: the precision of the components.
        empty: leave the weights out.
        text: whether it has a text encoder.
        quantised: the storage of each component that is quantised while it is loaded.
        widened: the components whose plain fp8 becomes `dtype`.
        gpu: the GPU that computes, which some libraries quantise on.
    """
    import torch

    narrow = {n: s for n, s in (quantised or {}).items() if text or n != "text_encoder"}
    with quiet_libraries():
        names = [n for n in WEIGHTED_COMPONENTS if empty and (text or n != "text_encoder")]
        parts = {name: empty_component_of(folder, name, dtype) for name in names}
        parts |= {} if text else {"text_encoder": None}
        for name in WEIGHTED_COMPONENTS:
            wanted = text or name != "text_encoder"
            if wanted and is_stored(folder, name, widen=name in widened):
                host = torch.device("cpu")
                parts[name] = (
                    empty_stored(folder, name, dtype)
                    if empty
                    else read_stored(folder, name, dtype, host)
                )
        for name, storage in narrow.items():
            if empty:
                storage.empty(name, parts[name])
            else:
                parts[name] = load_quantised(folder, name, dtype, storage, gpu)
        pipe = pipeline_class(task).from_pretrained(
            folder, dtype=torch_dtype(dtype), use_safetensors=True, local_files_only=True, **parts
        )
    return prepared(pipe)


def load_component(
    folder: Path, name: str, dtype: Dtype, device: torch.device, *, widen: bool = False
) -> Any:
    """One component of `folder`, loaded straight onto `device`; `widen` plain fp8 to `dtype`."""
    if is_stored(folder, name, widen=widen):
        return read_stored(folder, name, dtype, device)
    with quiet_libraries():
        return component_class(name).from_pretrained(
            folder,
            subfolder=name,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map={"": device},
        )


def load_quantised(
    folder: Path,
    name: str,
    dtype: Dtype,
    storage: Quantised,
    gpu: torch.device | None,
    to: torch.device | None = None,
) -> Any:
    """One component of `folder`, quantised by its library, with layers of plain tensors.

    Args:
        folder: the checkpoint.
        name: the component.
        dtype: the precision of what is not quantised.
        storage: how it is quantised.
        gpu: the GPU that computes; None on a CPU.
        to: where it is quantised and left; if None, in host memory at the end.
    """
    import torch

    from cogmagic._pipeline.quantised.layers import as_plain_layers

    host = torch.device("cpu")
    on = to or storage.loads_on(name, gpu or host)
    # With a map to a CPU, diffusers would leave the weights as they are.
    where = {} if name == "transformer" and on == host else {"device_map": {"": on}}
    with quiet_libraries():
        module = component_class(name).from_pretrained(
            folder,
            subfolder=name,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            quantization_config=storage.config(name, torch_dtype(dtype)),
            **where,
        )
    as_plain_layers(module)
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.to(to or host)
    return module.eval()


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
