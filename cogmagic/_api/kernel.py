"""The verbs about this kernel: what it holds, what it did, and letting go."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cogmagic._api.status import Models, Status
from cogmagic._errors import CogMagicError, OutputError
from cogmagic._machine.machine import Machine
from cogmagic._models.find import local_folder
from cogmagic._session.session import session
from cogmagic._units import gib
from cogmagic._video.video import Video

__all__ = ["cancel", "history", "models", "release", "status", "unsaved"]


def history(*, clear: bool = False) -> str:
    """What past runs were predicted to need and needed, as a table; `clear` forgets them."""
    from cogmagic._machine.history import History, history_table
    from cogmagic._machine.rates import delete_probes

    kept = History()
    if clear:
        delete_probes(kept.path.parent)
        return f"Forgot {kept.clear()} runs ({kept.path})."
    rows = kept.read()
    told = f"{kept.note}\n" if kept.note else ""
    return told + (history_table(rows) if rows else f"No runs yet ({kept.path}).")


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
    from cogmagic._machine.memory import empty_cache
    from cogmagic._machine.vram_users import vram_users, vram_users_line

    hot = sum(session().held.weights_on_gpus().values())
    freed = {"RAM": session().release(), "VRAM": hot}
    with suppress(RuntimeError):  # what a lost GPU says to everything
        empty_cache()
    amounts = " and ".join(f"{gib(n)} of {kind}" for kind, n in freed.items() if n)
    said = f"Freed {amounts}." if amounts else "Nothing was loaded."
    if prompts:
        from cogmagic._pipeline.prompt_cache import PromptCache

        said = f"{said[:-1]}; forgot {PromptCache.clear()} prompts."
    return " ".join(filter(None, (said, vram_users_line(vram_users(Machine.detect().gpus)))))


def cancel() -> str:
    """Stop the run that is going on in another thread, at its next block; what came of it."""
    return "Stopping." if session().cancel() else "Nothing is running."


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
    from cogmagic._models.catalog import MODELS

    return Models({m.name: _is_here(m) for m in MODELS})


def _is_here(model: Any) -> bool:
    try:
        return local_folder(model) is not None
    except CogMagicError:
        return False
