"""One option of the cell magic and of every other interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Option"]


@dataclass(frozen=True)
class Option:
    """One option: its long name, aliases, what it takes and what it means."""

    name: str
    help: str
    group: str
    metavar: str | None = None
    """None for a switch."""
    kind: Any = str
    convert: Callable[[str, str], Any] | None = None
    """The value of a text; takes the option's flag as well, for its errors."""
    choices: tuple[str, ...] | None = None
    """The only values; the code that uses them checks them, not the parser."""
    suggestions: tuple[str, ...] = ()
    """Offered by completion, but not the only values."""
    complete: Callable[[str], tuple[str, ...] | None] | None = None
    """The values that completion offers for a text, where it is not merely their beginning; None
    where other completers, such as that of paths, are to answer."""
    aliases: tuple[str, ...] = ()
    multiple: bool = False
    """Whether it may be given several times; its value is then a list."""
    spaces: bool = False
    """Whether a value often contains spaces, so that it must be quoted."""
    plans: bool = True
    """Whether a plan takes it; False for options that concern only a run or its file."""

    def values(self, typed: str) -> tuple[str, ...] | None:
        """The values that follow from what is typed; None where other completers answer."""
        if self.complete:
            return self.complete(typed)
        if offers := self.choices or self.suggestions:
            return tuple(c for c in offers if c.lower().startswith(typed.lower()))
        return None

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling, the long one first."""
        return (f"--{self.name}", *self.aliases)

    @property
    def dest(self) -> str:
        """The Python name."""
        return self.name.replace("-", "_")
