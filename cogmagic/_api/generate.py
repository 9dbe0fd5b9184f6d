"""The verb that makes a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogmagic._footprint.savings import Savings
from cogmagic._machine.gpu import gpu_names
from cogmagic._models.find import find_model
from cogmagic._models.request import Request, known_options
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.options import Placing, check_keep
from cogmagic._progress import OnProgress, silent
from cogmagic._session.session import session
from cogmagic._video.video import Video

__all__ = ["generate"]


def generate(
    prompt: str,
    *,
    model: str = "tiny",
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: int | None = None,
    gpus: str | int | Sequence[str | int] | None = None,
    compile: bool = False,  # noqa: A002 - torch's word
    lean_decode: bool = False,
    guidance_halves: bool = False,
    fp8: bool = False,
    keep: str = "warm",
    save: str | Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_preview: OnPreview | None = None,
    **options: Any,
) -> Video:
    """Make a video and return where it is and how it was made.

    In a notebook a live line shows the progress; elsewhere pass `on_progress`.

    Args:
        prompt: what the video should show.
        model: short name, hub id or folder.
        tier: placement; the fastest that is predicted to fit when it is left out.
        policy: ``auto``, or ``rule`` for the published rule of thumb.
        vram_limit: bytes that the run may take of a GPU, its CUDA context included.
        gpus: the GPUs that may be used, by torch's index or by UUID, as ``"0,2"`` or ``[0, 2]``; of
            those, a run on one takes the one with most room.
        compile: compile the transformer's blocks: half a minute once, then faster steps.
        lean_decode: decode with fewer tensors alive at once; the same frames.
        guidance_halves: denoise with the prompt and without it one after the other.
        fp8: keep the linear layers of the transformer's blocks in 8 bits; another picture.
        keep: what stays after the run: ``hot``, the weights on the GPU, in tiers that hold them
            there; ``warm``, the weights in host memory; ``cold``, nothing.
        save: ``.mp4`` file or folder; default ``cogvideo-<time>-<seed>.mp4`` in the working
            directory.
        overwrite: whether an existing file may be replaced.
        on_progress: called with a `Progress` at every step.
        on_preview: called while denoising with the video as it forms: uint8 RGB, latent frames ×
            latent height × latent width × 3; takes at most a hundredth of the time. If it fails,
            there are no more previews, and the run goes on.
        **options: ``width``, ``height`` (pixels), ``num_frames``, ``num_inference_steps``,
            ``guidance_scale``, ``negative_prompt``, ``seed``, ``scheduler``, ``fps``, ``dtype``,
            ``image``, ``truncate``; the model's own defaults where left out.

    Raises:
        CogMagicError: one line, with the numbers and what to type next.
        Cancelled: when interrupted; everything has been freed.
    """
    from cogmagic._api.live_line import LiveLine, in_notebook

    request = Request.of(prompt, find_model(model), **known_options(options))
    savings = Savings.of(lean_decode=lean_decode, guidance_halves=guidance_halves, fp8=fp8)
    placing = Placing(tier, policy, vram_limit, gpu_names(gpus), compile, savings, check_keep(keep))
    wish: dict[str, Any] = {"placing": placing, "save": save, "overwrite": overwrite}
    wish["on_preview"] = on_preview
    if on_progress is not None or not in_notebook():
        return session().generate(request, **wish, on_progress=on_progress or silent)
    with LiveLine() as live:
        video = session().generate(request, **wish, on_progress=live)
        live.finish(video.facts_line())
    return video
