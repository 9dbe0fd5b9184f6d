"""Fast decoding: the same picture within rounding, and a VAE that is restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cogmagic
from cogmagic._footprint.configs import table
from cogmagic._footprint.trace import traced
from cogmagic._machine import decoding_kernels
from cogmagic._pipeline.decoding.fast import fast_decoding
from cogmagic._pipeline.decoding.fast_layers import decoder_forward
from cogmagic._pipeline.decoding.lean import lean_decoding
from cogmagic._pipeline.empty import empty_component
from cogmagic._planning import resolved
from tests.helpers.decoders import decoded, embedded_vae, latents, state
from tests.helpers.toy import PROMPT, QUICK

ROUNDING = 8e-6
"""Of the greatest value: 70 layers of float32, whose unit of rounding is 6e-8."""


def close(vae: Any, z: torch.Tensor, *, lean: bool = False) -> None:
    plain, calls = decoded(vae, z)
    fast, again = decoded(vae, z, fast_decoding(vae, lean=lean))
    assert fast.dtype == plain.dtype
    assert fast.shape == plain.shape
    assert (fast - plain).abs().max() <= ROUNDING * plain.abs().max()
    assert not torch.equal(fast, plain)
    assert again == calls > 0


@pytest.mark.parametrize(
    ("frames", "size"),
    [
        (1, (6, 8)),
        (3, (6, 5)),  # one tile
        pytest.param(5, (9, 5), marks=pytest.mark.slow),  # two passes, the first over three frames
        pytest.param(4, (6, 5), marks=pytest.mark.slow),  # an even number of frames
    ],
)
def test_embedded_model_decodes_to_the_same_picture_within_rounding(
    tiny: Any, frames: int, size: tuple[int, int]
) -> None:
    close(tiny, latents(frames, size, torch.float32))


@pytest.mark.parametrize("frames", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_all_hidden_states_are_channels_last(
    tiny: Any, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their strides as well, by which convolutions choose what they return."""
    from cogmagic._pipeline.decoding import fast_torch

    shapes = []

    def check(x: torch.Tensor, rest: torch.Tensor | None = None, *more: Any) -> Any:
        for tensor in (x,) if rest is None else (x, rest):
            *_, count, height, width = tensor.shape
            line = width * tensor.shape[1]
            assert tensor.stride()[1:] == (1, height * line, line, tensor.shape[1])
            shapes.append(count)
        return moments(x, rest, *more)

    moments = fast_torch.moments
    monkeypatch.setattr(fast_torch, "moments", check)
    decoded(tiny, latents(frames, (4, 5), torch.float32), fast_decoding(tiny))
    assert set(shapes) == ({1} if frames == 1 else {3, 5, 9})


@pytest.mark.slow
@pytest.mark.parametrize("lean", [False, True])
def test_published_architecture_decodes_to_the_same_picture_within_rounding(
    narrow: Any, lean: bool
) -> None:
    close(narrow, latents(3, (4, 8), torch.float32), lean=lean)


@pytest.mark.slow
def test_untiled_batch_decodes_to_the_same_picture_within_rounding(tiny: Any) -> None:
    tiny.use_tiling = tiny.use_slicing = False
    try:
        close(tiny, latents(3, (4, 6), torch.float32, batch=2))
    finally:
        tiny.enable_slicing()
        tiny.use_tiling = True


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_float32_as_diffusers_is(
    tiny: Any, dtype: torch.dtype
) -> None:
    z = latents(1, (4, 4), torch.float32)
    exact = decoded(tiny, z)[0]
    vae = embedded_vae().to(dtype)
    plain = decoded(vae, z.to(dtype))[0]
    fast = decoded(vae, z.to(dtype), fast_decoding(vae))[0]
    assert fast.dtype == dtype
    assert (fast - exact).pow(2).mean() <= 1.1 * (plain - exact).pow(2).mean()


def test_large_means_do_not_cancel() -> None:
    """Moments of a channel whose mean is a thousand times its deviation."""
    from cogmagic._pipeline.decoding import fast_torch

    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(2, 8, eps=1e-6)
    x = 1000 + torch.randn(1, 8, 3, 16, 16)
    factor, summand = fast_torch.scales(fast_torch.moments(x), x, norm)
    expected = norm.double()(x.double())
    view = (1, 8, 1, 1, 1)
    made = x.double() * factor.view(view).double() + summand.view(view).double()
    assert (made - expected).abs().max() < 1e-3


def test_vae_and_latents_are_restored_after_an_interrupt(tiny: Any) -> None:
    vae, z = tiny, latents(1, (8, 5), torch.float32)
    before, same = state(vae), z.clone()

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with fast_decoding(vae):
        assert state(vae) != before
        hook = vae.decoder.register_forward_hook(stop)
        with pytest.raises(KeyboardInterrupt):
            vae.decode(z)
        hook.remove()
        assert isinstance(vae.decode(z, return_dict=False), tuple)  # gradients are on
    assert state(vae) == before
    assert torch.equal(z, same)


def hooked(vae: Any) -> Callable[[], None]:
    return vae.decoder.up_blocks[0].resnets[0].conv1.conv.register_forward_hook(print).remove


def replaced(vae: Any) -> Callable[[], None]:
    norm = vae.decoder.mid_block.resnets[0].norm1.norm_layer
    norm.forward = norm.forward
    return lambda: norm.__dict__.pop("forward") and None


def padded(vae: Any) -> Callable[[], None]:
    vae.decoder.conv_in.pad_mode = "replicate"
    return lambda: setattr(vae.decoder.conv_in, "pad_mode", "first")


@pytest.mark.parametrize(
    ("change", "difference", "is_lean"),
    [
        (hooked, r"decoder\.up_blocks\.0\.resnets\.0\.conv1\.conv has hooks", True),
        (replaced, r"decoder\.mid_block\.resnets\.0\.norm1\.norm_layer has hooks", True),
        (padded, r"decoder\.conv_in pads with", False),
    ],
)
@pytest.mark.filterwarnings("ignore:--lean-decode was left out")
def test_another_decoder_is_left_alone_with_a_warning(
    tiny: Any, change: Callable[..., Any], difference: str, is_lean: bool
) -> None:
    undo = change(tiny)
    try:
        before = state(tiny)
        warned = pytest.warns(UserWarning, match=rf"Fast decoding was left out: .*{difference}")
        with warned, fast_decoding(tiny):
            assert state(tiny) == before
        with pytest.warns(UserWarning, match=difference), fast_decoding(tiny, lean=True):
            assert (state(tiny) != before) == is_lean
    finally:
        undo()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the kernels run here")
def test_kernels_that_do_not_run_are_noticed_at_once(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding_kernels, "_trials", {})
    before = state(tiny)
    warned = pytest.warns(UserWarning, match="left out: its Triton kernels do not run here")
    with warned, fast_decoding(tiny, device=torch.device("cuda")):
        assert state(tiny) == before


@pytest.mark.slow
def test_peak_is_lower_than_that_of_lean_decoding() -> None:
    """For the published VAE and its tiles."""
    vae = empty_component("vae", table()["models"]["5b"]["configs"]["vae"], "bfloat16")
    peaks = []
    for within in lean_decoding(vae), fast_decoding(vae):
        with within, traced(vae) as trace:
            cache = None
            for count in (3, 2):
                tile = torch.empty(1, 16, count, 30, 45, dtype=torch.bfloat16, device="meta")
                out, cache = vae.decoder(tile, conv_cache=cache)
                del out
            peaks.append(trace.peak().peak)
    assert peaks[1] < peaks[0]


@pytest.mark.slow
@pytest.mark.parametrize("lean", [False, True])
def test_run_decodes_fast(
    toy: Path, cwd: Path, session: Any, monkeypatch: pytest.MonkeyPatch, lean: bool
) -> None:
    """On the CPU, for which a plan leaves it out."""
    options: dict[str, Any] = {"model": str(toy), **QUICK}
    exact = cogmagic.generate(PROMPT, save="exact.png", **options)
    monkeypatch.setattr(resolved, "_no_fast_decoding", lambda *_: "")
    monkeypatch.setattr(resolved, "_no_compiling", lambda *_: "not in this test")
    forwards = []

    def watch(progress: cogmagic.Progress) -> None:
        if progress.phase == "decode":
            forwards.append(vars(session.loaded.pipe.vae.decoder)["forward"].func)

    fast = cogmagic.generate(
        PROMPT, save="fast.png", speed="fast", lean_decode=lean, on_progress=watch, **options
    )
    assert set(forwards) == {decoder_forward}
    assert np.abs(fast.frames().astype(int) - exact.frames()).max() <= 1
    assert "forward" not in vars(session.loaded.pipe.vae.decoder)
