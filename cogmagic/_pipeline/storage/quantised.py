"""Quantised storages: linear weights that a library narrows while a component is loaded.

``int8`` is torchao's weight-only form, with a scale per row; ``nf4`` is bitsandbytes' 4-bit one,
with a scale per block of 64. diffusers and transformers quantise by their own configurations. The
layers then compute with plain tensors (``quantised.layers``), which every tier can move.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

from cogmagic._pipeline.storage.base import Storage, narrowable_linears

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["LEFT", "QUANTIZABLE", "Quantised"]


QUANTIZABLE = ("text_encoder", "transformer")
"""The components that ``--quantize`` applies to."""


LEFT = ["patch_embed", "norm1", "norm2", "time_embedding", "ofs_embedding", "norm_out", "proj_out"]
"""The transformer's linear layers that keep their precision: all but those of its blocks, and those
that make the norms' shifts and scales (`narrowable_linears`), by parts of their names."""


class Quantised(Storage):
    """A storage that a library makes while the weights are loaded."""

    chosen_by = "quantize"
    while_loading = True
    package: ClassVar[str]
    """The package that quantises."""
    least: ClassVar[tuple[int, ...]]
    """The first version of it that diffusers and transformers work with here."""

    computes: ClassVar[bool] = False
    """Whether the package is needed to compute, too, and not to quantise alone."""

    @property
    def flag(self) -> str:
        """With the storage: ``--quantize int8``."""
        return f"--quantize {self.name}"

    def refusal(self, device: str) -> str | None:
        """As `refusal_for`, for the transformer."""
        return self.refusal_for("transformer", device)

    def refusal_for(self, component: str, device: str, part: str = "") -> str | None:
        """Why a component cannot be in this storage on a `device`, in a line, or None.

        Args:
            component: ``text_encoder`` or ``transformer``.
            device: torch's name of it.
            part: what was typed after the storage's name, such as ``:text_encoder``.
        """
        del component, device, part
        return None

    def missing(self, what: str) -> str:
        """Why its package cannot be used, with what to type; empty if it can.

        Args:
            what: needs it, for the message.
        """
        try:
            installed = version(self.package)
        except PackageNotFoundError:
            state = f"the package {self.package}, which is not installed"
        else:
            if _numbers(installed) >= self.least:
                return ""
            least = ".".join(map(str, self.least))
            state = f"{self.package} {least} or newer, not {installed}"
        return f"{what} needs {state}. Type %pip install -U {self.package}."

    def scratch(self, largest: int) -> tuple[int, int]:
        """The running layer's weight in full; layer by layer, half of it is counted already."""
        return largest, largest // 2

    def converts(self, component: str, path: str) -> bool:
        """Whether the linear layer at `path` of a component is converted."""
        del component, path
        return True

    @abstractmethod
    def config(self, component: str, dtype: torch.dtype) -> Any:
        """The library's configuration to load a component with."""

    @abstractmethod
    def loads_on(self, component: str, device: torch.device) -> torch.device:
        """Where a component is quantised, of which `device` is the GPU or the CPU that computes."""

    @property
    def quantises_on_gpu(self) -> bool:
        """Whether the transformer is quantised on a GPU."""
        return False

    @abstractmethod
    def make_empty(self, linear: nn.Linear) -> None:
        """Make a layer on the meta device one of this storage."""

    def store(
        self, transformer: nn.Module, device: torch.device | None = None, *, stay: bool = False
    ) -> None:
        """Convert a transformer on the meta device; loaded weights are converted already."""
        del device, stay
        self.empty("transformer", transformer)

    def empty(self, component: str, module: nn.Module) -> None:
        """Convert a component on the meta device, as loading it would."""
        for linear in list(self._linears(component, module)):
            self.make_empty(linear)

    def _linears(self, component: str, module: Any) -> Iterator[nn.Linear]:
        from torch import nn

        if component == "transformer":
            yield from narrowable_linears(module.transformer_blocks)
            return
        for path, part in module.named_modules():
            if type(part) is nn.Linear and self.converts(component, path):
                yield part


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (0, 18, 0)."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
