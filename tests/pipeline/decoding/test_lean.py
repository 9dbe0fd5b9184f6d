"""Lean decoding: the same picture and calls, fewer bytes, and a VAE that is restored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from cogmagic._pipeline.coder_calls import decoder_calls
from cogmagic._pipeline.decoding.lean import lean_decoding
from tests.helpers.decoders import decoded, latents, state

pytestmark = pytest.mark.slow
PORTRAIT, LANDSCAPE = (9, 5), (6, 8)


def same(vae: Any, z: torch.Tensor, **options: Any) -> None:
    plain, calls = decoded(vae, z)
    lean, again = decoded(vae, z, lean_decoding(vae, **options))
    assert lean.dtype == plain.dtype
    assert torch.equal(lean, plain)
    assert again == calls > 0


@pytest.mark.parametrize(
    ("frames", "size", "dtype"),
    [
        (1, LANDSCAPE, torch.float32),
        (5, PORTRAIT, torch.float32),
        (1, PORTRAIT, torch.bfloat16),
        (4, LANDSCAPE, torch.bfloat16),
        (5, PORTRAIT, torch.bfloat16),
        (9, (6, 6), torch.bfloat16),
        (3, (6, 5), torch.bfloat16),  # one tile
    ],
)
def test_embedded_model_decodes_to_the_same_bits(
    tiny: Any, frames: int, size: tuple[int, int], dtype: torch.dtype
) -> None:
    z = latents(frames, size, dtype)
    vae = tiny.to(dtype)
    tiles = decoder_calls(vae, z.permute(0, 2, 1, 3, 4)) // max(frames // 2, 1)
    assert (tiles == 1) == (size == (6, 5))
    same(vae, z)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_published_architecture_decodes_to_the_same_bits(narrow: Any, dtype: torch.dtype) -> None:
    same(narrow.to(dtype), latents(5, (4, 8), dtype))


def test_untiled_and_batched_decoding_gives_the_same_bits(tiny: Any) -> None:
    vae, z = tiny.float(), latents(3, (7, 6), torch.float32, batch=2)
    same(vae, z)
    vae.use_tiling = vae.use_slicing = False
    same(vae, z)
    vae.enable_slicing()
    vae.enable_tiling()


def test_decode_returns_a_tuple_and_no_gradients(tiny: Any) -> None:
    vae, z = tiny.float(), latents(1, (8, 5), torch.float32)
    plain = decoded(vae, z)[0]
    with lean_decoding(vae):
        assert torch.equal(vae.decode(z, return_dict=False)[0], plain)  # gradients are on
        assert isinstance(vae._decode(z, return_dict=False), tuple)


def test_latents_are_not_changed(tiny: Any) -> None:
    vae, z = tiny.float(), latents(3, (8, 5), torch.float32)
    before = z.clone()
    with lean_decoding(vae):
        vae.decode(z)
    assert torch.equal(z, before)


def test_vae_is_restored(tiny: Any) -> None:
    vae, z = tiny.bfloat16(), latents(5, (6, 6), torch.bfloat16)
    before = state(vae)
    with lean_decoding(vae):
        assert state(vae) != before
        vae.decode(z)
    assert state(vae) == before


@pytest.mark.parametrize("after", [1, 3])
def test_vae_is_restored_after_an_exception(tiny: Any, after: int) -> None:
    vae, z = tiny.bfloat16(), latents(5, (6, 6), torch.bfloat16)
    plain = decoded(vae, z)[0]
    before, calls = state(vae), 0

    def stop(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise KeyboardInterrupt

    hook = vae.decoder.up_blocks[1].resnets[0].conv2.conv.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt), lean_decoding(vae):
        vae.decode(z)
    hook.remove()
    assert state(vae) == before
    assert torch.equal(decoded(vae, z, lean_decoding(vae))[0], plain)


def test_every_layer_is_called_as_often_as_before(narrow: Any) -> None:
    vae, z = narrow.float(), latents(3, (4, 6), torch.float32)
    calls: dict[str, int] = {}

    def count(name: str, *_: Any) -> None:
        calls[name] = calls.get(name, 0) + 1

    hooks = [
        module.register_forward_hook(partial(count, name))
        for name, module in vae.decoder.named_modules()
        if [*module.parameters(recurse=False)]
    ]
    decoded(vae, z)
    plain = dict(calls)
    calls.clear()
    decoded(vae, z, lean_decoding(vae))
    for hook in hooks:
        hook.remove()
    assert calls == plain
    assert set(calls.values()) == {1}


def test_sequential_offload_works_with_lean_decoding(tiny: Any) -> None:
    """As sequential offload has them."""
    from accelerate import cpu_offload
    from accelerate.hooks import remove_hook_from_module
    from diffusers import AutoencoderKLCogVideoX

    vae = AutoencoderKLCogVideoX.from_config(tiny.config).eval()
    vae.load_state_dict(tiny.float().state_dict())
    vae.enable_tiling(48, 40)
    z = latents(3, (8, 5), torch.float32)
    plain = decoded(vae, z)[0]
    cpu_offload(vae, torch.device("cpu"))
    with lean_decoding(vae):
        assert "forward" in vars(vae.decoder)
        lean = decoded(vae, z)[0]
    remove_hook_from_module(vae, recurse=True)
    assert torch.equal(lean, plain)


def hooked(vae: Any) -> Callable[[], None]:
    handle = vae.decoder.mid_block.register_forward_pre_hook(lambda *_: None)
    return lambda: handle.remove()


def replaced(vae: Any) -> Callable[[], None]:
    block = vae.decoder.up_blocks[0].resnets[0]
    block.forward = partial(type(block).forward, block)
    return lambda: block.__dict__.pop("forward") and None


def padded(vae: Any) -> Callable[[], None]:
    convolution = vae.decoder.conv_in
    convolution.pad_mode = "replicate"

    def undo() -> None:
        convolution.pad_mode = "first"

    return undo


def activated(vae: Any) -> Callable[[], None]:
    resnet = vae.decoder.mid_block.resnets[0]
    resnet.nonlinearity = torch.nn.GELU()

    def undo() -> None:
        resnet.nonlinearity = torch.nn.SiLU()

    return undo


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (hooked, r"decoder\.mid_block has hooks"),
        (replaced, r"forward of the VAE's decoder\.up_blocks\.0\.resnets\.0 is replaced"),
        (padded, r"decoder\.conv_in pads with"),
        (activated, r"decoder\.mid_block\.resnets\.0 has another activation"),
    ],
)
def test_another_decoder_is_left_alone_with_a_warning(
    tiny: Any, change: Callable[..., Any], difference: str
) -> None:
    vae = tiny.float()
    undo = change(vae)
    try:
        before = state(vae)
        warned = pytest.warns(UserWarning, match=rf"--lean-decode was left out: .*{difference}")
        with warned, lean_decoding(vae):
            assert state(vae) == before
    finally:
        undo()
    with (
        pytest.warns(UserWarning, match="the VAE is a Linear"),
        lean_decoding(torch.nn.Linear(1, 1)),
    ):
        pass


def test_nested_contexts_restore_the_vae(tiny: Any) -> None:
    vae, z = tiny.float(), latents(1, (8, 5), torch.float32)
    before, plain = state(vae), decoded(vae, z)[0]
    with lean_decoding(vae):
        with pytest.warns(UserWarning, match="_decode is replaced"), lean_decoding(vae):
            pass
        assert torch.equal(decoded(vae, z)[0], plain)
    assert state(vae) == before
