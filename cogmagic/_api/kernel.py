"""The functions about this kernel: status, history, release, cancel, unsaved and models."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from cogmagic._api.status import Models, Status
from cogmagic._cluster.cluster import current
from cogmagic._errors import CogMagicError, OutputError
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import MODELS
from cogmagic._models.find import local_folder
from cogmagic._models.model import Model
from cogmagic._session.session import session
from cogmagic._units import gib
from cogmagic._video.video import Video

__all__ = ["cancel", "history", "models", "release", "status", "unsaved"]


def history(*, clear: bool = False) -> str:
    """Past runs with predicted and measured memory and time, as a table; `clear` deletes them."""
    from cogmagic._machine.file_paces import delete_file_paces
    from cogmagic._machine.history import History, history_table
    from cogmagic._machine.kernels import delete_comparisons
    from cogmagic._machine.rates import delete_probes

    past = History()
    if clear:
        delete_probes(past.path.parent)
        delete_file_paces(past.path.parent)
        delete_comparisons(past.path.parent)
        return f"Deleted {past.clear()} runs ({past.path})."
    rows = past.read()
    note = f"{past.note}\n" if past.note else ""
    return note + (history_table(rows) if rows else f"No runs yet ({past.path}).")


def status() -> Status:
    """VRAM per GPU, host memory and the loaded pipeline, now."""
    slot = session().slot
    loaded, workers, plan = slot.loaded, slot.workers, slot.plan
    name = f"{loaded.model.name} ({loaded.dtype})" if loaded else None
    if workers is not None and plan is not None and workers.weights:
        name = f"{plan.request.model.name} ({plan.dtype})"
    return Status(
        machine=Machine.detect(),
        loaded=name,
        loaded_bytes=workers.weights if workers else loaded.nbytes if loaded else 0,
        hot_bytes=sum(slot.weights_on_gpus().values()),
        workers=len(workers.pids) if workers else 0,
        workers_ram=workers.ram if workers else 0,
        workers_vram=workers.vram if workers else {},
        cluster=str(connected.lines()) if (connected := current()) else "",
    )


def release(*, prompts: bool = False) -> str:
    """Release the loaded pipeline and end the workers; returns what was freed, and what uses VRAM.

    The workers of a cluster release their weights, too; `Connection.off` ends them.

    Args:
        prompts: also delete the cached prompt embeddings.
    """
    from cogmagic._machine.allocator import empty_cache
    from cogmagic._machine.vram_users import vram_users, vram_users_line

    slot = session().slot
    vram = slot.workers.vram if slot.workers else slot.weights_on_gpus()
    freed = {"RAM": session().release(), "VRAM": sum(vram.values())}
    with suppress(RuntimeError):  # a lost GPU raises on every call
        empty_cache()
    amounts = " and ".join(f"{gib(n)} of {kind}" for kind, n in freed.items() if n)
    outcome = f"Freed {amounts}." if amounts else "Nothing was loaded."
    if connected := current():
        outcome += f" The cluster's workers freed {gib(connected.release())}."
    if prompts:
        from cogmagic._pipeline.prompt_cache import PromptCache

        outcome += f" Deleted {PromptCache.clear()} cached prompts."
    return " ".join(filter(None, (outcome, vram_users_line(vram_users(Machine.detect().gpus)))))


def cancel() -> str:
    """Stop the run in another thread at its next block; returns what happened, in words."""
    return "Stopping." if session().cancel() else "Nothing is running."


def unsaved() -> Video:
    """The last video that could not be written; its `Video.save` writes it elsewhere.

    Raises:
        OutputError: when every video was written.
    """
    video = session().unsaved
    if video is None:
        raise OutputError("No unsaved video: every file is at the path in the line under its cell.")
    return video


def models() -> Models:
    """The models of the family, and which are on this machine."""
    return Models({m.name: _folder(m) for m in MODELS})


def _folder(model: Model) -> Path | None:
    """The model's checkpoint on this machine; None where it is missing or damaged."""
    try:
        return local_folder(model)
    except CogMagicError:
        return None
