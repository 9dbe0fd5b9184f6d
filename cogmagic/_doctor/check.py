"""A check of the machine, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import error_line, plain_line

__all__ = ["Check", "Finding", "Result", "Status", "failure", "ok", "warning"]

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What a check finds."""

    status: Status
    text: str
    """One line with the numbers."""
    fix: str = ""
    """How to fix it: a command, or a sentence; empty where nothing is wrong."""
    private: str = ""
    """What more this machine's user sees, but a report to others leaves out: names and hosts."""


def ok(text: str, private: str = "") -> Finding:
    """Nothing is wrong."""
    return Finding("ok", text, private=private)


def warning(text: str, fix: str, private: str = "") -> Finding:
    """Videos can be made, but with a restriction."""
    return Finding("warn", text, fix, private)


def failure(text: str, fix: str, private: str = "") -> Finding:
    """Videos cannot be made, or the GPU cannot be used."""
    return Finding("fail", text, fix, private)


@dataclass(frozen=True)
class Check:
    """One check: what it is called, and its function."""

    name: str
    run: Callable[[Surroundings], Finding]


@dataclass(frozen=True)
class Result:
    """The finding of one check, as it is shown."""

    name: str
    status: Status
    text: str
    fix: str = ""
    private: str = ""

    @classmethod
    def of(cls, check: Check, surroundings: Surroundings) -> Result:
        """The result of a check; an error in it is a failure of that check alone."""
        try:
            found = check.run(surroundings)
        except Exception as error:  # whatever is wrong with the machine
            found = failure(
                f"the check itself failed ({error_line(error)})",
                "report it with the output of: %cogvideo doctor --report",
            )
        return cls.from_finding(check.name, found)

    @classmethod
    def from_finding(cls, name: str, found: Finding) -> Result:
        """The result of the check of that name."""
        shown = (found.text, found.fix, found.private)  # may have names of files and programs
        return cls(name, found.status, *map(plain_line, shown))
