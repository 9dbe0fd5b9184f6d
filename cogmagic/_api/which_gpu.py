"""`which_gpu`: the known cards that can do a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cogmagic._api.plan import plan, plan_checked
from cogmagic._errors import CogMagicError, RequestError
from cogmagic._machine.machine import Machine
from cogmagic._planning.memory_options import MemoryOptions, memory_options
from cogmagic._planning.plan import Plan
from cogmagic._units import gib, seconds

__all__ = ["which_gpu"]


def which_gpu(*, ram: float | None = None, **options: Any) -> str:
    """The known cards that can do a request, the slowest first, as a table.

    Takes the options of `plan` other than `machine`; `ram` is host memory in GiB.
    """
    from cogmagic._machine.cards.table import CARDS

    memory = MemoryOptions.of(**memory_options(options))
    if memory.parallel != 1:
        raise RequestError(
            "--which-gpu lists single cards. Leave out --parallel, or name a machine:"
            ' --gpu "2x A100 40GB".'
        )
    request = plan(**options, machine=Machine.of("H200")).request  # or what is wrong with it

    def on(name: str) -> Plan:
        return plan_checked(request, memory, Machine.of(name, ram=ram), speeds=False, suggest=False)

    return _cards_that_can(on, tuple(card.name for card in CARDS))


def _cards_that_can(plan_for: Callable[[str], Plan], cards: tuple[str, ...]) -> str:
    """One line a card that can do it, the slowest first, with its tier and its time if known.

    Args:
        plan_for: the plan on the card of that name; may raise what `plan` raises.
        cards: the names to ask for.
    """
    able, left_out, narrow = [], 0, 0
    for name in cards:
        try:
            made = plan_for(name)
        except CogMagicError as error:  # no bfloat16, for one
            left_out += 1
            narrow += "cannot compute in bfloat16" in str(error)
            continue
        if made.fits:
            able.append((name, made))
        else:
            left_out += 1
    able.sort(key=lambda row: -(row[1].seconds or 0.0))
    form = "{:<26} {:<12} {:>10} {:>8} {:>8}"
    lines = [form.format("card", "tier", "VRAM", "s/step", "total")]
    for name, made in able:
        step, total = seconds(made.step_seconds), seconds(made.seconds)
        lines.append(form.format(name, made.tier, gib(made.peak_vram), step, total))
    if left_out:
        why = f", {narrow} of them for lack of bfloat16: try --dtype float32" if narrow else ""
        lines.append(f"{left_out} of {len(cards)} known cards cannot do it{why}.")
    lines.append(
        "Times follow from datasheets, figures measured on an H100 and published ones for an A100."
    )
    return "\n".join(lines)
