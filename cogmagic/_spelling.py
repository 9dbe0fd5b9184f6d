"""Options in errors, as one types them: ``--num-frames 33`` in a cell, ``num_frames=33`` in Python.

Errors are written for cells. The public functions of Python reword them, unless a magic or the
panel calls them; the panel names its fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cogmagic._errors import BatchError, Cancelled, CogMagicError

__all__ = ["as_command", "as_fields", "as_python", "errors_for_python", "typed_in_cell"]

_IN_CELL: ContextVar[bool] = ContextVar("cogmagic_in_cell", default=False)


@contextmanager
def typed_in_cell() -> Iterator[None]:
    """Leave the errors of this block as one types options in a cell; also a decorator."""
    token = _IN_CELL.set(True)
    try:
        yield
    finally:
        _IN_CELL.reset(token)


@contextmanager
def errors_for_python() -> Iterator[None]:
    """Name options in the errors of this block as one types them in Python; also a decorator."""
    try:
        yield
    except (CogMagicError, Cancelled) as error:
        if not _IN_CELL.get():
            error.args = (as_python(str(error)), *error.args[1:])
            if isinstance(error, BatchError):
                error.failed = {row: as_python(text) for row, text in error.failed.items()}
        raise


_NAMES = {"gpu": "gpus"}
"""Options whose name in Python is another."""


_SWITCHES = frozenset(
    ("compile", "fp8", "guidance-halves", "invert-mask", "lean-decode", "overwrite", "paste-back",
     "truncate")
)  # fmt: skip


_PLAIN = "attention", "cache", "dtype", "keep", "model", "parallel", "policy"
_WORDS = frozenset((*_PLAIN, "preset", "quantize", "scheduler", "speed", "tier"))
"""Options that take a plain word."""


_PROSE = frozenset(("a", "an", "and", "does", "is", "of", "or", "out", "takes", "that", "to"))
"""Words that follow an option without being its value."""


_COMMAND = re.compile(r"(%%?cogvideo [^.]*|\bpip install .*|\bray start(?: --\S*\w)+)")
"""A magic, or a command of a shell, which stays as it is."""


_OPTION = re.compile(
    r"--(?P<name>[a-z][a-z0-9-]*)"
    r"(?:[ =](?P<value>\"[^\"]*\"|'[^']*'|(?!--)(?:[^\s,;)]|,(?=\w))*[^\s,;:).?]))?"
    r"(?P<more> (?=--))?"
)


def as_python(text: str) -> str:
    """`text` with its options as keyword arguments: ``size="256x256"`` for ``--size 256x256``."""
    parts = _COMMAND.split(text)
    parts[::2] = [_OPTION.sub(_keyword, part) for part in parts[::2]]
    return "".join(parts)


def as_fields(text: str, field: Callable[[str], str]) -> str:
    """`text` with its options as fields of a form: ``frames 33`` for ``--num-frames 33``.

    Args:
        text: an error as cells have it.
        field: the field of an option's name.
    """

    def named(option: re.Match[str]) -> str:
        name, value = option["name"], option["value"] or ""
        words = f"{field(name)} {value}".rstrip()
        follows = " " if value and not _is_value(name, value) else " and "
        return words + (follows if option["more"] else "")

    parts = _COMMAND.split(text)
    parts[::2] = [_OPTION.sub(named, part) for part in parts[::2]]
    return "".join(parts)


_IN_SHELL = (
    (r" in a cell( of its own)?\b", ""),
    (r"%cogvideo (plan|models|history|doctor)\b", r"cogmagic \1"),
    (r", or %config CogMagic\.[^.]*\.\w+\"", ""),
    (r" \(os\.chdir in Python\)", ""),
    (r"is neither a variable nor a file", "is not a file"),
    (r", or (a|the) variable('s name)?(?=\.)", ""),
    (r", a list of prompts or dicts, or a DataFrame", ""),
    (r"%cogvideo release, or ", ""),
    (r"%(pip|cd)\b", r"\1"),
    (r"(?<=[Rr]e)start the kernel", "start cogmagic"),
    (r"\bthis kernel\b", "this process"),
    (r"the kernel would be killed", "the process would be killed"),
)
"""Words of notebooks, and those of a shell in their place."""


def as_command(text: str) -> str:
    """`text` as one types it in a shell: ``cogmagic plan`` for ``%cogvideo plan``."""
    for words, instead in _IN_SHELL:
        text = re.sub(words, instead, text)
    return text


def _keyword(option: re.Match[str]) -> str:
    name, value, more = option["name"], option["value"] or "", ", " if option["more"] else ""
    keyword = _NAMES.get(name, name.replace("-", "_"))
    if name in _SWITCHES:
        keyword += "=True"
    elif _is_value(name, value):
        bare = (
            re.fullmatch(r"""-?\d+(\.\d+)?|[A-Z-]+(?:-or-[A-Z]+)?|"[^"]*"|'[^']*'""", value)
            is not None
        )
        return f"{keyword}={value}{more}" if bare else f'{keyword}="{value}"{more}'
    return f"{keyword} {value}{more and ' '}" if value else f"{keyword}{more}"


def _is_value(name: str, text: str) -> bool:
    """Whether a word after an option is its value, rather than the next word of the sentence."""
    if name in _WORDS and text:
        return text not in _PROSE
    placeholder = text.isupper() or re.match("[A-Z]+-or-[A-Z]", text) is not None
    return placeholder or re.search(r"""[\d./\\@_~…"']""", text) is not None
