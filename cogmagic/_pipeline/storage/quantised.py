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

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._pipeline.quantised.layers import BLOCK, make_blockwise, make_scaled
from cogmagic._pipeline.storage.base import Storage, narrowable_linears

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "QUANTISED",
    "QUANTIZABLE",
    "QUANTIZED_VALUES",
    "Int8",
    "Nf4",
    "Quantised",
    "quantized_parts",
]


QUANTIZABLE = ("text_encoder", "transformer")
"""The components that ``--quantize`` applies to."""


_LEFT = ["patch_embed", "norm1", "norm2", "time_embedding", "ofs_embedding", "norm_out", "proj_out"]
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

    def refusal_for(self, component: str, device: str) -> str | None:
        """Why a component cannot be in this storage on a `device`, in a line, or None."""
        del component, device
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
        return f'{what} needs {state}. Type %pip install "cogmagic[quantize]".'

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


class Int8(Quantised):
    """torchao's int8 weights with a scale per row."""

    name = "int8"
    help = "8 bits, by torchao"
    package = "torchao"
    least = (0, 16)

    def linear_bytes(self, numel: int, rows: int, itemsize: int) -> int:
        """A byte a number, and a scale in float32 per row."""
        del itemsize
        return numel + 4 * rows

    def config(self, component: str, dtype: torch.dtype) -> Any:
        """``Int8WeightOnlyConfig``, in the class of the component's library."""
        del dtype
        from torchao.quantization import Int8WeightOnlyConfig

        if component == "transformer":
            from diffusers import TorchAoConfig

            return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=_LEFT)
        from transformers import TorchAoConfig as TextTorchAoConfig

        return TextTorchAoConfig(Int8WeightOnlyConfig())

    def loads_on(self, component: str, device: torch.device) -> torch.device:
        """In host memory, tensor by tensor."""
        import torch

        del component, device
        return torch.device("cpu")

    def make_empty(self, linear: nn.Linear) -> None:
        """With int8 numbers."""
        import torch

        shape = linear.weight.shape
        weight = torch.empty(shape, dtype=torch.int8, device="meta")
        make_scaled(linear, weight, torch.empty(shape[0], 1, device="meta"))


class Nf4(Quantised):
    """bitsandbytes' 4-bit numbers with a scale per 64."""

    name = "nf4"
    help = "4 bits, by bitsandbytes"
    package = "bitsandbytes"
    least = (0, 46)
    computes = True

    def refusal_for(self, component: str, device: str) -> str | None:
        """Only CUDA was tried, and the text encoder on a CPU."""
        if device == "cuda" or (device == "cpu" and component == "text_encoder"):
            return None
        if device == "cpu":
            return (
                "--quantize nf4 needs a GPU for the transformer: diffusers quantises it to 4 bits"
                " there only. Use --quantize nf4:text_encoder, or --quantize int8."
            )
        return f"--quantize nf4 does not work on {device.upper()}. Use --quantize int8."

    def linear_bytes(self, numel: int, rows: int, itemsize: int) -> int:
        """Half a byte a number, and a scale in float32 per block."""
        del rows, itemsize
        return -(-numel // 2) + 4 * -(-numel // BLOCK)

    def converts(self, component: str, path: str) -> bool:
        """All but the layers that transformers keeps in float32 beside float16 (``wo``)."""
        return component == "transformer" or not path.endswith(".wo")

    def config(self, component: str, dtype: torch.dtype) -> Any:
        """``BitsAndBytesConfig``, in the class of the component's library."""
        options = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": dtype,
        }
        if component == "transformer":
            from diffusers import BitsAndBytesConfig

            return BitsAndBytesConfig(**options, llm_int8_skip_modules=_LEFT)
        from transformers import BitsAndBytesConfig as TextBitsAndBytesConfig

        return TextBitsAndBytesConfig(**options)

    def loads_on(self, component: str, device: torch.device) -> torch.device:
        """The transformer on the GPU, the text encoder in host memory."""
        import torch

        return device if component == "transformer" else torch.device("cpu")

    @property
    def quantises_on_gpu(self) -> bool:
        """No other device quantises with diffusers."""
        return True

    def make_empty(self, linear: nn.Linear) -> None:
        """With two numbers a byte."""
        import torch

        numel = linear.weight.numel()
        weight = torch.empty(-(-numel // 2), 1, dtype=torch.uint8, device="meta")
        make_blockwise(linear, weight, torch.empty(-(-numel // BLOCK), device="meta"))


QUANTISED: dict[str, Quantised] = {storage.name: storage for storage in (Int8(), Nf4())}
"""The storages of ``--quantize`` by name."""


QUANTIZED_VALUES = tuple(
    name + part for name in (Int8.name, Nf4.name) for part in ("", *(f":{p}" for p in QUANTIZABLE))
)
"""What ``--quantize`` takes."""


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version: (0, 18, 0)."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def quantized_parts(value: object) -> dict[str, str]:
    """The storage of each component that ``--quantize`` names; empty for None and an empty text.

    Raises:
        RequestError: for anything but ``int8`` or ``nf4``, with ``:text_encoder`` or
            ``:transformer`` or neither.
    """
    if value is None or value == "":
        return {}
    if not isinstance(value, str) or value not in QUANTIZED_VALUES:
        near = did_you_mean(value, QUANTIZED_VALUES) if isinstance(value, str) else ""
        raise RequestError(
            f"Unknown quantize {value!r:.80}.{near} Choose from: {', '.join(QUANTIZED_VALUES)}."
        )
    name, _, part = value.partition(":")
    return dict.fromkeys((part,) if part else QUANTIZABLE, name)
