"""The verbs, by the same names and options as the magics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cogmagic._checkpoint import find_model, local_folder
from cogmagic._checks import check_keep
from cogmagic._errors import CogMagicError, OutputError, RequestError
from cogmagic._machine import Machine
from cogmagic._planning import known_options
from cogmagic._preview import OnPreview
from cogmagic._progress import OnProgress, silent
from cogmagic._report import gib
from cogmagic._request import Request
from cogmagic._savings import Savings
from cogmagic._selected import gpu_names
from cogmagic._session import Placing, session
from cogmagic._status import Models, Status
from cogmagic._video import Video

__all__ = [
    "cancel",
    "generate",
    "history",
    "models",
    "panel",
    "release",
    "status",
    "unsaved",
]


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
    from cogmagic._display import LiveLine, in_notebook

    request = Request.of(prompt, find_model(model), **known_options(options))
    savings = Savings(lean_decode, guidance_halves, fp8)
    placing = Placing(tier, policy, vram_limit, gpu_names(gpus), compile, savings, check_keep(keep))
    wish: dict[str, Any] = {"placing": placing, "save": save, "overwrite": overwrite}
    wish["on_preview"] = on_preview
    if on_progress is not None or not in_notebook():
        return session().generate(request, **wish, on_progress=on_progress or silent)
    with LiveLine() as live:
        video = session().generate(request, **wish, on_progress=live)
        live.finish(video.facts_line())
    return video


def history(*, clear: bool = False) -> str:
    """What past runs were predicted to need and needed, as a table; `clear` forgets them."""
    from cogmagic._history import History, render
    from cogmagic._rates import forget

    kept = History()
    if clear:
        forget(kept.path.parent)
        return f"Forgot {kept.clear()} runs ({kept.path})."
    rows = kept.read()
    told = f"{kept.note}\n" if kept.note else ""
    return told + (render(rows) if rows else f"No runs yet ({kept.path}).")


def status() -> Status:
    """VRAM per GPU, host memory and what this kernel holds, now."""
    held = session().loaded
    return Status(
        machine=Machine.detect(),
        loaded=f"{held.model.name} ({held.dtype})" if held else None,
        loaded_bytes=held.nbytes if held else 0,
        hot_bytes=sum(session().held.weights_on_gpus().values()),
    )


def release(*, prompts: bool = False) -> str:
    """Let go of the pipeline that this kernel holds; what was freed, and who holds VRAM still.

    Args:
        prompts: also forget the embeddings of past prompts, which are kept on disk.
    """
    from cogmagic._holders import holders, told
    from cogmagic._memory import empty_cache

    hot = sum(session().held.weights_on_gpus().values())
    freed = {"RAM": session().release(), "VRAM": hot}
    with suppress(RuntimeError):  # what a lost GPU says to everything
        empty_cache()
    amounts = " and ".join(f"{gib(n)} of {kind}" for kind, n in freed.items() if n)
    said = f"Freed {amounts}." if amounts else "Nothing was loaded."
    if prompts:
        from cogmagic._texts import Texts

        said = f"{said[:-1]}; forgot {Texts.clear()} prompts."
    return " ".join(filter(None, (said, told(holders(Machine.detect().gpus)))))


def cancel() -> str:
    """Stop the run that is going on in another thread, at its next block; what came of it."""
    return "Stopping." if session().cancel() else "Nothing is running."


def panel(
    names: MutableMapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Any:
    """The kernel's panel, an ipywidget: live memory, the recommendation, a request and its runs.

    Args:
        names: variables that may be named as a first frame, and among which an uploaded one is
            put; those of ``__main__`` by default.
        defaults: what a new panel's fields begin with, of ``model``, ``tier``, ``policy``,
            ``vram_limit`` (bytes), ``gpus``, ``keep`` and ``save``.

    Raises:
        RequestError: where the packages that it takes are not installed.
    """
    try:
        from cogmagic._panel import the_panel
    except ModuleNotFoundError as missing:
        raise RequestError(
            f'The panel needs {missing.name}. Install it: pip install "cogmagic[lab]", then restart'
            " the kernel."
        ) from None
    return the_panel(vars(sys.modules["__main__"]) if names is None else names, defaults).view


def unsaved() -> Video:
    """The last video that could not be written where it was to go; its `Video.save` writes it.

    Raises:
        OutputError: when there is none.
    """
    video = session().unsaved
    if video is None:
        raise OutputError("There is no unsaved video: each is where its line under the cell says.")
    return video


def models() -> Models:
    """The family, and which members are on this machine."""
    from cogmagic._catalog import MODELS

    return Models({m.name: _is_here(m) for m in MODELS})


def _is_here(model: Any) -> bool:
    try:
        return local_folder(model) is not None
    except CogMagicError:
        return False
