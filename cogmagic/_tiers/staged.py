"""Tier ``staged``: each component loaded from its files onto the GPU when it is called.

Host memory never has a component: the pipeline consists of empty modules, which take the parameters
of a component that the libraries load straight onto the device.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._errors import CheckpointError, first_line
from cogmagic._footprint.footprint import Footprint
from cogmagic._machine.machine import Machine
from cogmagic._models.checkpoints.folder import fingerprint
from cogmagic._models.family import WEIGHTED_COMPONENTS, latent_frames, video_tokens
from cogmagic._models.model import Model
from cogmagic._models.request import Request
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.storage import STORAGES, Storage
from cogmagic._pipeline.storage.quantised import Quantised
from cogmagic._tiers.base import Phases, Placement, Source, Tier, Variant, encoding_video
from cogmagic._tiers.host_memory import PROCESS, HostMemory, passing_through
from cogmagic._tiers.weight_files import stored_as_files
from cogmagic._tiers.workload import Workload

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cogmagic._tiers.host_copy import HostCopy

__all__ = ["Staged"]


class Staged(Tier):
    """One whole component at a time, from its files to the GPU, and dropped after its phase."""

    name = "staged"
    title = "staged loading"
    meaning = "each component from its files to the GPU when it is needed, then gone"
    weights = "files"

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        """One component at a time, and none beside it."""
        vae = f.vae.weights
        image = vae + f.encode_image.peak if f.encode_image else 0
        return (
            {
                "load": 0,
                "encode": f.text_encoder.weights + f.encode.peak + overhead,
                "denoise": max(f.transformer.weights + f.denoise.peak, image) + overhead,
                "decode": vae + f.decode.peak + overhead,
            }
            | encoding_video(f, vae + overhead),
        )

    def host_memory(self, work: Workload) -> HostMemory:
        """The loaders' buffers, or the position tables that exist while the transformer is built.

        Weights that a storage converts are first converted to the run's dtype, whole, in host
        memory, unless the files have that dtype.
        """
        converts = work.converted and not stored_as_files(work.request, work.dtype)
        extra = 2 * work.stored.transformer.weights if converts else 0
        loading = passing_through(work, extra=extra)
        return replace(loading, peak=max(loading.peak, PROCESS + _position_tables(work.request)))

    def load(self, spec: PipelineSpec, machine: Machine, variant: Variant) -> Any:
        """A pipeline of empty modules."""
        from cogmagic._pipeline.load import load

        return load(spec, empty=True)

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        """Have each empty component filled when it is called, and emptied when another is."""
        from cogmagic._tiers.hooks import compute_on
        from cogmagic._tiers.host_copy import HostCopy
        from cogmagic._tiers.residency import Residency

        source = placement.source
        assert source is not None  # noqa: S101 - every run gives one
        residency = Residency(undo)
        for name in WEIGHTED_COMPONENTS:
            module = getattr(pipe, name)
            if module is None:
                continue
            compute_on(module, placement.device)
            called = [module.encoder, module.decoder] if name == "vae" else [module]
            load = partial(_fill, module, name, source, placement.device, placement.check)
            residency.add(called, load, HostCopy([module]).restore)


def _position_tables(request: Request) -> int:
    """Bytes of the position tables that exist while the transformer is built.

    Two tables of float64 at the native size, whatever is loaded afterwards
    (diffusers' ``CogVideoXPatchEmbed``).
    """
    model: Model = request.model
    if model.architecture.rotary and not model.architecture.learned_positions:
        return 0
    latents = latent_frames(model.frames.default), model.height // 8, model.width // 8
    tokens = model.max_tokens + video_tokens(latents)
    return 2 * 8 * tokens * model.architecture.num_attention_heads * 64


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

    from cogmagic._machine.failures import is_host_shortage
    from cogmagic._pipeline.stop_checks import checked_between_operations

    if fingerprint(source.folder) != source.files:
        raise CheckpointError(f"The files of {source.folder} changed during the run. Run it again.")
    try:
        with checked_between_operations(check):
            loaded = _loaded(name, source, device)
    except (OSError, SafetensorError) as error:
        if is_host_shortage(error):
            raise
        raise CheckpointError(
            f"The {name} could not be read from {source.folder}: {first_line(error)}."
            " Check that its disk is still connected."
        ) from None
    for empty, full in zip(module.modules(), loaded.modules(), strict=True):
        empty._parameters.update(full._parameters)
        empty._buffers.update(full._buffers)


def _loaded(name: str, source: Source, device: torch.device) -> Any:
    from cogmagic._pipeline.adapters import attach
    from cogmagic._pipeline.libraries import torch_dtype
    from cogmagic._pipeline.load import load_component, load_quantised

    narrow = {"text_encoder": source.text_storage, "transformer": source.storage}.get(name)
    storage = STORAGES[narrow] if narrow else None
    if isinstance(storage, Quantised):
        loaded = load_quantised(source.folder, name, source.dtype, storage, device, to=device)
    elif name == "transformer":
        loaded = _transformer(source, storage, device)
    else:
        widen = device.type == "mps"  # which has no fp8
        return load_component(source.folder, name, source.dtype, device, widen=widen)
    if name == "transformer":
        attach(loaded, source.adapters, torch_dtype(source.dtype))
    return loaded


def _transformer(source: Source, storage: Storage | None, device: torch.device) -> Any:
    """The transformer, converted to its storage after loading if it has one."""
    import torch

    from cogmagic._pipeline.load import load_component
    from cogmagic._tiers.host_copy import HostCopy

    # In a storage, it might not fit whole: it is mapped from its files, converted layer by layer.
    to = device if storage is None else torch.device("cpu")
    widen = storage is not None or device.type == "mps"
    loaded = load_component(source.folder, "transformer", source.dtype, to, widen=widen)
    if storage is not None:
        storage.store(loaded, device, stay=True)
        HostCopy([loaded]).onload(device)
    return loaded
