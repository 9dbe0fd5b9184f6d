"""The panel's watch over the machine: its bars, and plans made again where free memory changes."""

from __future__ import annotations

from collections.abc import Callable

from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.machine.bars import bars
from cogmagic._notebook.panel.machine.meter import Meter
from cogmagic._notebook.panel.machine.readings import Reader, Reading, Sampler
from cogmagic._notebook.panel.machine.survey import Survey
from cogmagic._notebook.panel.runs.progress import RunDisplay
from cogmagic._notebook.panel.runs.runs import Runs
from cogmagic._planning.plan import Plan

__all__ = ["Watch"]


_SURVEYED = ("vram_limit", "gpus", "speed")
"""Options that the list of models is planned with."""


_REPLAN_BYTES = 2**27
"""Change of free memory after which the plan is made again."""


class Watch:
    """What each reading of the machine leads to.

    Args:
        fields: the form, for the list of models and its options.
        runs: during a run nothing is planned again.
        display: has the peaks of the run.
        plan: `cogmagic.plan`, or one for a described machine.
        refresh: makes the plan of what is entered again.
        read: takes a reading of the machine; from NVML and torch's counters if left out.
    """

    def __init__(
        self,
        fields: Fields,
        runs: Runs,
        display: RunDisplay,
        plan: Callable[..., Plan],
        refresh: Callable[[], None],
        read: Callable[[], Reading] | None = None,
    ) -> None:
        self._fields, self._runs, self._display, self._refresh = fields, runs, display, refresh
        self._readings = 0
        self._free: tuple[int, ...] = ()
        self.meter = Meter()
        self.sampler = Sampler(read or Reader(), self.take)
        self._survey = Survey(fields.inputs["model"], plan)
        self.plan: Plan | None = None
        """The plan of what is entered, whose need the bars show."""

    def close(self) -> None:
        """Stop the readings and the plans, and wait until their threads have ended."""
        self.sampler.close()
        self._survey.close()

    def take(self, reading: Reading) -> None:
        """Draw the bars, and plan again where free memory has changed; safe in any thread."""
        self._readings += 1  # so that the same values again are a change
        drawn = bars(reading, self.plan, self._display.peaks.bytes)
        self.meter.reading = drawn | {"tick": self._readings}
        if self._runs.job is not None:
            return
        free = (reading.ram.available or 0, *(g.available or 0 for g in reading.gpus))
        if len(free) != len(self._free) or any(
            abs(now - before) > _REPLAN_BYTES for now, before in zip(free, self._free, strict=True)
        ):
            self._free = free
            self._refresh()
        options = self._fields.entered()
        memory = {name: options[name] for name in _SURVEYED if options[name]}
        self._survey.update((self._free, self._runs.count, tuple(memory.items())), memory)
