"""The kinds of values that a configuration may hold, and the error for any other."""

from __future__ import annotations

import math
import reprlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogmagic._errors import CheckpointError

__all__ = ["Choice", "Flag", "Listed", "Mapped", "Real", "Value", "Whole", "check_values"]


@dataclass(frozen=True)
class Value(ABC):
    """One key of a configuration: its default in the class that reads it, and what is allowed."""

    default: Any
    usual: str = ""
    """The value in the published models, for messages; by default, the class's own default."""
    optional: bool = False
    """Whether it may be null."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """The values that are allowed, for messages."""

    @abstractmethod
    def allows(self, value: object) -> bool:
        """Whether a value is allowed, null aside."""

    def problem(self, value: object) -> str:
        """The usual and the allowed values, for messages; empty if `value` is allowed."""
        if (value is None and self.optional) or self.allows(value):
            return ""
        null = " or null" * self.optional
        usual = self.usual or reprlib.repr(self.default).replace("None", "null")
        return f"CogVideoX models have {usual} (allowed: {self.allowed}{null})"


@dataclass(frozen=True)
class Whole(Value):
    """A whole number from `least` to `most`."""

    least: int = 0
    most: int = 0

    @property
    def allowed(self) -> str:
        if self.least == self.most:
            return f"{self.most} only"
        return f"a whole number from {self.least:,} to {self.most:,}"

    def allows(self, value: object) -> bool:
        return type(value) is int and self.least <= value <= self.most


@dataclass(frozen=True)
class Real(Value):
    """A number from `least` to `most`."""

    least: float = 0.0
    most: float = 1.0
    point: bool = False
    """Whether it must have a decimal point, because the class takes no whole number."""

    @property
    def allowed(self) -> str:
        point = " with a decimal point" * self.point
        return f"a number{point} from {self.least:g} to {self.most:g}"

    def allows(self, value: object) -> bool:
        number = isinstance(value, float) or (type(value) is int and not self.point)
        return number and self.least <= value <= self.most  # type: ignore[operator]


@dataclass(frozen=True)
class Flag(Value):
    """True or false."""

    @property
    def allowed(self) -> str:
        return "true or false"

    def allows(self, value: object) -> bool:
        return isinstance(value, bool)


@dataclass(frozen=True)
class Mapped(Value):
    """A JSON object."""

    @property
    def allowed(self) -> str:
        return "an object"

    def allows(self, value: object) -> bool:
        return isinstance(value, Mapping)


@dataclass(frozen=True)
class Choice(Value):
    """One of a few values."""

    choices: tuple[Any, ...] = ()

    @property
    def allowed(self) -> str:
        shown = (str(c).lower() if isinstance(c, bool) else str(c) for c in self.choices)
        return ", ".join(shown).replace("None", "null")

    def allows(self, value: object) -> bool:
        return any(type(value) is type(c) and value == c for c in self.choices)


@dataclass(frozen=True)
class Listed(Value):
    """A list of `length` values of one kind; of any length up to 10,000 for None."""

    of: Value = Flag(None)
    length: int | None = None

    @property
    def allowed(self) -> str:
        return f"a list of {self.length or 'up to 10,000'} values, each {self.of.allowed}"

    def allows(self, value: object) -> bool:
        if not isinstance(value, list | tuple):
            return False
        fits = len(value) == self.length if self.length else len(value) <= 10_000
        return fits and all(self.of.allows(item) for item in value)


def check_values(file: str, config: Mapping[str, Any], values: Mapping[str, Value]) -> None:
    """Refuse a configuration with a value that no CogVideoX has; keys outside `values` pass.

    Args:
        file: the file, for the message.
        config: its content.
        values: the keys that a class reads.

    Raises:
        CheckpointError: naming file, key, value, and what a CogVideoX has there.
    """
    for key, kind in values.items():
        if key in config and (problem := kind.problem(config[key])):
            raise CheckpointError(
                f"{file} sets {key} to {_shown(config[key])}, but {problem}."
                " Download or copy it again."
            )


def _shown(value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return f"{reprlib.repr(value):.60}"
