"""The seconds of a request at each of the three speeds, and what a faster one gains."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cogmagic._planning.candidates import slower
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
    """The whole run, compiling included."""
    compile_seconds: float
    """Seconds of compiling, which a second clip of the same shape does not need."""

    @property
    def again(self) -> float:
        """The whole run without compiling."""
        return self.seconds - self.compile_seconds

    def __str__(self) -> str:
        again = f" ({self.later} from the second clip)" if self.later else ""
        return f"{self.name} {seconds(self.seconds)}{again}"

    @property
    def later(self) -> str:
        """`again` as text; empty where it reads as `seconds` does."""
        once, again = seconds(self.seconds), seconds(self.again)
        return again if again != once else ""


@dataclass(frozen=True)
class SpeedTimes:
    """A request's seconds at all speeds that fit, and which of them it has."""

    times: tuple[SpeedTime, ...] = ()
    chosen: str = "exact"
    steps: int = 0

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        return " · ".join(map(str, self.times)) + note

    @property
    def gain(self) -> str:
        """What *fast* gains already with one clip; empty if it does not, or is chosen."""
        exact, fast = self._compared
        if self.chosen != "exact" or not (exact and fast and slower(exact.seconds, fast.seconds)):
            return ""
        again = f", from the second clip on {fast.later}" if fast.later else ""
        now = f"{seconds(fast.seconds)} instead of {seconds(exact.seconds)}"
        return f"--speed {fast.name}: {now}{again}"

    @property
    def note(self) -> str:
        """From how many clips on a faster speed pays, where one clip is too few; else empty."""
        exact, fast = self._compared
        if not (exact and fast) or slower(exact.seconds, fast.seconds):
            return ""
        saved = exact.again - fast.again
        if not slower(exact.again, fast.again):
            return f"--speed {fast.name} gains nothing here" if self.chosen != "exact" else ""
        clips = max(math.floor(fast.compile_seconds / saved) + 1, 2)
        steps = "1 step saves" if self.steps == 1 else f"{self.steps} steps save"
        return (
            f"--speed {fast.name} pays from {clips} clips of this shape on: compiling takes"
            f" {seconds(fast.compile_seconds)}, and {steps} {seconds(saved)}"
        )

    @property
    def _compared(self) -> tuple[SpeedTime | None, SpeedTime | None]:
        """*exact*, and the chosen speed or *fast*."""
        by_name = {time.name: time for time in self.times}
        faster = self.chosen if self.chosen != "exact" else "fast"
        return by_name.get("exact"), by_name.get(faster)


NO_SPEED_TIMES = SpeedTimes()
