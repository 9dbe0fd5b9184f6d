"""A pipeline that belongs to somebody else: described, placed piece by piece, given back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from cogmagic._interrupts import interrupts_ignored
from cogmagic._machine.memory import empty_cache
from cogmagic._models.catalog import Dtype, Model
from cogmagic._models.identify import identify
from cogmagic._models.request import Request
from cogmagic._pipeline.libraries import torch_dtype
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.place import unhook
from cogmagic.training.preserved import restored_attributes

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["BorrowedPipeline", "describe"]


_TEXT_PARTS = {
    "text_encoder": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "T5Tokenizer"],
}
"""What a pipeline may lack that is given embeddings."""


_TEXTS: WeakKeyDictionary[Any, dict[tuple[Any, ...], torch.Tensor]] = WeakKeyDictionary()
"""Per text encoder that nobody trains, the embeddings of prompts, in host memory."""


def describe(pipe: Any, transformer: Any, folder: Path) -> Model:
    """Which member of the family a pipeline is; its configurations are written to `folder`."""
    parts = pipe.components | {"transformer": transformer}
    classes = {n: [type(p).__module__.split(".")[0], type(p).__name__] for n, p in
               parts.items()}  # fmt: skip
    # Past the pipeline's save_config, which would write to its own configuration.
    index = {"_class_name": type(pipe).__name__} | classes | _TEXT_PARTS
    (folder / "model_index.json").write_text(json.dumps(index))
    for name, part in parts.items():
        if name != "tokenizer" and part is not None:
            save = getattr(part, "save_config", None) or part.config.save_pretrained
            save(folder / name)
    return identify(folder, str(folder), whole=False)


class BorrowedPipeline:
    """Puts the components that training does not own where a phase needs them, and back.

    Args:
        pipe: the pipeline.
        transformer: its own, without what accelerate has put around it.
        device: where training computes.
        dtype: what validation computes in.
        engine: whether an engine owns the transformer, which must not be touched then.
    """

    def __init__(
        self, pipe: Any, transformer: Any, device: torch.device, dtype: Dtype, *, engine: bool
    ) -> None:
        self.pipe, self.device, self.dtype = pipe, device, torch_dtype(dtype)
        self.transformer: Any = transformer
        self._engine = engine

    @property
    def text_encoder(self) -> nn.Module | None:
        """None where the pipeline has none."""
        found: nn.Module | None = self.pipe.text_encoder
        return found

    def modules(self) -> list[nn.Module]:
        """All components that hold weights."""
        return [m for m in (self.text_encoder, self.pipe.vae, self.transformer) if m is not None]

    def moved(self) -> dict[str, int]:
        """Bytes that each component takes on the device when it has come there."""
        found = {}
        for name in ("text_encoder", "vae", "transformer"):
            module = self.transformer if name == "transformer" else getattr(self.pipe, name)
            if module is not None and self._comes(module):
                found[name] = self._bytes(module)
        return found

    def _bytes(self, module: nn.Module) -> int:
        dtype = self._dtype_of(module)
        return sum(
            getattr(t, "ds_numel", t.numel())
            * (dtype if dtype and t.is_floating_point() else t.dtype).itemsize
            for t in (*module.parameters(), *module.buffers())
            if t.device != self.device
            or hasattr(t, "ds_id")
            or (dtype and t.is_floating_point() and t.dtype != dtype)  # the old ones are kept
        )

    @contextmanager
    def encoding(self, *, layerwise: bool) -> Iterator[None]:
        """The text encoder computes on the device."""
        encoder = self.text_encoder
        assert encoder is not None  # noqa: S101 - there are prompts to encode
        # What is in pieces all over the processes is put together in all of them, or in none.
        whole = not layerwise or any(hasattr(p, "ds_id") for p in encoder.parameters())
        with self._there(encoder) if whole else self._by_layers(encoder):
            yield

    @contextmanager
    def making(self) -> Iterator[None]:
        """The transformer and the VAE compute on the device; there is no text encoder."""
        import torch

        pipe, vae = self.pipe, self.pipe.vae
        half = self.dtype in (torch.float16, torch.bfloat16)
        cast = half and self.transformer.dtype != self.dtype
        positions = {n: self.transformer.config.get(n) for n in ("sample_height", "sample_width")}
        kept = [(pipe, "scheduler")]
        kept += [(vae, n) for n in ("use_tiling", "use_slicing")]
        with ExitStack() as undo:
            undo.enter_context(restored_attributes(*kept))
            undo.callback(setattr, pipe, "_progress_bar_config", _bar(pipe))
            undo.callback(self.transformer.register_to_config, **positions)
            if not hasattr(self.transformer, "_diffusers_hook"):  # the call leaves an empty list
                undo.callback(self.transformer.__dict__.pop, "_diffusers_hook", None)
            # Past the pipeline's own __setattr__, which would write it into the configuration.
            for name, part in (("text_encoder", None), ("transformer", self.transformer)):
                undo.callback(pipe.__dict__.__setitem__, name, getattr(pipe, name))
                pipe.__dict__[name] = part
            vae.enable_tiling()
            vae.enable_slicing()
            pipe.set_progress_bar_config(disable=True)
            undo.enter_context(self._there(vae))
            if self._comes(self.transformer):
                undo.enter_context(self._there(self.transformer))
            # Without autocast's cache, which would keep a second copy of all weights, and so
            # without what `prepare` has put around the transformer for mixed precision.
            own = self.transformer.__dict__.get("_original_forward")
            if cast and own is not None and "forward" in self.transformer.__dict__:
                undo.enter_context(restored_attributes((self.transformer, "forward")))
                self.transformer.forward = own
            undo.enter_context(
                torch.autocast(self.device.type, self.dtype, cache_enabled=False)
                if cast
                else nullcontext()
            )
            yield

    def embeds(self, request: Request) -> tuple[torch.Tensor, ...] | None:
        """The embeddings of a request's prompts, if they were made before."""
        known = self._texts()
        found = [known.get(key) for key in self._keys(request)]
        return tuple(e for e in found if e is not None) if None not in found else None

    def encode(self, request: Request) -> tuple[torch.Tensor, ...]:
        """Encode the prompts of a request and keep the embeddings; inside `encoding`."""
        found = []
        for key in self._keys(request):
            known = self._texts()
            if key not in known:
                known[key] = self.pipe.encode_prompt(
                    key[0],
                    do_classifier_free_guidance=False,
                    max_sequence_length=request.model.max_tokens,
                    device=self.device,
                    dtype=self.dtype,
                )[0].to("cpu")
            found.append(known[key])
        return tuple(found)

    def _texts(self) -> dict[tuple[Any, ...], torch.Tensor]:
        encoder = self.text_encoder
        if encoder is None:
            return {}
        if any(p.requires_grad for p in encoder.parameters()):  # it may be another next time
            return self.__dict__.setdefault("_own", {})  # type: ignore[no-any-return]
        return _TEXTS.setdefault(encoder, {})

    def _keys(self, request: Request) -> list[tuple[Any, ...]]:
        texts = [request.prompt]
        texts += [request.negative_prompt] if request.guidance_scale > 1.0 else []
        return [(text, request.model.max_tokens, self.dtype) for text in texts]

    def _comes(self, module: nn.Module) -> bool:
        """Whether the module has to be brought: an engine's transformer comes by itself."""
        return not (module is self.transformer and self._engine)

    def _dtype_of(self, module: Any) -> torch.dtype | None:
        """What a module's weights become; None where they stay as they are.

        Trained ones stay. The text encoder never gets larger, and in float16 T5 would overflow.
        """
        import torch

        small = module.dtype.itemsize <= self.dtype.itemsize or self.dtype == torch.float16
        stays = module is self.transformer or (module is self.text_encoder and small)
        return None if stays else self.dtype

    @contextmanager
    def _there(self, module: nn.Module) -> Iterator[None]:
        pieces = [p for p in module.parameters() if hasattr(p, "ds_id")]
        if pieces:  # loaded under ZeRO-3, which has it in pieces all over the processes
            from deepspeed import zero

            with zero.GatheredParameters(pieces):
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
    def _by_layers(self, module: nn.Module) -> Iterator[None]:
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


def _bar(pipe: Any) -> dict[str, Any]:
    return dict(getattr(pipe, "_progress_bar_config", {}))
