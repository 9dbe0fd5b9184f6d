"""Footprints of checkpoints whose files hold quantised layers. Pure."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._footprint.curves import Part
from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.savings import Savings
from cogmagic._footprint.work import ITEM
from cogmagic._models.model import Dtype, Stored
from cogmagic._models.packed import Packed
from cogmagic._pipeline.storage import STORAGES
from cogmagic._pipeline.storage.quantised import QUANTIZABLE

__all__ = ["STORAGE_OF", "kept_packed", "packed_storage", "widened", "with_packed"]


STORAGE_OF = {"int8": "int8", "nf4": "nf4", "fp4": "nf4", "fp8": "fp8"}
"""The storage that computes as the layers of each form do."""


def packed_storage(packed: tuple[Packed, ...], component: str) -> str:
    """Name in `STORAGES` of how a component's layers compute; empty for plain weights."""
    return next((STORAGE_OF[p.form] for p in packed if p.component == component), "")


def widened(savings: Savings, device: str) -> frozenset[str]:
    """The components whose plain fp8 is widened while they are loaded on a type of device.

    Those that a storage narrows again; on MPS, which has no such numbers, both.
    """
    return frozenset(QUANTIZABLE) if device == "mps" else savings.narrowed


def kept_packed(stored: Stored, savings: Savings, device: str) -> tuple[Packed, ...]:
    """The quantised components that stay as the files have them."""
    wide = widened(savings, device)
    return tuple(p for p in stored.packed if p.scaled or p.component not in wide)


def with_packed(f: Footprint, components: tuple[Packed, ...], dtype: Dtype) -> Footprint:
    """The footprint with the quantised layers as the files have them.

    Args:
        f: as if the weights were plain.
        components: those with quantised layers.
        dtype: the precision of all other weights.
    """
    for packed in components:
        part = getattr(f, packed.component)
        smaller = _smaller(part, packed, dtype)
        if packed.component == "text_encoder":
            whole, layer = STORAGES[STORAGE_OF[packed.form]].scratch(f.text_layers.largest)
            f = replace(f, text_encoder=smaller, encode=f.encode.with_scratch(whole, layer))
        else:
            whole, layer = STORAGES[STORAGE_OF[packed.form]].scratch(part.largest_leaf)
            more, work = max(whole - f.blocks.spare, 0), f.denoise
            work = replace(work, peak=work.peak + more, leaf_peak=work.leaf_peak + layer)
            f = replace(f, transformer=smaller, denoise=work)
    return f


def _smaller(part: Part, packed: Packed, dtype: Dtype) -> Part:
    wide = 4 if dtype == "float16" and packed.component == "text_encoder" else ITEM[dtype]
    total, block = packed.saved(ITEM[dtype], wide)
    return replace(
        part, weights=part.weights - total, block=part.block - block, linear_numel=0, linear_rows=0
    )
