"""Weights stored in fp8."""

from __future__ import annotations

from pathlib import Path

from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.storage import STORAGES
from cogmagic._pipeline.storage.base import narrowable_linears
from cogmagic._pipeline.storage.fp8 import fp8_linear


def test_fp8_weights_are_one_byte_each_and_close(toy: Path) -> None:
    wide, narrow = (
        load(PipelineSpec(toy, "t2v", "float32")),
        load(PipelineSpec(toy, "t2v", "float32")),
    )
    STORAGES["fp8"].store(narrow.transformer)
    mine = list(narrowable_linears(wide.transformer.transformer_blocks))
    theirs = [m for m in narrow.transformer.modules() if isinstance(m, fp8_linear())]
    assert len(mine) == len(theirs) == 6 * len(wide.transformer.transformer_blocks)
    for linear, narrow_linear in zip(mine, theirs, strict=True):
        assert narrow_linear.weight.element_size() == 1
        off = (narrow_linear.weight.float() * narrow_linear.scale - linear.weight).abs()
        largest = linear.weight.abs().amax(dim=1, keepdim=True)
        # Half a step of three bits of mantissa, or of the smallest numbers of the format.
        assert (off <= linear.weight.abs() / 16 * 1.001 + largest / 448 * 2**-9).all()
