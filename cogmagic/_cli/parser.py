"""The parser of the command line: one argparse parser a command, with completion."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import PurePath
from typing import Any, NoReturn

from cogmagic._api.options.option import Option
from cogmagic._api.options.parser import Parser, flags_of, values_of
from cogmagic._api.options.words import quoted
from cogmagic._cli.commands import COMMANDS, Command
from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models.choices import choice_hint
from cogmagic._version import __version__

__all__ = ["command_of", "complete"]


_HELP = frozenset(("-h", "--help"))


_TOP = "cogmagic"


_SPECIAL = frozenset("$`\\!*?[]{}()<>|&;#~")
"""Characters that shells replace or obey, some of them in double quotes, too."""


class _CommandParser(Parser):
    """The parser of a command: its argument, its options, and how their values are completed."""

    def __init__(self, prog: str, command: Command, **_: Any) -> None:
        options = command.options()
        super().__init__(prog, options)
        self.usage = " ".join(filter(None, (prog, command.argument, "[options]")))
        self.description = command.help
        self._by_name = {option.dest: option for option in options}
        for action in self._actions:
            option = self._by_name[action.dest]
            if option.values("") is not None:  # else argcomplete offers files
                action.completer = _completer(option)  # type: ignore[attr-defined]
        if command.argument:
            self.add_argument(
                command.dest, nargs="?", metavar=command.argument, help=command.argument_help
            )
        self._argument, self._dest = command.argument, command.dest
        self._words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Raise in one line; an option of cells or of other commands is refused by its name."""
        for word in message.removeprefix("unrecognized arguments: ").split():
            name = word.partition("=")[0]
            if name in flags_of() and flags_of()[name].dest == self._dest:
                raise RequestError(f"{name} is the {self._argument} here. Type {self.prog} FILE")
            if name in flags_of() and name not in flags_of(tuple(self._by_name.values())):
                raise RequestError(
                    f"{self.prog} does not take {name}. Leave it out. All options: {self._see}"
                )
        super().error(message)

    def _stray(self, words: Sequence[str]) -> str:
        if not self._argument:
            return f"{self.prog} takes options only, but got {words[0]!r}."
        if self._dest != "prompt":
            return f"{self.prog} takes one {self._argument}, but got {words[0]!r}, too."
        argument = list(takewhile(lambda word: not word.startswith("-"), self._words))
        if words[0] not in argument:
            return f"{words[0]!r} is one word too many. Put the {self._argument} in quotes."
        typed = _typed(" ".join(argument), *self._words[len(argument) :])
        return f"Put the {self._argument} in quotes. Type {self.prog} {typed}."

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """The options that these words set, by Python name.

        Raises:
            RequestError: one line, with the nearest valid spelling or value.
        """
        self._words, self._line = words, " ".join(map(quoted, words))
        given = vars(self.parse_args(words))
        argument = {self._dest: given[self._dest]} if given.get(self._dest) is not None else {}
        for name, option in self._by_name.items():  # later, a tier would be a TierError, of code 3
            if option.choices and given[name] not in (None, *option.choices):
                hint = choice_hint(name, given[name], option.choices)
                raise RequestError(f"Unknown {name} {given[name]!r:.80}.{hint}")
        return argument | values_of(given, tuple(self._by_name.values()))


def _typed(*words: str) -> str:
    """The words as one types them in a shell."""
    return " ".join(shlex.quote(w) if set(w) & _SPECIAL else quoted(w) for w in words)


def _completer(option: Option) -> Callable[..., tuple[str, ...]]:
    """The values of an option, as argcomplete asks for them."""

    def values(prefix: str, **_: object) -> tuple[str, ...]:
        return option.values(prefix) or ()

    return values


def _parser() -> tuple[argparse.ArgumentParser, dict[str, _CommandParser]]:
    """The parser of all commands, for the help and for completion, and that of each."""
    top = argparse.ArgumentParser(
        _TOP,
        description="Videos with CogVideoX, on the GPU that you have.",
        epilog=f"All options of a command: {_TOP} COMMAND --help",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"cogmagic {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", parser_class=_CommandParser)
    each = {c.name: commands.add_parser(c.name, help=c.help, command=c) for c in COMMANDS.values()}
    return top, each


def complete() -> None:
    """Answer a shell that asks for completions, and exit; in any other case do nothing."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(_parser()[0], always_complete_options="long")


def command_of(words: Sequence[str]) -> tuple[Command | None, dict[str, Any]]:
    """The command of a line, and its options; None where help was printed.

    Raises:
        RequestError: for an unknown command or option, with what to type instead.
    """
    top, parsers = _parser()
    if not words or words[0] == "help":
        words = [*words[1:], "--help"]
    first = words[0]
    if first in ("-V", "--version"):
        print(f"{_TOP} {__version__}")
        return None, {}
    if first in _HELP:
        top.print_help()
        return None, {}
    command = COMMANDS.get(first)
    if command is None:
        raise _unknown_command(words)
    if _HELP & set(takewhile(lambda word: word != "--", words)):
        parsers[first].print_help()
        return None, {}
    return command, parsers[first].values(words[1:])


def _unknown_command(words: Sequence[str]) -> RequestError:
    first, rest = words[0], _typed(*words)
    if " " in first or first.partition("=")[0] in flags_of():
        return RequestError(f"The command is missing. Type {_TOP} generate {rest}")
    if PurePath(first).suffix in (".csv", ".jsonl", ".txt"):
        return RequestError(f"The command is missing. Type {_TOP} batch {rest}")
    near = did_you_mean(first, COMMANDS)
    return RequestError(f"Unknown command {first!r:.80}.{near} Choose from: {', '.join(COMMANDS)}.")
