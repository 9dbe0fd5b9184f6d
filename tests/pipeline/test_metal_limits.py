"""What MPS cannot do, on a CPU that stands in for it.

No Mac is at hand. Here every tensor with a dimension counts as the device's. As on MPS, no module
may have a float64 tensor when it runs, and no number in float64 may meet a tensor of the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import cogmagic
from cogmagic._footprint.configs import table
from cogmagic._models.catalog import MODELS
from cogmagic._pipeline import metal_limits
from cogmagic._pipeline.metal_limits import MetalLimits, limits_of
from cogmagic._pipeline.prompt_cache import PromptCache
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.toy import PROMPT

SCHEDULERS = {  # of each kind of positions; the embedded models' are 5b's
    "2b": "ddim", "5b": "dpm", "5b-i2v": "ddim", "1.5-5b": "ddim", "1.5-5b-i2v": "dpm",
}  # fmt: skip
QUICK: dict[str, Any] = {"seed": 1, "steps": 2, "frames": 17}


class NoDoubles(TorchDispatchMode):
    """Refuses operations in which a number in float64 meets other floating-point tensors."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        doubles = [t for t in given if t.dtype == torch.float64 and not t.dim()]
        others = [t for t in given if t.dim() and t.dtype != torch.float64]
        if doubles and others:
            raise RuntimeError(f"MPS has no float64: {func}")
        return func(*args, **(kwargs or {}))


def _refuse_doubles(module: torch.nn.Module, _: object) -> None:
    tensors = *module._parameters.items(), *module._buffers.items()
    if wrong := [name for name, t in tensors if t is not None and t.dtype == torch.float64]:
        raise RuntimeError(f"MPS has no float64: {wrong}")


@contextmanager
def like_mps(*limits: AbstractContextManager[Any]) -> Iterator[None]:
    with ExitStack() as stack:
        stack.callback(register_module_forward_pre_hook(_refuse_doubles).remove)
        stack.enter_context(NoDoubles())
        for limit in limits:
            stack.enter_context(limit)
        yield


def limits() -> MetalLimits:
    return MetalLimits(lambda t: t.dim() > 0 and t.dtype != torch.float64, "cpu")


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small checkpoint of each member's architecture, saved when it is asked for."""
    folder = tmp_path_factory.mktemp("members")

    def member(name: str) -> Path:
        config = table()["models"][name]["configs"]["transformer"]
        if not (folder / name).exists():
            save_checkpoint(
                folder / name,
                i2v=config["in_channels"] == 32,
                patch_size_t=config["patch_size_t"],
                ofs_embed_dim=config["ofs_embed_dim"] and 8,
                use_rotary_positional_embeddings=config["use_rotary_positional_embeddings"],
                use_learned_positional_embeddings=config["use_learned_positional_embeddings"],
            )
        return folder / name

    return member


def frames(folder: Path, **options: Any) -> str:
    """The hash of the frames."""
    if "i2v" in folder.name:
        options["image"] = np.full((96, 96, 3), 90, np.uint8)
    PromptCache.clear()
    return cogmagic.generate(PROMPT, model=str(folder), **QUICK | options).report.frames_sha256


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scheduler"), SCHEDULERS.items())
def test_no_float64_reaches_the_device(
    name: str, scheduler: str, members: Any, cwd: Path, session: Any, monkeypatch: Any
) -> None:
    options: dict[str, Any] = {"scheduler": scheduler, "dtype": "bfloat16"}
    expected = frames(members(name), **options)
    monkeypatch.setattr(metal_limits, "limits_of", lambda _: like_mps(limits()))
    session.release()
    assert frames(members(name), **options) == expected
    monkeypatch.setattr(metal_limits, "limits_of", lambda _: like_mps())
    session.release()
    with pytest.raises(RuntimeError, match="float64"):
        frames(members(name), **options)


def test_every_base_model_is_tried() -> None:
    assert {*SCHEDULERS, "tiny", "tiny-i2v"} == {m.name for m in MODELS if not m.inpaints}


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["model", "staged"])
def test_no_float64_reaches_the_device_in_any_tier(
    tier: str, members: Any, cwd: Path, session: Any, monkeypatch: Any
) -> None:
    """2b has a table of positions in float64."""
    expected = frames(members("2b"), tier=tier, dtype="bfloat16")
    monkeypatch.setattr(metal_limits, "limits_of", lambda _: like_mps(limits()))
    session.release()
    assert frames(members("2b"), tier=tier, dtype="bfloat16") == expected


def test_float64_becomes_float32_only_on_the_device() -> None:
    doubles = torch.rand(3, dtype=torch.float64)
    with limits():
        assert doubles.to("cpu").dtype == torch.float32
        assert doubles.to(torch.float16).dtype == torch.float16
        assert (doubles[0] * doubles[1]).dtype == torch.float64
        assert (doubles[0] * torch.ones(2, dtype=torch.bfloat16)).dtype == torch.bfloat16
        assert torch.nn.Linear(2, 2, dtype=torch.float64).to("cpu").weight.dtype == torch.float32
    with MetalLimits():  # nothing here is on MPS
        assert doubles.to("cpu").dtype == torch.float64


@pytest.mark.parametrize("most", [1, 50, 1000, 10**9])
def test_sliced_attention_is_attention(most: int) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 13, 8)
    mask = torch.rand(13, 13) > 0.2
    sizes = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
        ) -> Any:
            if "scaled_dot_product" in str(func):
                sizes.append(args[0].shape[-2] * 2 * 4 * 13)
            return func(*args, **(kwargs or {}))

    for options in ({}, {"attn_mask": mask}, {"attn_mask": mask[:1]}, {"is_causal": True}):
        expected = scaled_dot_product_attention(query, key, value, **options)
        with Sizes(), MetalLimits(lambda _: True, "cpu", most):
            sliced = scaled_dot_product_attention(query, key, value, **options)
        torch.testing.assert_close(sliced, expected)
        if not options:
            assert max(sizes) <= max(most, 2 * 4 * 13)  # one query at least


def test_other_devices_have_no_limits() -> None:
    assert isinstance(limits_of("mps"), MetalLimits)
    for device in ("cuda", "cpu"):
        assert not isinstance(limits_of(device), TorchFunctionMode)
