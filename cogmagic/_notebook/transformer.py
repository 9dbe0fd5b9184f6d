"""A transformer of cells that IPython would refuse, or misread, before a magic could answer.

IPython refuses a cell magic with an empty body, takes ``%%`` below the first line for a line magic,
knows one spelling of each magic, and passes ``!cogvideo`` to the system's shell.
"""

from __future__ import annotations

import ast
import difflib
import re
import shutil
import tokenize
import warnings
from keyword import iskeyword
from typing import Any

from IPython.core.inputtransformer2 import make_tokens_by_line

from cogmagic._errors import RequestError
from cogmagic._notebook.dispatch import not_a_verb
from cogmagic._notebook.first_line import check_stray, shortened, split_prompt, what_to_type
from cogmagic._notebook.manual import HELP_WORDS
from cogmagic._notebook.python_call import as_line
from cogmagic._notebook.verbs import VERBS

__all__ = ["Transformer"]


_LINE = re.compile(
    r"[\s\ufeff\u200b-\u200d\u2060]*"
    r"(?P<written>(?P<mark>[!！]{0,2}\s*[%％]*)\s*"
    r"(?P<name>(?i:cog[- ]video\w*)|[A-Za-z]\w*))(?P<rest>.*)"
)
"""A line with a magic, as people write it: a mark, the magic's name, and what follows.

The mark may be of full width, as Chinese and Japanese input methods type it, and characters
without a width, as web pages contain them, may precede it.
"""


_CELL_MAGIC = re.compile(r"[\s\ufeff\u200b-\u200d\u2060]*[%％]{2}")


_ASSIGNED = re.compile(r"\s*(?P<name>\w+)\s*=\s*%%\s*cogvideo\b(?P<rest>.*)", re.I)


_OPERATOR = re.compile(r"\s*([^\w\s\"'-]|(in|is|and|or|if|not|for)\b)")
"""What may follow a variable in Python, but hardly a magic's name; a hyphen begins an option."""


_BARE = ("cogvideo", "cogvideox", "cogmagic")
"""The names, in lower case, that people type without a mark."""


_PUNCTUATION = "-.:;,=() \n"
"""What people put between a magic's name and its words, after the hyphen of another name."""


_CELL_MARKS = ("%%", "％％")


_ASCII = str.maketrans("！％", "!%")


class Transformer:
    """The transformer of one shell, for ``input_transformers_cleanup``.

    It leaves alone every cell of another cell magic, and every cell that is Python as it is.
    """

    has_side_effects = True
    """Keeps IPython from calling it to ask whether a cell that is being typed is complete."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """The cell's lines, or a line that raises the error with what to type instead."""
        try:
            if lines and _CELL_MAGIC.match(lines[0]):
                return self._of_cell_magic(lines)
            for number in range(len(lines)):
                self._check_statement(lines, number)
        except RequestError as error:  # raised by the cell: IPython also transforms unrun cells
            return [f'raise __import__("cogmagic").RequestError({str(error)!r})\n']
        return lines

    def at_once(self, lines: list[str]) -> list[str]:
        """The error for a misspelt cell magic as soon as its first line is typed.

        A terminal asks a transformer without side effects whether a cell is complete, and would
        wait for two empty lines below the first line.
        """
        if lines and _CELL_MAGIC.match(lines[0]):
            answer = self(lines)
            if answer[0].startswith("raise "):
                return answer
        return lines

    def _of_cell_magic(self, lines: list[str]) -> list[str]:
        """A cell of ``%%cogvideo`` as IPython passes it on, even without a body."""
        match = _LINE.match(lines[0])
        if match is None or not self._is_ours(match["name"], "cell"):
            return lines
        body, rest = "".join(lines[1:]), match["rest"]
        if match["written"] == "%%cogvideo":
            if rest.startswith("?"):
                return ["%%cogvideo --help\n", body] if body.strip() else lines
            if not rest[:1].strip() and not as_line(rest):
                return [f"%%cogvideo {rest.strip()}\n", body or "\n"]
        raise _unknown(match["written"], rest, body)

    def _check_statement(self, lines: list[str], number: int) -> None:
        """Refuse a line of Python code that begins with the magic, but cannot run it."""
        assigned = _ASSIGNED.match(lines[number])
        if assigned is not None and _begins_statement(lines, number):
            raise _answer(
                "A cell magic cannot be assigned.",
                f"--out {assigned['name']} {assigned['rest']}",
                "".join(lines[number + 1 :]),
            )
        match = _LINE.match(lines[number])
        if match is None or not (match["mark"] or match["name"].lower() in _BARE):
            return
        mark = match["mark"].replace(" ", "").translate(_ASCII)
        name, rest = match["name"], match["rest"]
        if not (self._is_ours(name, "line") and _begins_statement(lines, number)):
            return
        below = "".join(lines[number + 1 :])
        if mark.startswith("!"):
            command = (name + rest).split()[0].rstrip("?:")
            if command == name and shutil.which(name) is None:
                reason = f"{name} is not a shell command; the magic is %cogvideo."
                raise _answer(reason, rest, below)
        elif mark.startswith("%%"):
            raise _misplaced(lines, number)
        elif match["written"] == "%cogvideo" and (rest[:1] == "?" or not rest[:1].strip()):
            self._check_verb(lines, rest, below)
        elif mark:
            raise _unknown(match["written"], rest, "")
        elif not _OPERATOR.match(rest):
            automatic = len(lines) == 1 and self._shell.automagic and name == "cogvideo"
            if not (automatic or name in self._shell.user_ns or self._is_python(lines)):
                reason = f"{name} is not Python; the magic is %cogvideo."
                raise _answer(reason, rest, below)

    def _check_verb(self, lines: list[str], rest: str, below: str) -> None:
        """Refuse ``%cogvideo`` with a prompt below it, which is not Python."""
        verb = (*rest.split(), "")[0].rstrip(";")
        takes_text = verb in VERBS and VERBS[verb].argument == "TEXT"
        typed = rest.strip()
        if takes_text and typed.endswith("?"):
            raise RequestError(f"IPython takes ? for help. Type %cogvideo {typed.rstrip('?')}")
        is_line = not verb or verb in VERBS or verb in HELP_WORDS
        if (is_line and not _is_prose(below)) or self._is_python(lines):
            return
        if takes_text:
            below = shortened(below)
            raise RequestError(f"%cogvideo {verb} reads one line. Type %cogvideo {typed} {below}")
        if verb and is_line:
            raise RequestError(
                f"%cogvideo {verb} takes no prompt. Delete the text below it: {shortened(below)}"
            )
        raise not_a_verb(" ".join(f"{rest} {below}".split()))

    def _is_ours(self, name: str, kind: str) -> bool:
        """Whether a magic's name is ``cogvideo``, or close to it and no other magic's."""
        manager = self._shell.magics_manager
        if name == "cogvideo":
            return True
        if name in manager.magics[kind] or name in manager.lazy_magics:
            return False
        near = difflib.get_close_matches(name.lower(), ("cogvideo", "cogmagic"), n=1, cutoff=0.8)
        return bool(near) or "cogv" in name.lower()

    def _is_python(self, lines: list[str]) -> bool:
        """Whether IPython can compile these lines."""
        try:
            code = self._shell.input_transformer_manager.do_token_transforms(list(lines))
            with warnings.catch_warnings(action="ignore"):
                ast.parse("".join(code))
        except (SyntaxError, ValueError, RuntimeError, MemoryError):  # a NUL, or deeply nested code
            return False
        return True


def _unknown(written: str, rest: str, below: str) -> RequestError:
    """The error for a magic's name that is misspelt, or that punctuation follows."""
    if call := as_line(rest) or as_line(rest + below):
        return RequestError(f"Unknown magic {written}(…). {what_to_type(call)}")
    glued, _, typed = rest.partition(" ") if rest[:1].strip() else ("", "", rest)
    word = glued.strip(_PUNCTUATION)
    if glued and not (word or typed.strip() or below.strip()) and written[:2] not in _CELL_MARKS:
        return RequestError(f"Unknown magic {written}{glued}. Type %cogvideo")
    if glued.startswith("?"):
        typed = "--help"
    elif glued.startswith("--"):
        typed = rest
    elif "=" in word:  # a call of Python
        check_stray("%%cogvideo", f"{word} {typed}".rstrip(_PUNCTUATION), no_prompt=True)
    elif word in VERBS or glued[:1] in tuple(_PUNCTUATION[1:]):
        typed = f"{word} {typed}".rstrip(_PUNCTUATION)
    return _answer(f"Unknown magic {written}{glued}.", typed, below)


def _answer(reason: str, rest: str, below: str) -> RequestError:
    """The error with what to type for the words after a magic's name and the lines below it."""
    verb = (*rest.split(), "")[0].rstrip(";")
    if verb in VERBS or verb in HELP_WORDS:
        return RequestError(f"{reason} Type %cogvideo {rest.strip()}")
    typed = split_prompt(rest)
    return RequestError(f"{reason} {what_to_type(typed._replace(prompt=typed.prompt or below))}")


def _is_prose(text: str) -> bool:
    """Whether a text begins with three words, and not with a statement of Python."""
    words = text.split()[:3]
    return len(words) == 3 and all(map(str.isalpha, words)) and not iskeyword(words[0])


def _misplaced(lines: list[str], number: int) -> RequestError:
    """The error for a cell magic that does not begin its cell."""
    above = [line for line in lines[:number] if line.strip()]
    if lines[number][:1].isspace():
        remedy = "To make videos in a loop, call cogmagic.generate(prompt, ...)."
    elif all(line.lstrip().startswith("#") for line in above):
        remedy = "Delete the comment, or move it to another cell."
    else:
        remedy = "Move it and its prompt to a cell of their own."
    return RequestError(
        "IPython runs a cell magic only from the first line of a cell, but"
        f" {lines[number].split()[0]} is below {shortened(above[-1])!r}. {remedy}"
    )


def _begins_statement(lines: list[str], number: int) -> bool:
    """Whether a line begins a statement; not inside a string, in brackets, or after a backslash."""
    if number == 0:
        return True
    try:
        statements = make_tokens_by_line(lines[: number + 1])
    except SyntaxError:  # an unindent
        return False
    layout = (tokenize.INDENT, tokenize.DEDENT)
    starts = (next((t for t in tokens if t.type not in layout), None) for tokens in statements)
    return any(start is not None and start.start[0] == number + 1 for start in starts)
