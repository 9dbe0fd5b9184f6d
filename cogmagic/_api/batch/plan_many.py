"""The plan of a batch: one for each different size of its rows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from cogmagic._api.batch.batch_plan import BatchPlan, Share
from cogmagic._api.batch.rows import rows_of, source_of
from cogmagic._api.batch.which_way import ways_of
from cogmagic._api.generate import DEFAULT_MODEL
from cogmagic._api.plan import ANY_PROMPT, configs_for, plan_checked
from cogmagic._errors import RequestError, TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.batch_row import Row
from cogmagic._models.find import find_model
from cogmagic._models.inputs import placeholders
from cogmagic._models.request import Request
from cogmagic._planning.compile_time import code_keys
from cogmagic._planning.dtype import dtype_for
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._session.batch_texts import chunk_bytes

__all__ = ["BatchPlan", "check_plans", "plan_batch", "plan_rows"]


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
        if not count:
            raise RequestError("--prompts 0: a plan is for at least one video. Type --prompts 1")
        del rest["prompts"]
        rest["num_videos"] = count
    if rest.get("prompts") is None:
        rest.setdefault("prompt", ANY_PROMPT)
        rest |= placeholders(find_model(rest.get("model") or DEFAULT_MODEL).task, rest)
    source, memory = source_of(rest)
    rows = rows_of(source)
    batch = plan_rows(rows, memory, machine, ram)
    here = machine.only(memory.gpus) if machine else Machine.detect(gpus=memory.gpus)

    def plan(options: MemoryOptions, where: Machine) -> BatchPlan:
        return plan_rows(rows, replace(options, gpus=()), where, ram, speeds=False, suggest=False)

    return replace(batch, ways=ways_of(rows[0].request, memory, here, plan))


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
    suggest: bool = True,
) -> BatchPlan:
    """Plan each kind of row once.

    Args:
        rows: the batch.
        memory: tier, `keep` and the other options about memory.
        machine: a described machine; None for this one.
        ram: another amount of host memory, in GiB.
        speeds: whether each plan has the seconds of all speeds.
        suggest: whether each plan says what would need less memory or time.
    """
    kinds: dict[object, list[Row]] = {}
    for row in rows:
        r = row.request
        kind = r.width, r.height, r.num_frames, r.denoising_steps, r.guided_steps, *r.inputs
        kinds.setdefault(kind, []).append(row)
    requests = [row.request for row in rows]
    nbytes = _embeddings(requests, memory, machine or Machine.detect(gpus=memory.gpus))
    shares, code = [], frozenset[Hashable]()
    for alike in kinds.values():
        first = alike[0]
        planned = partial(
            plan_checked, first.request, memory, machine, ram, embeddings=nbytes, code=code
        )
        cold, warm = (
            planned(speeds=speeds, suggest=suggest),
            planned(warm=True, speeds=False, suggest=False),
        )
        again = warm.chosen.seconds_again if warm.chosen else None
        shares.append(Share(cold, again, len(alike), first.number))
        if cold.speedups.compile:
            code |= {*code_keys(first.request, cold.dtype, cold.resolved, cold.split)}
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
