"""Rendezvous of the processes of a training run before and after a validation.

Through the key-value store of the process group: its collectives time out during a long
validation, and the group with them; its barriers wait forever.
"""

from __future__ import annotations

import pickle
import time
from datetime import timedelta
from typing import Any

from cogmagic._errors import TrainingError
from cogmagic.training.training_run import TrainingRun

__all__ = ["collect", "publish", "rendezvous"]


_READY, _REFUSED = "here ", "refused "


_ROUNDS: list[str] = []
"""Key prefixes of the rounds in which all processes arrived: every process counts the same."""


def rendezvous(run: TrainingRun, seconds: float, about: str = "", refusal: str = "") -> None:
    """Wait until every process has arrived, so that none waits for another inside the training.

    Args:
        run: the training run.
        seconds: how long to wait.
        about: a digest of what this process is going to do; the same in all of them.
        refusal: why this process cannot go on, for the others; empty if it can.

    Raises:
        TrainingError: when a process is late, cannot go on, or is going to do something else.
    """
    if run.processes == 1:
        return
    store, prefix = _store(), f"cogmagic/validation/{len(_ROUNDS)}"
    keys = [f"{prefix}/{rank}" for rank in range(run.processes)]
    mine = _REFUSED + refusal if refusal else _READY + about
    store.set(keys[run.rank], mine)
    try:
        store.wait(keys, timedelta(seconds=seconds))
    except RuntimeError:  # torch.distributed.DistStoreError is one
        absent = [rank for rank, key in enumerate(keys) if not store.check([key])]
        # A process that arrives later is alone, too, and the next round counts.
        store.delete_key(keys[run.rank])
        raise TrainingError(_absence(run, absent, seconds)) from None
    _ROUNDS.append(prefix)
    if refusal:
        return
    messages = dict(enumerate(store.get(key).decode() for key in keys))
    refusals = [
        f"process {rank} ({message.removeprefix(_REFUSED)})"
        for rank, message in messages.items()
        if message.startswith(_REFUSED)
    ]
    if refusals:
        raise TrainingError(f"The validation was refused in {', '.join(refusals)}.")
    if others := [str(rank) for rank, message in messages.items() if message != mine]:
        raise TrainingError(
            f"Process {', '.join(others)} was given other requests, or another step, than process"
            f" {run.rank}. Pass the same list and step in every process: they share the work."
        )


def publish(run: TrainingRun, outcome: Any) -> None:
    """Leave the outcome of this process for the others, after their rendezvous."""
    if run.processes > 1:
        _store().set(_outcome_keys(run)[run.rank], pickle.dumps(outcome))


def collect(run: TrainingRun) -> list[Any]:
    """The outcomes of all processes, by rank; waits as long as the slowest takes."""
    if run.processes == 1:
        return []
    store, keys = _store(), _outcome_keys(run)
    while not store.check(keys):
        time.sleep(0.1)
    # Pickled by these very processes, as with torch's own gather_object.
    return [pickle.loads(store.get(key)) for key in keys]  # noqa: S301


def _outcome_keys(run: TrainingRun) -> list[str]:
    return [f"{_ROUNDS[-1]}/ended/{rank}" for rank in range(run.processes)]


def _store() -> Any:
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()


def _absence(run: TrainingRun, absent: list[int], seconds: float) -> str:
    ranks = ", ".join(map(str, absent))
    reason = (
        "ZeRO-3 keeps a part of each weight in every process"
        if run.gathers
        else "they share the samples"
    )
    return (
        f"Process {ranks} of {run.processes} did not reach the validation within {seconds:g} s."
        f" Call it in all of them, not under accelerator.is_main_process: {reason}. For processes"
        " that are only slower than that, pass a longer timeout=."
    )
