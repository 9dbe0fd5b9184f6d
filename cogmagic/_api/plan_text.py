"""The text of a plan: for ``--dry-run`` and the verb ``plan``, of one video or of a batch."""

from __future__ import annotations

from typing import Any

from cogmagic._api import plan
from cogmagic._api.batch.plan_many import plan_batch
from cogmagic._api.batch.rows import BATCH_OPTIONS
from cogmagic._api.options.table import without_run_options
from cogmagic._api.which_gpu import which_gpu
from cogmagic._errors import RequestError
from cogmagic._machine.machine import Machine
from cogmagic._planning.plan_json import as_json

__all__ = ["plan_text", "planned"]


def plan_text(options: dict[str, Any]) -> str:
    """The plan for these options of a cell or of ``plan``: a table, or JSON."""
    return planned(options)[0]


def planned(options: dict[str, Any]) -> tuple[str, bool]:
    """The text of a plan, and whether a tier fits; a comparison of cards counts as one that fits.

    Args:
        options: those of a cell and of ``plan`` by their Python names.
    """
    options = without_run_options(options)
    machine: dict[str, Any] = {
        name: options.pop(name) for name in ("gpu", "vram", "ram") if name in options
    }
    json = options.pop("json", False)
    if options.pop("which_gpu", False):
        if named := options.keys() & set(BATCH_OPTIONS):
            flag = min(named).replace("_", "-")
            raise RequestError(f"--which-gpu compares cards for one video. Leave out --{flag}.")
        if machine.keys() - {"ram"} or "gpus" in options:
            raise RequestError(
                "--which-gpu compares all cards. Leave out --gpu, --gpus and --vram."
            )
        if json:
            raise RequestError(
                "--which-gpu prints a table only. For JSON, name one card with --gpu."
            )
        return which_gpu(**machine, **options), True
    if machine.keys() <= {"ram"}:  # this machine, with another amount of RAM
        options |= machine
    else:
        options["machine"] = Machine.of(machine.pop("gpu", None), **machine)
    if options.keys() & set(BATCH_OPTIONS):
        batch = plan_batch(options)
        return batch.as_json() if json else str(batch), batch.largest.fits
    made = plan.plan(**options)
    return as_json(made) if json else str(made), made.fits
