"""The trainer's pipeline, borrowed: described, placed component by component, given back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.allocator import empty_cache
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.model import Dtype, Model
from cogmagic._pipeline.libraries import torch_dtype
from cogmagic._tiers.hooks import unhook
from cogmagic._tiers.host_copy import HostCopy
from cogmagic.training.preserved import restored_attributes
from cogmagic.training.training_run import TrainingRun

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["BorrowedPipeline", "describe"]


_TEXT_CLASSES = {
    "text_encoder": list(WEIGHTED_COMPONENTS["text_encoder"]),
    "tokenizer": ["transformers", "T5Tokenizer"],
}
"""Components that a pipeline may lack if its requests come with embeddings."""


def describe(pipe: Any, transformer: Any, folder: Path) -> Model:
    """The member of the family that a pipeline is; writes its configurations to `folder`."""
    parts = pipe.components | {"transformer": transformer}
    classes = {n: [type(p).__module__.split(".")[0], type(p).__name__] for n, p in parts.items()}
    # Not by the pipeline's save_config, which would write to its own configuration.
    library = (c for c in type(pipe).__mro__ if c.__module__.startswith("diffusers."))
    index = {"_class_name": next(library, type(pipe)).__name__} | classes | _TEXT_CLASSES
    (folder / "model_index.json").write_text(json.dumps(index))
    for name, part in parts.items():
        if name != "tokenizer" and part is not None:
            save = getattr(part, "save_config", None) or part.config.save_pretrained
            save(folder / name)
    return identify(folder, str(folder), has_weights=False, in_memory=True)


class BorrowedPipeline:
    """Moves the components that training does not own to the device for a phase, and back.

    Args:
        pipe: the trainer's pipeline.
        transformer: its own, without accelerate's wrappers.
        run: the training run; under DeepSpeed the transformer must not be touched.
        dtype: the precision in which validation computes.
    """

    def __init__(self, pipe: Any, transformer: Any, run: TrainingRun, dtype: Dtype) -> None:
        self.pipe, self.run, self.dtype_name = pipe, run, dtype
        self.device, self.dtype = run.device, torch_dtype(dtype)
        self.transformer: Any = transformer

    @property
    def text_encoder(self) -> nn.Module | None:
        """The text encoder; None where the pipeline has none."""
        encoder: nn.Module | None = self.pipe.text_encoder
        return encoder

    def modules(self) -> list[nn.Module]:
        """All components that hold weights."""
        return [m for m in (self.text_encoder, self.pipe.vae, self.transformer) if m is not None]

    def bytes_to_move(self) -> dict[str, int]:
        """Bytes that each component takes on the device once it has been moved there."""
        parts = {"text_encoder": self.text_encoder, "vae": self.pipe.vae}
        parts["transformer"] = self.transformer if self._moves_transformer else None
        return {name: self._bytes(part) for name, part in parts.items() if part is not None}

    def _bytes(self, module: nn.Module) -> int:
        dtype = self._dtype_of(module)
        return sum(
            getattr(t, "ds_numel", t.numel())
            * (dtype if dtype and t.is_floating_point() else t.dtype).itemsize
            for t in (*module.parameters(), *module.buffers())
            if t.device != self.device
            or hasattr(t, "ds_id")
            or (dtype and t.is_floating_point() and t.dtype != dtype)  # the originals stay, too
        )

    @contextmanager
    def encoding(self, *, layerwise: bool) -> Iterator[None]:
        """While the context lasts, the text encoder computes on the device."""
        encoder = self.text_encoder
        assert encoder is not None  # noqa: S101 - prompts are refused without one
        # Partitioned weights are gathered by all processes, or by none.
        whole = not layerwise or any(hasattr(p, "ds_id") for p in encoder.parameters())
        with self._on_device(encoder) if whole else self._layer_by_layer(encoder):
            yield

    @contextmanager
    def generating(self) -> Iterator[None]:
        """While the context lasts, transformer and VAE compute, without a text encoder."""
        pipe, vae = self.pipe, self.pipe.vae
        with ExitStack() as undo:
            self._restore_afterwards(undo)
            # Not by the pipeline's own __setattr__, which would write to its configuration.
            for name, part in (("text_encoder", None), ("transformer", self.transformer)):
                undo.callback(pipe.__dict__.__setitem__, name, getattr(pipe, name))
                pipe.__dict__[name] = part
            vae.enable_tiling()
            vae.enable_slicing()
            pipe.set_progress_bar_config(disable=True)
            undo.enter_context(self._on_device(vae))
            if self._moves_transformer:
                undo.enter_context(self._on_device(self.transformer))
            undo.enter_context(self._autocast())
            yield

    def _restore_afterwards(self, undo: ExitStack) -> None:
        """Restore what a run of the pipeline changes in it, apart from its components."""
        pipe, vae, transformer = self.pipe, self.pipe.vae, self.transformer
        settings = [(pipe, "scheduler"), (vae, "use_tiling"), (vae, "use_slicing")]
        undo.enter_context(restored_attributes(*settings))
        undo.callback(setattr, pipe, "_progress_bar_config", _progress_bar_config(pipe))
        positions = {n: transformer.config.get(n) for n in ("sample_height", "sample_width")}
        undo.callback(transformer.register_to_config, **positions)
        if not hasattr(transformer, "_diffusers_hook"):  # a call leaves an empty list of hooks
            undo.callback(transformer.__dict__.pop, "_diffusers_hook", None)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        """Compute in 16 bits where the transformer's weights are wider.

        Without autocast's cache, which would keep a second copy of all weights, and so without the
        forward that `accelerator.prepare` has put around the transformer for mixed precision.
        """
        import torch

        half = self.dtype in (torch.float16, torch.bfloat16)
        if not half or self.transformer.dtype == self.dtype:
            yield
            return
        original = self.transformer.__dict__.get("_original_forward")
        with ExitStack() as undo:
            if original is not None and "forward" in self.transformer.__dict__:
                undo.enter_context(restored_attributes((self.transformer, "forward")))
                self.transformer.forward = original
            undo.enter_context(torch.autocast(self.device.type, self.dtype, cache_enabled=False))
            yield

    @property
    def _moves_transformer(self) -> bool:
        """Whether the transformer is moved here; DeepSpeed places the one that it owns."""
        return not self.run.deepspeed

    def _dtype_of(self, module: Any) -> torch.dtype | None:
        """The dtype to which a module's weights are cast; None where they stay as they are.

        Trained weights are not cast. The text encoder never gets larger, and in float16 T5 would
        overflow.
        """
        import torch

        small = module.dtype.itemsize <= self.dtype.itemsize or self.dtype == torch.float16
        stays = module is self.transformer or (module is self.text_encoder and small)
        return None if stays else self.dtype

    @contextmanager
    def _on_device(self, module: nn.Module) -> Iterator[None]:
        partitioned = [p for p in module.parameters() if hasattr(p, "ds_id")]
        if partitioned:  # loaded under ZeRO-3, which has parts of it in all processes
            from deepspeed import zero

            with zero.GatheredParameters(partitioned):
                yield
            return
        host = HostCopy([module])
        try:
            host.onload(self.device, self._dtype_of(module))
            yield
        finally:
            with interrupts_ignored():
                host.restore()
                empty_cache()

    @contextmanager
    def _layer_by_layer(self, module: nn.Module) -> Iterator[None]:
        from accelerate import cpu_offload

        host = HostCopy([module])
        try:
            cpu_offload(module, self.device, offload_buffers=len(module._parameters) > 0)
            yield
        finally:
            with interrupts_ignored():
                unhook(module)
                host.restore()
                empty_cache()


def _progress_bar_config(pipe: Any) -> dict[str, Any]:
    return dict(getattr(pipe, "_progress_bar_config", {}))
