"""The tier of a batch on a worker's own card."""

from __future__ import annotations

from collections.abc import Sequence

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.batch_row import Row
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import configs_folder
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.planner import plan

__all__ = ["tier_for"]


def tier_for(rows: Sequence[Row], options: MemoryOptions, machine: Machine) -> str:
    """The tier in which a machine makes the first row that fits it.

    Raises:
        TierError: when no row fits.
    """
    kinds: dict[object, Row] = {}
    for row in rows:
        r = row.request
        kinds.setdefault((r.width, r.height, r.num_frames, r.guided, *r.inputs), row)
    refusal = ""
    for row in kinds.values():
        model = row.request.model
        folder = None if catalogued(model.source) else configs_folder(model)
        chosen = plan(row.request, machine, options, Available(folder=folder))
        if not chosen.refusal:
            return chosen.tier
        refusal = refusal or chosen.refusal
    raise TierError(refusal)
