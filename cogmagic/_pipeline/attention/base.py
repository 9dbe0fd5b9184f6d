"""What every attention kernel provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from cogmagic._machine.kernels import MODULES, installed_kernels

if TYPE_CHECKING:
    import torch

__all__ = ["Attend", "AttentionKernel", "Capability", "by_tokens"]


Capability = tuple[int, int] | None
"""Compute capability of an NVIDIA GPU; None where there is none or it is unknown."""


Attend = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""Attention of query, key and value, all of (batch, heads, tokens, head dimension)."""


def by_tokens(function: Callable[..., torch.Tensor]) -> Attend:
    """A function of (batch, tokens, heads, head dimension), such as flash-attn's, as `Attend`."""

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = function(*(t.transpose(1, 2) for t in (query, key, value)))
        return out.transpose(1, 2)

    return attend


class AttentionKernel(ABC):
    """An implementation of attention without a mask. Stateless; imports torch only to load."""

    name: ClassVar[str]
    """As it is typed: ``--attention fa3``."""
    title: ClassVar[str]
    """As sentences name it."""
    in_speeds: ClassVar[bool] = False
    """Whether a ``--speed`` may use it, rather than ``--attention`` alone."""
    measured: ClassVar[bool] = False
    """Whether docs/benchmarks have its speed."""
    elsewhere: ClassVar[str] = ""
    """How it failed its comparison on the cards that were tried, for plans; empty if it did not."""
    dtypes: ClassVar[tuple[str, ...]] = ("float16", "bfloat16")
    head_dims: ClassVar[tuple[int, ...]] = tuple(range(8, 257, 8))
    needs: ClassVar[str] = "a GPU from Ampere on (compute capability 8.0)"
    """The GPUs that it runs on, in words."""
    install: ClassVar[str]
    """What to type to install it."""

    @property
    def package(self) -> str:
        """The module that it is imported from."""
        return MODULES[self.name][0]

    @property
    def requirement(self) -> str:
        """The package that brings it."""
        return MODULES[self.name][1]

    def installed(self) -> bool:
        """Whether its module is installed; nothing is imported."""
        return self.name in installed_kernels()

    def refusal(self, capability: Capability, dtype: str, head_dim: int) -> str:
        """Why it cannot compute a run's attention; empty if it can. A clause without a period.

        Args:
            capability: of the GPU; None without an NVIDIA GPU.
            dtype: of the run.
            head_dim: of the model.
        """
        if capability is None:
            return f"{self.title} needs an NVIDIA GPU"
        if not self.runs_on(capability):
            own = f"{capability[0]}.{capability[1]}"
            return f"{self.title} needs {self.needs}, and this GPU has compute capability {own}"
        if dtype not in self.dtypes:
            return f"{self.title} computes in {' or '.join(self.dtypes)}, and this run in {dtype}"
        if head_dim not in self.head_dims:
            return f"{self.title} has no code for this model's head dimension of {head_dim}"
        return ""

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether it has code for GPUs of a compute capability."""
        return capability >= (8, 0)

    def in_speed(self, capability: Capability) -> bool:
        """Whether a ``--speed`` uses it on GPUs of a compute capability."""
        return self.in_speeds and capability is not None and self.runs_on(capability)

    @abstractmethod
    def load(self) -> Attend:
        """Import the kernel.

        Raises:
            ImportError: when its compiled code does not load.
        """
