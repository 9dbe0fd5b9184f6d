"""The trials of fast decoding's Triton kernels in this process, for later plans.

Read without importing torch. `cogmagic._pipeline.decoding.fast` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DecodingTrial", "decoding_trials", "record_trial"]


@dataclass(frozen=True)
class DecodingTrial:
    """One trial of the kernels on a GPU."""

    gpu: int
    """Its index."""
    dtype: str
    problem: str
    """Why they do not run, a clause; empty if they do."""
    lasts: bool = True
    """Whether the outcome holds for later runs: not where memory ran out."""


_trials: dict[tuple[int, str], DecodingTrial] = {}


def decoding_trials() -> tuple[DecodingTrial, ...]:
    """The last trial of each GPU and dtype in this process."""
    return tuple(_trials.values())


def record_trial(trial: DecodingTrial) -> None:
    """Record a trial, in place of an earlier one."""
    _trials[trial.gpu, trial.dtype] = trial
