"""Options that need less memory, and what they change in a footprint. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._footprint.configs import configs_of, same
from cogmagic._footprint.footprint import Footprint
from cogmagic._pipeline.storage import STORAGES, Storage, storage_options
from cogmagic._pipeline.storage.quantised import Quantised
from cogmagic._pipeline.storage.quantised_forms import quantized_parts

__all__ = ["NO_SAVINGS", "SAVINGS", "Savings", "why_not_lean"]


SAVINGS = ("lean_decode", "guidance_halves")
"""The savings that are switches; the others are weight storages."""


@dataclass(frozen=True)
class Savings:
    """Options that need less memory, each at a price; none is used unless asked for."""

    lean_decode: bool = False
    """Decode with fewer tensors alive at once; the frames are the same."""
    guidance_halves: bool = False
    """Denoise with the prompt and without it one after the other; the same within rounding."""
    storage: str = ""
    """Name in `STORAGES` of how the transformer's linear layers are stored; empty for as loaded.
    The planner puts ``fp8_products`` in the place of ``fp8`` where the GPU can."""
    text: str = ""
    """Name in `STORAGES` of how the text encoder's are stored; empty for as loaded."""

    @classmethod
    def of(cls, *, quantize: object = None, **options: object) -> Savings:
        """The savings of options by their Python names: the switches and the storages.

        Args:
            quantize: as in ``--quantize``.
            **options: the others, which are switches.

        Raises:
            RequestError: for a switch that is not a bool, an unknown `quantize`, and for more than
                one storage.
        """
        parts = quantized_parts(quantize)
        for name, value in options.items():
            if not isinstance(value, bool):
                raise RequestError(f"{name}={value!r:.80} is not True or False.")
        storages = [name for name in storage_options() if options.get(name)]
        if len(storages) + bool(parts) > 1:
            typed = [f"--quantize {quantize}"] if parts else []
            flags = " and ".join([*(STORAGES[name].flag for name in storages), *typed])
            raise RequestError(f"{flags} cannot be combined. Use one of them.")
        switches = {name: options.get(name) is True for name in SAVINGS}
        storage = parts.get("transformer", "".join(storages))
        return cls(**switches, storage=storage, text=parts.get("text_encoder", ""))

    @property
    def weights(self) -> Storage | None:
        """The storage of the transformer's linear layers; None for as loaded."""
        return STORAGES[self.storage] if self.storage else None

    @property
    def quantised(self) -> dict[str, Quantised]:
        """The storage of each component that is quantised while it is loaded."""
        parts = {"text_encoder": self.text, "transformer": self.storage}
        storages = ((part, STORAGES.get(name)) for part, name in parts.items())
        return {part: s for part, s in storages if isinstance(s, Quantised)}

    @property
    def narrowed(self) -> frozenset[str]:
        """The components whose weights have a storage."""
        parts = {"text_encoder": self.text, "transformer": self.storage}
        return frozenset(part for part, name in parts.items() if name)

    @property
    def quantize(self) -> str:
        """The value of ``--quantize``; empty without it."""
        parts = self.quantised
        names = [storage.name for storage in parts.values()]
        if len(parts) == 1:
            names.append(next(iter(parts)))
        return ":".join(dict.fromkeys(names))

    @property
    def stored_as(self) -> str:
        """The storages of both components, as a key: equal for weights that are the same."""
        return f"{self.storage}, text encoder {self.text}" if self.text else self.storage

    @property
    def narrow_flag(self) -> str:
        """The option that stores weights in fewer bits, as it is typed; empty without one."""
        if self.quantize:
            return f"--quantize {self.quantize}"
        return self.weights.flag if self.weights else ""

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are on, by their Python names; ``quantize`` with its value."""
        switches = tuple(name for name in SAVINGS if getattr(self, name))
        if self.quantize:
            return (*switches, f"quantize {self.quantize}")
        return (*switches, *([self.weights.option] if self.weights else []))

    @property
    def flags(self) -> str:
        """As they are typed: ``--lean-decode --fp8``."""
        switches = (f"--{n.replace('_', '-')}" for n in SAVINGS if getattr(self, n))
        return " ".join(filter(None, (*switches, self.narrow_flag)))

    @property
    def price(self) -> str:
        """What they cost in picture and speed, in words (docs/benchmarks, savings)."""
        picture = "the same picture"
        if self.guidance_halves:
            picture += " within rounding"
        if self.weights:
            picture = self.weights.price
        elif self.text:
            picture = STORAGES[self.text].price
        return picture + ("; decoding takes longer" if self.lean_decode else "")

    def more(self) -> Iterator[Savings]:
        """These and further ones, the fewest first; those that change the picture come last."""
        off = [name for name in SAVINGS if not getattr(self, name)]
        sets = [names for count in range(len(off) + 1) for names in combinations(off, count)]
        storages = [self.storage] if self.stored_as else ["", *storage_options()]
        for storage in storages:
            for names in sets:
                switches: dict[str, Any] = dict.fromkeys(names, True)
                more = replace(self, **switches, storage=storage)
                if more != self:
                    yield more

    def shrunk(self, f: Footprint) -> Footprint:
        """The footprint with the linear layers in their storages."""
        f = self._with_text(f)
        if self.weights is None:
            return f
        part, work = f.transformer, f.denoise
        linears = part.linear_numel, part.linear_rows, part.itemsize
        saved = part.linear_numel * part.itemsize - self.weights.linear_bytes(*linears)
        whole, layer = self.weights.scratch(part.largest_leaf)
        smaller = replace(
            part, weights=part.weights - part.blocks * saved, block=part.block - saved
        )
        more = max(whole - f.blocks.spare, 0)
        denoise = replace(work, peak=work.peak + more, leaf_peak=work.leaf_peak + layer)
        return replace(f, transformer=smaller, denoise=denoise)

    def _with_text(self, f: Footprint) -> Footprint:
        """The footprint with the text encoder's linear layers in their storage."""
        storage = self.quantised.get("text_encoder")
        if storage is None:
            return f
        part, layers = f.text_encoder, f.text_layers
        groups = [layers.plain] + [layers.last] * storage.converts("text_encoder", "x.wo")
        saved = sum(g.nbytes - storage.linear_bytes(g.numel, g.rows, g.itemsize) for g in groups)
        whole, layer = storage.scratch(layers.largest)
        smaller = replace(
            part, weights=part.weights - part.blocks * saved, block=part.block - saved
        )
        return replace(f, text_encoder=smaller, encode=f.encode.with_scratch(whole, layer))


NO_SAVINGS = Savings()


def why_not_lean(folder: Path) -> str:
    """Why ``--lean-decode`` does not apply to the VAE of a checkpoint; empty if it does.

    It applies to the catalogue's VAE. Any other is built without weights, which needs torch.
    """
    configs = configs_of(folder)
    if same(configs) is not None and configs["vae"].get("act_fn", "silu") == "silu":
        return ""
    from cogmagic._pipeline.decoding.lean import unknown_vae_of

    return unknown_vae_of(folder)
