"""What every weight storage provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Storage", "narrowable_linears"]


class Storage(ABC):
    """A format for the weights of the transformer's linear layers. Stateless; imports no torch."""

    name: ClassVar[str]
    """As in the registry."""
    title: ClassVar[str] = ""
    """As in plans and facts lines beside the option; empty where the option says it all."""
    help: ClassVar[str]
    """The option's help: one line."""
    chosen_by: ClassVar[str] = ""
    """Name of the storage whose option also chooses this one, where the GPU has what it needs;
    empty for a storage with an option of its own."""
    while_loading: ClassVar[bool] = False
    """Whether the weights are converted while they are loaded, and not by `store`."""
    price: ClassVar[str] = "another picture"
    """The effect on the picture, in words; replaces "the same picture"."""

    @property
    def option(self) -> str:
        """The option in Python (``fp8=True``) and in reports."""
        return self.chosen_by or self.name

    @property
    def flag(self) -> str:
        """The option as it is typed: ``--fp8``."""
        return f"--{self.option.replace('_', '-')}"

    def refusal(self, device: str) -> str | None:
        """Why this storage does not work on a `device` (``cuda``, ``mps``, ``cpu``), or None.

        One line, for a `RequestError`.
        """
        del device
        return None

    @abstractmethod
    def linear_bytes(self, numel: int, rows: int, itemsize: int) -> int:
        """Bytes of linear weights in this storage.

        Args:
            numel: numbers in the weights.
            rows: output features, over all layers.
            itemsize: bytes of a number in the dtype in which the pipeline is loaded.
        """

    def scratch(self, largest: int) -> tuple[int, int]:
        """Bytes that denoising needs on top: with whole components, and layer by layer, on the GPU.

        By default none, for layers that compute with the narrow weights.

        Args:
            largest: bytes of the largest layer in the dtype in which the pipeline is loaded.
        """
        del largest
        return 0, 0

    def compiled_scratch(self, hidden: int, itemsize: int) -> int:
        """Bytes that a compiled block needs beyond those of `scratch` with whole components.

        Args:
            hidden: bytes of the block's hidden states: batch × tokens × width.
            itemsize: bytes of a number in them.
        """
        del hidden, itemsize
        return 0

    @abstractmethod
    def store(
        self, transformer: nn.Module, device: torch.device | None = None, *, stay: bool = False
    ) -> None:
        """Convert the `narrowable_linears` of the transformer's blocks, in place.

        Args:
            transformer: as loaded, with or without weights (on the meta device).
            device: what converts, one layer after another; where the weights are if None.
            stay: whether converted weights stay on `device` instead of going back.
        """


def narrowable_linears(blocks: Iterable[nn.Module]) -> Iterator[nn.Linear]:
    """The linear layers of the blocks, except those that make the norms' shifts and scales."""
    from torch import nn

    for block in blocks:
        for name, module in block.named_modules():
            if type(module) is nn.Linear and not name.startswith("norm"):
                yield module
