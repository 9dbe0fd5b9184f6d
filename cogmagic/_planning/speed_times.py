"""The seconds of a request at each of the three speeds, and what a faster one gains."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cogmagic._planning.candidates import slower
from cogmagic._tiers.registry import TIERS
from cogmagic._units import seconds

__all__ = ["NO_SPEED_TIMES", "SpeedTime", "SpeedTimes"]


@dataclass(frozen=True)
class SpeedTime:
    """A request's seconds at one speed."""

    name: str
    """The speed."""
    tier: str
    """The tier that it would use."""
    seconds: float
    """The whole first run, with loading and compiling as far as they are needed."""
    compile_seconds: float
    """Seconds of compiling, which a second clip of the same shape does not need."""
    again: float
    """The next clip of the same shape in this kernel: with the weights loaded where they stay in
    host memory, and nothing to compile."""


@dataclass(frozen=True)
class SpeedTimes:
    """A request's seconds at all speeds that fit, and which of them it has."""

    times: tuple[SpeedTime, ...] = ()
    chosen: str = "exact"

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return " · ".join(f"{name} {text}" for name, text in self.texts.items()) + note

    @property
    def texts(self) -> dict[str, str]:
        """The seconds of each speed by its name, as ``293 s (261 s from the second clip)``."""
        return {time.name: self._text(time) for time in self.times}

    @property
    def gain(self) -> str:
        """What *fast* gains already with one clip; empty if it does not, or is chosen."""
        exact, fast = self._compared
        if self.chosen != "exact" or not (exact and fast and slower(exact.seconds, fast.seconds)):
            return ""
        now = f"{self._seconds(fast.seconds)} instead of {self._seconds(exact.seconds)}"
        again = f"{self._seconds(fast.again)} instead of {self._seconds(exact.again)}"
        later = f", from the second clip on {again}" if again != now else ""
        tier = f"{TIERS[fast.tier].title}, " if fast.tier != exact.tier else ""
        return f"--speed {fast.name}: {tier}{now}{later} (the same picture within rounding)"

    @property
    def note(self) -> str:
        """From how many clips on a faster speed pays, where one clip is too few; else empty."""
        exact, fast = self._compared
        if not (exact and fast) or slower(exact.seconds, fast.seconds):
            return ""
        if not slower(exact.again, fast.again):
            return f"--speed {fast.name} gains nothing here" if self.chosen != "exact" else ""
        more, saved = fast.seconds - exact.seconds, exact.again - fast.again
        clips = max(math.floor(more / saved) + 2, 2)  # with which more < (clips - 1) * saved
        compiling = fast.compile_seconds
        with_it = f", with {seconds(compiling)} of compiling" if compiling else ""
        return (
            f"--speed {fast.name} pays from {clips} clips of this shape on:"
            f" the first takes {f'{seconds(more)} more' if more > 0 else 'as long'}"
            f"{with_it}, and each further one {seconds(saved)} less"
        )

    def _text(self, time: SpeedTime) -> str:
        first, again = self._seconds(time.seconds), self._seconds(time.again)
        later = f" ({again} from the second clip)" if again != first else ""
        return f"{first}{later}"

    def _seconds(self, value: float) -> str:
        """Seconds in the same unit as all others here."""
        return seconds(value, least=min(min(t.seconds, t.again) for t in self.times))

    @property
    def _compared(self) -> tuple[SpeedTime | None, SpeedTime | None]:
        """*exact*, and the chosen speed or *fast*."""
        by_name = {time.name: time for time in self.times}
        faster = self.chosen if self.chosen != "exact" else "fast"
        return by_name.get("exact"), by_name.get(faster)


NO_SPEED_TIMES = SpeedTimes()
