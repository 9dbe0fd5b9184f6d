"""Adding a weight storage takes one class and one line in the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, RequestError
from cogmagic._pipeline.storage import STORAGES
from cogmagic._pipeline.storage.base import Storage, narrowable_linears


class Rounded(Storage):
    """Linear weights rounded to 8 bits of mantissa: a storage that saves nothing, for the test."""

    name = "rounded"
    help = "transformer rounded to bfloat16 numbers"
    price = "a slightly different picture"

    def linear_bytes(self, numel: int, rows: int, itemsize: int) -> int:
        return numel  # as if a number took a byte

    def store(self, transformer: Any, device: Any = None, *, stay: bool = False) -> None:
        import torch

        for linear in narrowable_linears(transformer.transformer_blocks):
            weight = linear.weight.data.to(torch.bfloat16).to(linear.weight.dtype)
            linear.weight = torch.nn.Parameter(weight, requires_grad=False)


@pytest.fixture
def rounded() -> Iterator[Storage]:
    storage = Rounded()
    STORAGES[storage.name] = storage
    yield storage
    del STORAGES[storage.name]


def test_a_new_storage_is_in_plans_and_suggestions(rounded: Storage) -> None:
    machine = Machine.of("RTX 4090", ram=64)
    plain = cogmagic.plan(model="5b", machine=machine)
    narrow = cogmagic.plan(model="5b", machine=machine, rounded=True)
    assert narrow.candidates[0].peak_vram is not None
    assert all(
        n.peak_allocated < p.peak_allocated  # type: ignore[operator]
        for n in narrow.candidates
        for p in plain.candidates
        if n.tier == p.tier == "none"
    )
    assert "savings  --rounded" in str(narrow)


def test_a_new_storage_is_in_the_manual_completion_and_errors(rounded: Storage) -> None:
    from cogmagic._notebook.completion import complete
    from cogmagic._notebook.manual import manual

    assert "--rounded" in manual()
    assert rounded.help in manual()
    offers = complete("%%cogvideo --rou")
    assert offers is not None
    assert "--rounded" in offers[1]
    with pytest.raises(RequestError, match="fp8=True and rounded cannot be combined"):
        cogmagic.plan(fp8=True, rounded=True)


@pytest.mark.slow
def test_a_new_storage_makes_another_video(rounded: Storage, cwd: Path, session: Any) -> None:
    def digest(**options: Any) -> str:
        video = cogmagic.generate(
            "a red circle moves", seed=1, num_frames=9, num_inference_steps=2, **options
        )
        assert video.report.options == tuple(options)
        return video.report.frames_sha256

    assert digest(rounded=True) != digest()
    assert digest(rounded=True) == digest(rounded=True)
