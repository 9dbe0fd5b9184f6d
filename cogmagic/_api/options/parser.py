"""The parser of a magic's line."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from keyword import iskeyword
from pathlib import PurePath
from typing import Any, NoReturn

from cogmagic._api.options.option import Option
from cogmagic._api.options.table import cell_options
from cogmagic._api.options.words import loose_words, quoted, split_line, without_quotes
from cogmagic._errors import RequestError
from cogmagic._models.aliases import size_like
from cogmagic._models.catalog import by_other_name
from cogmagic._models.other_tools import known_elsewhere

__all__ = ["Parser", "flags_of", "parse_line", "spaced_value", "unknown_option", "values_of"]


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line that names the nearest valid spelling."""

    def __init__(self, prog: str, options: Sequence[Option] = ()) -> None:
        options = options or cell_options()
        usage = prog.replace("%", "%%") + " [options]"  # argparse formats it
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, usage=usage)
        self._flags = flags_of(options)
        self._line = ""
        # IPython refuses a cell magic without a body, so help is asked for on the line.
        self._see = f"{prog.replace('%%', '%')} --help"
        for group in dict.fromkeys(o.group for o in options):
            section = self.add_argument_group(group)
            for o in (o for o in options if o.group == group):
                if o.metavar is None:
                    section.add_argument(
                        *o.flags,
                        dest=o.dest,
                        action=_Once,
                        nargs=0,
                        const=True,
                        default=False,
                        help=o.help,
                    )
                else:
                    section.add_argument(
                        *o.flags,
                        dest=o.dest,
                        action=_Several if o.multiple else _Once,
                        metavar=o.metavar,
                        type=o.kind,
                        help=_with_choices(o),
                    )

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting the kernel."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            words = message.removeprefix(prefix).split() or [""]
            if unknown := next((w for w in words if w.startswith("-") and w.strip("-")), ""):
                explained = unknown_option(unknown, self._flags)
                raise RequestError(f"{explained} All options: {self._see}")
            if error := spaced_value(self._line, self._flags):
                raise RequestError(f"{error}. See {self._see}")
            raise RequestError(f"{self._stray(words)} See {self._see}")
        raise RequestError(f"{_reworded(message)}. See {self._see}")

    def _stray(self, words: Sequence[str]) -> str:
        """The sentence on words that belong to no option."""
        return f"{words[0]!r} is not an option; the prompt goes in the body of the cell."

    def parse(self, line: str) -> dict[str, Any]:
        """The options that a line sets."""
        self._line = line
        return vars(self.parse_args(split_line(line)))


def flags_of(options: Sequence[Option] = ()) -> dict[str, Option]:
    """Every spelling of the options, those of a cell by default."""
    return {flag: option for option in options or cell_options() for flag in option.flags}


def unknown_option(word: str, flags: Mapping[str, Option]) -> str:
    """The sentences on an unknown option: its name, and the nearest option there is."""
    name = word.partition("=")[0]
    bare = {flag.lstrip("-"): flag for flag in flags}  # hyphens, which all have, make none near
    typed = name.lstrip("-").lower().replace("_", "-")
    near = difflib.get_close_matches(typed, bare, n=1, cutoff=0.7)
    hint = f" Did you mean {bare[near[0]]!r}?" if near else ""
    switch = f"--{typed.removeprefix('no-')}"
    if typed.startswith("no-") and switch in flags and flags[switch].metavar is None:
        hint = f" {switch} is off unless it is typed. Leave it out."
    return f"Unknown option {word}.{known_elsewhere(name) or hint}"


def _reworded(message: str) -> str:
    """A message of argparse in the words of the other errors."""
    value = re.fullmatch(r"argument ([\w-]+)\S*: invalid (int|float) value: (.*)", message)
    if value:
        kind = "a whole number" if value[2] == "int" else "a number"
        return f"{value[1]} takes {kind}, not {value[3]}"
    switch = re.fullmatch(r"argument ([\w-]+)\S*: ignored explicit argument .*", message)
    if switch:
        return f"{switch[1]} takes no value"
    lacking = re.fullmatch(r"argument ([\w-]+)\S*: expected one argument", message)
    return f"{lacking[1]} needs a value" if lacking else f"{message[:1].upper()}{message[1:]}"


def _with_choices(option: Option) -> str:
    return f"{option.help}; one of {', '.join(option.choices)}" if option.choices else option.help


class _Once(argparse.Action):
    """Stores a value, and refuses the same option twice."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        seen: set[str] = getattr(namespace, "_seen", set())
        if self.dest in seen:
            parser.error(f"{option_string} is given twice")
        if values == [] and self.nargs != 0:  # some versions of argparse lose a value of "--"
            parser.error(f"argument {option_string}: expected one argument")
        namespace._seen = seen | {self.dest}
        setattr(namespace, self.dest, self.const if self.nargs == 0 else values)


class _Several(argparse.Action):
    """Collects the values of an option that may be given several times."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if values == []:  # as in `_Once`
            parser.error(f"argument {option_string}: expected one argument")
        namespace._seen = getattr(namespace, "_seen", set()) | {self.dest}
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), values])


_AMOUNT = re.compile(r"([\d.]+)\s+(Gi?B?)", re.I)


def spaced_value(line: str, flags: Mapping[str, Option], *, no_prompt: bool = False) -> str:
    """A sentence on the first value of several words, with the option to type; '' without any.

    Args:
        line: a magic's line.
        flags: the options that it takes (`flags_of`).
        no_prompt: whether the line cannot have a prompt, so that every word belongs to a value.
    """
    words = loose_words(line)
    for number, word in enumerate(words, start=1):
        flag, _, first = word.partition("=")
        following = takewhile(lambda w: w not in flags and w[:2] != "--", words[number:])
        several = [*filter(None, [first]), *following]
        option, value = flags.get(flag), " ".join(several)
        if option is None or len(several) < 2:
            continue
        if option.spaces:
            return f"A value with spaces needs quotes: {flag} {quoted(without_quotes(value))}"
        if option.name == "size" and (size := size_like(value)):
            return f"A size has no spaces. Type {flag} {size}"
        if option.name == "model" and (model := by_other_name(value)):
            return f"A model's name has no spaces. Type {flag} {model.name}"
        if option.metavar == "GIB" and (amount := _AMOUNT.fullmatch(value)):
            return f"An amount has no spaces. Type {flag} {amount[1]}{amount[2]}"
        if option.name == "out" and no_prompt:
            return _not_a_variable(value, flag)
    return ""


def parse_line(line: str, prog: str, options: Sequence[Option] = ()) -> dict[str, Any]:
    """The options given on a magic's line, by Python name; what was left out is not there.

    Raises:
        RequestError: one line, with the nearest valid spelling or value.
    """
    return values_of(Parser(prog, options).parse(line), options or cell_options())


def values_of(given: dict[str, Any], options: Sequence[Option]) -> dict[str, Any]:
    """The values of the options that were given, by Python name.

    Args:
        given: what the parser has read, with what was left out.
        options: those that the parser takes.

    Raises:
        RequestError: for a value that an option does not take.
    """
    seen: set[str] = given.pop("_seen", set())
    values = {k: v for k, v in given.items() if k in seen}
    for option in options:
        if option.convert and option.dest in values:
            values[option.dest] = option.convert(values[option.dest], option.flags[0])
    if "size" in values:
        values["width"], values["height"] = values.pop("size")
    _check_out(values.get("out"))
    return values


def _check_out(out: str | None) -> None:
    if out is not None and (iskeyword(out) or not out.isidentifier()):
        raise RequestError(_not_a_variable(out))


def _not_a_variable(out: str, flag: str = "--out") -> str:
    """The sentences on a value of ``--out`` that is no variable's name, with one that is."""
    if PurePath(out).suffix.lower() in _VIDEO_FILES:
        file = quoted(str(PurePath(out).with_suffix(".mp4")))
        return f"{flag} takes a variable's name, not a file's. To name the file: --save {file}"
    name = re.sub(r"\W+", "_", out).strip("_") or "clip"
    name = f"{name}_" if iskeyword(name) else name if name.isidentifier() else f"clip_{name}"
    reason = "a variable's name cannot contain spaces" if " " in out else "not a variable's name"
    return f"{flag} {quoted(out)}: {reason}. Type {flag} {name}"


_VIDEO_FILES = frozenset((".mp4", ".avi", ".gif", ".mkv", ".mov", ".webm"))
