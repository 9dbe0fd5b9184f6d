"""The plan of a batch: one for each different size of its rows."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cogmagic._api.generate import DEFAULT_MODEL
from cogmagic._api.plan import ANY_PROMPT, configs_for, plan_checked
from cogmagic._api.rows import rows_of, source_of
from cogmagic._api.ways import Ways, ways_of
from cogmagic._errors import RequestError, TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.batch_row import Row
from cogmagic._models.find import find_model
from cogmagic._models.inputs import placeholders
from cogmagic._models.request import Request
from cogmagic._planning.compile_time import code_key
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.plan import Plan
from cogmagic._planning.plan_json import as_json
from cogmagic._session.batch_texts import chunk_bytes
from cogmagic._units import seconds

__all__ = ["BatchPlan", "check_plans", "plan_batch", "plan_rows"]


@dataclass(frozen=True)
class _Share:
    """The rows of one size, number of frames and steps, and guidance."""

    plan: Plan
    """Of the first of them, with nothing loaded yet."""
    warm_seconds: float | None
    """Seconds of each further row: the weights are in host memory, its text is encoded, and the
    blocks are compiled."""
    rows: int
    first_row: int
    """The number of the first of them."""


@dataclass(frozen=True)
class BatchPlan:
    """The plans of a batch's rows."""

    shares: tuple[_Share, ...]
    ways: Ways | None = None
    """How several GPUs could make it; None where there are none, or it was not asked for."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(share.rows for share in self.shares)

    @property
    def largest(self) -> Plan:
        """The plan that needs most memory, or one that does not fit."""
        plans = [share.plan for share in self.shares]
        return max(plans, key=lambda p: (not p.fits, p.peak_vram or 0, p.peak_ram or 0))

    @property
    def seconds(self) -> float | None:
        """Seconds of all rows, which load the weights once; None where they are unknown."""
        total = 0.0
        for number, share in enumerate(self.shares):
            if share.warm_seconds is None or share.plan.seconds is None:
                return None
            total += share.rows * share.warm_seconds
            if number == 0:
                total += max(share.plan.seconds - share.warm_seconds, 0.0)
            else:
                total += share.plan.compile_seconds
        return total

    def __str__(self) -> str:
        time = f"{seconds(self.seconds)} in all" if self.seconds is not None else "time unknown"
        sizes = len(self.shares)
        table = f"; the table shows the largest of {sizes} kinds of rows" if sizes > 1 else ""
        lines = [f"{self.largest}", f"batch    {self.rows} videos, {time}{table}"]
        return "\n".join(lines + (self.ways.lines() if self.ways else []))

    def as_json(self) -> str:
        """The JSON of the largest plan, with ``rows``, ``batch_seconds`` and ``ways``."""
        ways = self.ways and self.ways.as_json()
        batch = {"rows": self.rows, "batch_seconds": self.seconds, "ways": ways}
        return json.dumps(json.loads(as_json(self.largest)) | batch, indent=2)


def plan_batch(options: Mapping[str, Any]) -> BatchPlan:
    """The plan of a batch.

    Args:
        options: those of a cell by their Python names, and ``machine`` and ``ram`` as `plan` takes
            them. One row may lack its prompt and inputs, on which a plan does not depend;
            ``prompts`` may be their number.

    Raises:
        RequestError: for the first wrong row, with its number.
        TierError: when the machine cannot do a tier that was asked for.
    """
    rest = dict(options)
    machine, ram = rest.pop("machine", None), rest.pop("ram", None)
    if (count := _number(rest.get("prompts"))) is not None:
        if rest.get("num_videos") is not None or rest.get("seeds") is not None:
            raise RequestError(
                f"--prompts {count} is the number of videos already. Leave out --num-videos and"
                " --seeds."
            )
        del rest["prompts"]
        rest["num_videos"] = count
    if rest.get("prompts") is None:
        rest.setdefault("prompt", ANY_PROMPT)
        rest |= placeholders(find_model(rest.get("model") or DEFAULT_MODEL).task, rest)
    source, memory = source_of(rest)
    rows = rows_of(source)
    batch = plan_rows(rows, memory, machine, ram)
    here = machine.only(memory.gpus) if machine else Machine.detect(gpus=memory.gpus)
    if len(here.gpus) < 2:
        return batch

    def plan(options: MemoryOptions, where: Machine) -> BatchPlan:
        return plan_rows(rows, replace(options, gpus=()), where, ram, speeds=False)

    return replace(batch, ways=ways_of(memory, here, plan))


def _number(prompts: object) -> int | None:
    """The number of prompts where no table is named but a number; a file of that name wins."""
    if isinstance(prompts, int) and not isinstance(prompts, bool):
        return prompts
    if isinstance(prompts, str) and prompts.strip().isdecimal() and not Path(prompts).exists():
        return int(prompts)
    return None


def plan_rows(
    rows: Sequence[Row],
    memory: MemoryOptions,
    machine: Machine | None = None,
    ram: float | None = None,
    *,
    speeds: bool = True,
) -> BatchPlan:
    """Plan each kind of row once.

    Args:
        rows: the batch.
        memory: tier, `keep` and the other options about memory.
        machine: a described machine; None for this one.
        ram: another amount of host memory, in GiB.
        speeds: whether each plan has the seconds of all speeds.
    """
    kinds: dict[object, list[Row]] = {}
    for row in rows:
        r = row.request
        kind = r.width, r.height, r.num_frames, r.num_inference_steps, r.guided
        kinds.setdefault(kind, []).append(row)
    requests = [row.request for row in rows]
    nbytes = _embeddings(requests, memory, machine or Machine.detect(gpus=memory.gpus))
    shares, code = [], frozenset[Hashable]()
    for alike in kinds.values():
        first = alike[0]
        planned = partial(
            plan_checked, first.request, memory, machine, ram, embeddings=nbytes, code=code
        )
        cold, warm = planned(speeds=speeds), planned(warm=True, speeds=False)
        again = warm.chosen.seconds_again if warm.chosen else None
        shares.append(_Share(cold, again, len(alike), first.number))
        if cold.speedups.compile:
            code |= {code_key(first.request, cold.dtype, cold.resolved, cold.split)}
    return BatchPlan(tuple(shares))


def check_plans(rows: Sequence[Row], memory: MemoryOptions) -> None:
    """Refuse a batch of which a row does not fit.

    Raises:
        TierError: for the first such row, with its number.
    """
    for share in plan_rows(rows, memory, speeds=False).shares:
        if share.plan.refusal:
            raise TierError(f"Row {share.first_row}: {share.plan.refusal}")


def _embeddings(requests: Sequence[Request], memory: MemoryOptions, machine: Machine) -> int:
    first = requests[0]
    return chunk_bytes(requests, dtype_for(first, machine, memory), configs_for(first))
