"""The forms of ``--quantize``: torchao's int8 and bitsandbytes' nf4."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._pipeline.quantised.layers import BLOCK, make_blockwise, make_scaled
from cogmagic._pipeline.storage.quantised import LEFT, QUANTIZABLE, Quantised

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["QUANTISED", "QUANTIZED_VALUES", "Int8", "Nf4", "quantized_parts"]


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

            return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=LEFT)
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

    def refusal_for(self, component: str, device: str, part: str = "") -> str | None:
        """Only CUDA was tried, and the text encoder on a CPU."""
        if device == "cuda" or (device == "cpu" and component == "text_encoder"):
            return None
        if device == "cpu":
            return (
                f"--quantize nf4{part} needs a GPU for the transformer: diffusers quantises it to"
                f" 4 bits there only. Use --quantize nf4:text_encoder, or --quantize int8{part}."
            )
        instead = f"Use --quantize int8{part}"
        return f"--quantize nf4{part} does not work on {device.upper()}. {instead}."

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

            return BitsAndBytesConfig(**options, llm_int8_skip_modules=LEFT)
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
            f"Unknown --quantize {value!r:.80}.{near} Choose from: {', '.join(QUANTIZED_VALUES)}."
        )
    name, _, part = value.partition(":")
    return dict.fromkeys((part,) if part else QUANTIZABLE, name)
