"""Processes of a training run tell one another how a validation stands.

By the key-value store of the process group: its collectives give up after a time that a long
validation exceeds, and the group with them; its barriers wait for ever.
"""

from __future__ import annotations

import pickle
import time
from datetime import timedelta
from typing import Any

from cogmagic._errors import TrainingError
from cogmagic.training.accelerate_run import TrainingRun

__all__ = ["listen", "meet", "tell"]


_HERE, _REFUSED = "here ", "refused "


_MEETINGS: list[str] = []
"""Those to which all came: each process counts the same."""


def meet(engine: TrainingRun, seconds: float, about: str = "", refused: str = "") -> None:
    """Wait until every process has come here; they would hang in each other's way otherwise.

    Args:
        engine: says how many there are.
        seconds: to wait.
        about: what this process has come for; the same in all of them.
        refused: why this process cannot go on; the others are told.

    Raises:
        TrainingError: when one does not come in time, cannot go on, or has come for another thing.
    """
    if engine.processes == 1:
        return
    store, place = _store(), f"cogmagic/validation/{len(_MEETINGS)}"
    keys = [f"{place}/{rank}" for rank in range(engine.processes)]
    mine = _REFUSED + refused if refused else _HERE + about
    store.set(keys[engine.rank], mine)
    try:
        store.wait(keys, timedelta(seconds=seconds))
    except RuntimeError:  # torch.distributed.DistStoreError is one
        absent = [rank for rank, key in enumerate(keys) if not store.check([key])]
        store.delete_key(keys[engine.rank])  # who comes later is alone, and the next time counts
        raise TrainingError(_alone(engine, absent, seconds)) from None
    _MEETINGS.append(place)
    if refused:
        return
    said = dict(enumerate(store.get(key).decode() for key in keys))
    whys = [
        f"process {rank} ({words.removeprefix(_REFUSED)})"
        for rank, words in said.items()
        if words.startswith(_REFUSED)
    ]
    if whys:
        raise TrainingError(f"The validation was refused in {', '.join(whys)}.")
    if others := [str(rank) for rank, words in said.items() if words != mine]:
        raise TrainingError(
            f"Process {', '.join(others)} was given other requests, or another step, than process"
            f" {engine.rank}. Give the same list to all: they share it among themselves."
        )


def tell(engine: TrainingRun, what: Any) -> None:
    """Leave for the other processes how this one has ended, after they have met."""
    if engine.processes > 1:
        _store().set(_keys(engine)[engine.rank], pickle.dumps(what))


def listen(engine: TrainingRun) -> list[Any]:
    """What every process has left, by rank; waits as long as the slowest takes."""
    if engine.processes == 1:
        return []
    store, keys = _store(), _keys(engine)
    while not store.check(keys):
        time.sleep(0.1)
    # From these very processes, as torch's own gather_object has it.
    return [pickle.loads(store.get(key)) for key in keys]  # noqa: S301


def _keys(engine: TrainingRun) -> list[str]:
    return [f"{_MEETINGS[-1]}/ended/{rank}" for rank in range(engine.processes)]


def _store() -> Any:
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()


def _alone(engine: TrainingRun, absent: list[int], seconds: float) -> str:
    who = ", ".join(map(str, absent))
    why = (
        "ZeRO-3 keeps a piece of each weight in every process"
        if engine.gathers
        else "they share the samples"
    )
    return (
        f"Process {who} of {engine.processes} did not come to the validation within {seconds:g} s."
        f" Call it in all of them, not under accelerator.is_main_process: {why}. What is only later"
        " than that needs a longer timeout=."
    )
