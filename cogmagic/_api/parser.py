"""The parser of a magic's line."""

from __future__ import annotations

import argparse
import difflib
import re
import shlex
from collections.abc import Sequence
from itertools import takewhile
from keyword import iskeyword
from pathlib import Path
from typing import Any, NoReturn

from cogmagic._api.options import Option, cell_options
from cogmagic._errors import RequestError
from cogmagic._models.other_tools import known_elsewhere

__all__ = ["Parser", "parse_line", "split_line"]


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line that names the nearest valid spelling."""

    def __init__(self, prog: str, options: Sequence[Option] = ()) -> None:
        options = options or cell_options()
        usage = prog.replace("%", "%%") + " [options]"  # argparse formats it
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, usage=usage)
        self._flags = {f: o for o in options for f in o.flags}
        self._words: list[str] = []
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
            rest = message.removeprefix(prefix)
            word = (rest.split() or [rest])[0]
            if word.startswith("-"):
                name = word.partition("=")[0]
                near = known_elsewhere(name) or self._near(name)
                raise RequestError(f"Unknown option {word}.{near} All of them: {self._see}")
            if value := self._unquoted(word):
                raise RequestError(f"A value with spaces needs quotes: {value}. See {self._see}")
            raise RequestError(
                f"{word!r} is not an option; the prompt goes into the cell's body. See {self._see}"
            )
        raise RequestError(f"{_reworded(message)}. See {self._see}")

    def _near(self, word: str) -> str:
        """A hint at the nearest option; hyphens, which all options have, make none near."""
        bare = {flag.lstrip("-"): flag for flag in self._flags}
        typed = word.lstrip("-").lower().replace("_", "-")
        near = difflib.get_close_matches(typed, bare, n=1, cutoff=0.7)
        return f" Did you mean {bare[near[0]]!r}?" if near else ""

    def parse(self, words: list[str]) -> dict[str, Any]:
        """The options that these words set."""
        self._words = words
        return vars(self.parse_args(words))

    def _unquoted(self, word: str) -> str:
        """The option to which a stray word belongs, with its value quoted; '' if to none."""
        at = self._words.index(word) if word in self._words else 0
        before = [i for i in range(at) if self._words[i].startswith("--")]
        flag, _, value = self._words[before[-1]].partition("=") if before else ("", "", "")
        option = self._flags.get(flag)
        if option is None or not option.spaces:
            return ""
        rest = self._words[before[-1] + 1 :]
        following = takewhile(lambda w: not w.startswith("--"), rest)
        return f'{flag} "{" ".join(filter(None, (value, *following)))}"'


def _reworded(message: str) -> str:
    """A message of argparse in the words of the other errors."""
    value = re.fullmatch(r"argument ([\w-]+)\S*: invalid (int|float) value: (.*)", message)
    if value:
        kind = "a whole number" if value[2] == "int" else "a number"
        return f"{value[1]} takes {kind}, not {value[3]}"
    lacking = re.fullmatch(r"argument ([\w-]+)\S*: expected one argument", message)
    return f"{lacking[1]} needs a value" if lacking else f"{message[:1].upper()}{message[1:]}"


def _with_choices(option: Option) -> str:
    return f"{option.help}: {', '.join(option.choices)}" if option.choices else option.help


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


def split_line(line: str) -> list[str]:
    """Words of a magic's line: quotes group, backslashes stay (Windows paths).

    Raises:
        RequestError: when a quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        raise RequestError(f"A quote is not closed in: {line.strip()}") from None


def parse_line(line: str, prog: str, options: Sequence[Option] = ()) -> dict[str, Any]:
    """The options given on a magic's line, by Python name; what was left out is not there.

    Raises:
        RequestError: one line, with the nearest valid spelling or value.
    """
    given = Parser(prog, options).parse(split_line(line))
    seen: set[str] = given.pop("_seen", set())
    values = {k: v for k, v in given.items() if k in seen}
    for option in options or cell_options():
        if option.convert and option.dest in values:
            values[option.dest] = option.convert(values[option.dest], option.flags[0])
    if "size" in values:
        values["width"], values["height"] = values.pop("size")
    _check_out(values.get("out"))
    return values


def _check_out(out: str | None) -> None:
    if out is not None and (iskeyword(out) or not out.isidentifier()):
        hint = f" To name the file: --save {out}" if Path(out).suffix else ""
        raise RequestError(f"--out {out}: that is not a variable's name.{hint}")
