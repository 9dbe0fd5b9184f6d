"""How the files store the weights. Pure arithmetic."""

from __future__ import annotations

from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.work import ITEM
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request

__all__ = ["file_bytes", "stored_as_files", "stored_dtype"]


def stored_dtype(part: str, request: Request) -> Dtype:
    """The dtype in which the files store a component."""
    dtype: Dtype | None = getattr(request.model.stored, part)
    return dtype or request.model.dtype


def stored_as_files(request: Request, dtype: Dtype) -> bool:
    """Whether the transformer's weights can stay memory-mapped files, with nothing converted."""
    return stored_dtype("transformer", request) == dtype


def file_bytes(request: Request, f: Footprint, dtype: Dtype) -> dict[str, int]:
    """Bytes of the files that hold each component's weights."""
    parts = {"text_encoder": f.text_encoder, "transformer": f.transformer, "vae": f.vae}
    packed = {p.component: p.file for p in request.model.stored.packed}
    return packed | {
        name: round(part.weights * ITEM[stored_dtype(name, request)] / ITEM[dtype])
        for name, part in parts.items()
        if name not in packed
    }
