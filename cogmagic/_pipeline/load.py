"""One loader for the embedded model, local folders and the hub's cache.

Safetensors only, no remote code, no network: when a pipeline is loaded, its files are on disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.empty import empty_component_of
from cogmagic._pipeline.libraries import (
    component_class,
    pipeline_class,
    quiet_libraries,
    torch_dtype,
)
from cogmagic._pipeline.quantised.stored import empty_stored, is_stored, read_stored
from cogmagic._pipeline.spec import PipelineSpec

if TYPE_CHECKING:
    import torch

    from cogmagic._pipeline.storage.quantised import Quantised

__all__ = ["load", "load_component", "load_quantised", "prepared", "scheduler_for"]


def load(spec: PipelineSpec, *, empty: bool = False) -> Any:
    """The pipeline of `spec` in host memory, with VAE slicing and tiling on.

    The dtype rules are the loaders' own: T5 keeps parts in float32 when loaded in float16.

    Args:
        spec: what to load.
        empty: leave the weights out.
    """
    with quiet_libraries():
        parts = {name: _part(spec, name, empty) for name in WEIGHTED_COMPONENTS if spec.has(name)}
        given = {name: part for name, part in parts.items() if part is not None}
        if not spec.text:
            given["text_encoder"] = None
        pipe = pipeline_class(spec.task).from_pretrained(
            spec.folder,
            dtype=torch_dtype(spec.dtype),
            use_safetensors=True,
            local_files_only=True,
            **given,
        )
    return prepared(pipe)


def _part(spec: PipelineSpec, name: str, empty: bool) -> Any:
    """One component in a form that the pipeline's loader does not read itself; None otherwise."""
    import torch

    storage = spec.quantised.get(name)
    if storage is not None and not empty:
        return load_quantised(spec.folder, name, spec.dtype, storage, spec.gpu)
    if is_stored(spec.folder, name, widen=name in spec.widened):
        if empty:
            return empty_stored(spec.folder, name, spec.dtype)
        return read_stored(spec.folder, name, spec.dtype, torch.device("cpu"))
    if not empty:
        return None
    part = empty_component_of(spec.folder, name, spec.dtype)
    if storage is not None:
        storage.empty(name, part)
    return part


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
    Inpainting is sampled without a shift of the noise.
    """
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    from cogmagic._pipeline.timesteps import ddim_at

    if request.timesteps:
        return ddim_at(pipe.scheduler.config, request.timesteps)
    cls = CogVideoXDPMScheduler if request.scheduler == "dpm" else CogVideoXDDIMScheduler
    changed: dict[str, Any] = {"timestep_spacing": "trailing"}
    if request.model.inpaints and not request.model.embedded:
        # The authors' sampler is diffusers' plain DDIM, which does not shift the noise (in 2b's
        # configuration by 3).
        changed["snr_shift_scale"] = 1.0
    return cls.from_config(pipe.scheduler.config, **changed)


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
