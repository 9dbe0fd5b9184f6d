"""The linear layers of the text encoder, by its configuration. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogmagic._footprint.work import ITEM
from cogmagic._models.model import Dtype

__all__ = ["NO_LAYERS", "Linears", "TextLayers", "text_layers"]


@dataclass(frozen=True)
class Linears:
    """Linear layers of one block."""

    numel: int = 0
    """Numbers in their weights."""
    rows: int = 0
    """Their output features."""
    itemsize: int = 0
    """Bytes of a number as loaded."""

    @property
    def nbytes(self) -> int:
        """Bytes of their weights as loaded."""
        return self.numel * self.itemsize


@dataclass(frozen=True)
class TextLayers:
    """The linear layers of one block of a T5; none of them has a bias."""

    plain: Linears = Linears()
    """All but the last."""
    last: Linears = Linears()
    """The feed-forward's last (``wo``), which transformers keeps in float32 beside float16."""

    largest: int = 0
    """Bytes of the largest weight in the dtype in which its layer computes."""


NO_LAYERS = TextLayers()


def text_layers(config: dict[str, Any], dtype: Dtype) -> TextLayers:
    """The linear layers of a T5 of that configuration, loaded in `dtype`."""
    width, hidden = config["d_model"], config["d_ff"]
    heads = config["d_kv"] * config["num_heads"]
    gates = 2 if str(config["feed_forward_proj"]).startswith("gated") else 1
    item = ITEM[dtype]
    return TextLayers(
        plain=Linears(4 * width * heads + gates * width * hidden, 3 * heads + width
                      + gates * hidden, item),
        last=Linears(width * hidden, width, 4 if dtype == "float16" else item),
        largest=width * max(hidden, heads) * (4 if dtype == "float16" else item),
    )  # fmt: skip
