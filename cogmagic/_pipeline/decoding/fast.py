"""Fast decoding: the VAE's decoder with few passes over memory; the same picture within rounding.

Tiles and batches of frames are those of diffusers. `fast_layers` says what differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from cogmagic._errors import first_line
from cogmagic._machine.decoding_kernels import DecodingTrial, decoding_trials, record_trial
from cogmagic._machine.failures import is_shortage
from cogmagic._pipeline.decoding.fast_layers import decoder_forward
from cogmagic._pipeline.decoding.lean import decoding_by, lean_decoding, unknown_vae

if TYPE_CHECKING:
    import torch

__all__ = ["fast_decoding", "tried_kernels"]


@contextmanager
def fast_decoding(
    vae: Any, *, device: torch.device | None = None, lean: bool = False, warn: bool = True
) -> Iterator[None]:
    """Have `vae.decode` take less time; restore it afterwards.

    It needs no more memory than before. A VAE that differs from the published ones, or has hooks in
    its decoder, decodes as before, with a `UserWarning`.

    Args:
        vae: an ``AutoencoderKLCogVideoX``.
        device: where it will decode, to check that the kernels compile there; None for no check.
        lean: whether to return host memory, as lean decoding does. Where only fast decoding does
            not apply, decoding is lean.
        warn: whether to warn where fast decoding does not apply.
    """
    if difference := _why_not(vae, device):
        if warn:
            warnings.warn(
                f"Fast decoding was left out: {difference}, so decoding takes as long as with"
                " --speed exact. Change that, or ignore this: the video is correct.",
                stacklevel=3,
            )
        with lean_decoding(vae, warn=warn) if lean else nullcontext():
            yield
        return
    with decoding_by(vae, "cpu" if lean else "", decoder_forward):
        yield


def _why_not(vae: Any, device: torch.device | None) -> str:
    """Why fast decoding does not apply to `vae`; empty if it does.

    Unlike lean decoding, it reads the weights of layers instead of calling them.
    """
    if difference := unknown_vae(vae):
        return difference
    for name, module in vae.decoder.named_modules():
        if module._modules:
            continue
        if module._forward_pre_hooks or module._forward_hooks or "forward" in vars(module):
            return f"the VAE's decoder.{name} has hooks"
        if getattr(module, "p", 0) and module.training:
            return f"the VAE's decoder.{name} drops values"
    if device is None or device.type != "cuda":
        return ""
    return tried_kernels(device.index or 0, str(vae.dtype).removeprefix("torch.")).problem


def tried_kernels(gpu: int, dtype: str) -> DecodingTrial:
    """The trial of the Triton kernels on a GPU: recorded, and made at most once per process.

    Where memory ran out, the next call tries again.

    Args:
        gpu: its index.
        dtype: of the VAE.
    """
    for trial in decoding_trials():
        if (trial.gpu, trial.dtype, trial.lasts) == (gpu, dtype, True):
            return trial
    trial = _trial(gpu, dtype)
    record_trial(trial)
    return trial


def _trial(gpu: int, name: str) -> DecodingTrial:
    import torch

    device, dtype = torch.device("cuda", gpu), getattr(torch, name)
    try:
        from cogmagic._pipeline.decoding import fast_kernels

        norm = torch.nn.GroupNorm(32, 128, device=device, dtype=dtype)  # as in the decoder
        x = torch.zeros(1, 128, 1, 1, 1, device=device, dtype=dtype)
        y = torch.zeros(1, 1, 1, 1, 128, device=device, dtype=dtype)
        with torch.no_grad(), torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            scales = fast_kernels.scales(fast_kernels.moments(x), x, norm)
            fast_kernels.normalise(x, scales, y, y, x)
            torch.cuda.synchronize(device)
    except Exception as error:  # of many types: no Triton, no compiler, an old GPU
        problem = f"its Triton kernels do not run here ({first_line(error)[:200]})"
        return DecodingTrial(gpu, name, problem, lasts=not is_shortage(error))
    return DecodingTrial(gpu, name, "")
