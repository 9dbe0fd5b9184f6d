"""`generate`: a prompt becomes a video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._html import in_notebook
from cogmagic._models.request import Request, known_options
from cogmagic._pipeline.preview import OnPreview
from cogmagic._planning.memory_options import MemoryOptions, memory_options
from cogmagic._progress import OnProgress, silent
from cogmagic._session.session import Output, session
from cogmagic._spelling import errors_for_python
from cogmagic._video.video import Video

__all__ = ["DEFAULT_MODEL", "generate", "request_of"]

DEFAULT_MODEL = "tiny"
"""The embedded model: it needs no download and no GPU."""


@errors_for_python()
def generate(
    prompt: str | Request = "",
    *,
    model: str = DEFAULT_MODEL,
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: float | None = None,
    gpus: str | int | Sequence[str | int] | None = None,
    parallel: int | str | None = None,
    speed: str = "exact",
    compile: bool = False,  # noqa: A002 - torch's word
    lean_decode: bool = False,
    guidance_halves: bool = False,
    fp8: bool = False,
    keep: str = "warm",
    save: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    on_progress: OnProgress | None = None,
    on_preview: OnPreview | None = None,
    **options: Any,
) -> Video:
    """Make a video; returns its file and how it was made.

    A live line shows the progress, and at the end the facts and the file's name: under the cell in
    a notebook, on stderr elsewhere.

    Args:
        prompt: what the video should show; or a `Request`, which has the model and all `options`.
        model: short name, hub id or folder.
        tier: the offload tier; by default the fastest that is predicted to fit.
        policy: ``auto``, or ``rule`` for the published rule of thumb.
        vram_limit: VRAM that this kernel may take of a GPU, its CUDA context and other tensors
            included: GiB below 1024, bytes from 2**29 (0.5 GiB); anything between is an error.
        gpus: the GPUs that may be used, by torch's index or by UUID, as ``"0,2"`` or ``[0, 2]``; a
            run on one GPU uses the one of them with most free VRAM.
        parallel: the GPUs that make the video together, a number or ``"all"``; by default one.
        speed: ``exact``, the bits of diffusers' own pipeline; ``fast``, the same within rounding:
            compiled, with the fastest attention kernel; ``faster``, with fp8 products where the GPU
            has them, another picture. It leaves out what this machine cannot do, and the plan names
            that.
        compile: compile the transformer's blocks, whatever the speed: slower once, then faster
            steps.
        lean_decode: decode with fewer tensors alive at once; the same frames.
        guidance_halves: denoise with the prompt and without it one after the other.
        fp8: store the linear layers of the transformer's blocks in 8 bits, and multiply in 8 bits
            on Ada and Hopper GPUs; another picture.
        keep: where the weights stay after the run: ``hot``, on the GPU, in tiers that hold them
            there; ``warm``, in host memory; ``cold``, nowhere.
        save: ``.mp4``, ``.gif`` or ``.webm`` file, ``fox.png`` for a folder ``fox`` of frames, or
            an existing folder; default ``cogvideo-<time>-<seed>.mp4`` in the working directory.
        overwrite: whether an existing file may be replaced.
        progress: whether to show a live line; where stderr is not a terminal, only its end.
        on_progress: called with a `Progress` at every step, in place of the live line.
        on_preview: called while denoising with the video as it forms: uint8 RGB, latent frames ×
            latent height × latent width × 3; takes at most a hundredth of the time. If it fails,
            there are no more previews, and the run goes on.
        **options: ``width``, ``height`` (pixels), ``num_frames``, ``num_inference_steps``,
            ``guidance_scale``, ``guidance_from``, ``guidance_until``, ``negative_prompt``,
            ``seed``, ``scheduler``, ``timesteps``, ``preset``, ``fps``, ``dtype``, ``image``,
            ``video`` with its ``strength`` and ``start`` (seconds), ``extend`` (a clip to go on
            from, with an image-to-video model) with its ``overlap`` (frames), ``fit``, ``lora``,
            ``truncate``, and the aliases ``size``, ``frames`` and ``steps``; by default the model's
            own.

    Raises:
        CogMagicError: one line, with the numbers and what to type next.
        Cancelled: when interrupted; everything has been freed.
    """
    from cogmagic._api.displays import CellDisplay, TerminalDisplay
    from cogmagic._api.live_line import LiveLine

    memory = MemoryOptions.of(
        tier=tier,
        policy=policy,
        vram_limit=vram_limit,
        gpus=gpus,
        parallel=parallel,
        speed=speed,
        compile=compile,
        lean_decode=lean_decode,
        guidance_halves=guidance_halves,
        fp8=fp8,
        keep=keep,
        **memory_options(options),
    )
    request = request_of(prompt, model, options)
    if on_progress is not None or not progress:
        output = Output(save, overwrite, on_progress or silent, on_preview)
        return session().generate(request, memory, output)
    with LiveLine(CellDisplay() if in_notebook() else TerminalDisplay()) as live:
        video = session().generate(request, memory, Output(save, overwrite, live, on_preview))
        live.finish(video.facts_line(), video.report.warning)
    return video


def request_of(prompt: str | Request, model: str, options: dict[str, Any]) -> Request:
    """The request of a prompt with options, or the one that was passed in its place.

    Args:
        prompt: what the video should show, or a whole request.
        model: short name, hub id or folder.
        options: as `Request.of` takes them.

    Raises:
        RequestError: for options beside a request, which has its own.
    """
    if not isinstance(prompt, Request):
        return Request.of(prompt, model, **options)
    names = [*(["model"] if model not in (DEFAULT_MODEL, prompt.model.name) else [])]
    names += known_options(options)
    if names:
        raise RequestError(
            f"The Request has its own {names[0]}. Pass no options beside it; make another with"
            " Request.of."
        )
    return prompt.checked()
