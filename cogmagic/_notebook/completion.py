"""Completion of options and their values on a magic's line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cogmagic._api.options.option import Option
from cogmagic._api.options.table import cell_options
from cogmagic._models.presets_file import preset_names
from cogmagic._notebook.verbs import VERBS

__all__ = ["complete", "matcher"]


_ASSIGNED = re.compile(r"\s*\w+\s*=\s*(?=%cogvideo\s)")
"""What may precede the line magic."""


_TIMED = ("%%time", "%%timeit", "%%capture", "%%prun")
"""IPython's cell magics whose body may be a ``%%cogvideo`` cell."""


def complete(
    line: str, above: Sequence[str] = (), presets: str = ""
) -> tuple[str, list[str]] | None:
    """The text being typed and its completions; None where other completers are to answer.

    Args:
        line: up to the cursor.
        above: the lines of the cell above it.
        presets: the TOML file of the user's presets; empty for none.
    """
    words = _ASSIGNED.sub("", line).split()
    if not words or words[0] not in {"%cogvideo", "%%cogvideo"} or not _runs(words[0], above):
        return None
    options = _options(words)
    value = _value_of(line, options)
    if value is not None:
        option, typed = value
        if option.name == "preset":
            option = replace(option, suggestions=preset_names(presets))
        values = _values(option, typed.lstrip("\"'"))
        return (typed, values) if values is not None else None
    typed = "" if line[-1].isspace() else words[-1]
    before = words[: len(words) - (1 if typed else 0)]
    if not before:
        return None  # the magic's own name is being typed
    names = _names(before, options)
    return (typed, [name for name in names if name.startswith(typed)]) if names else None


def _runs(magic: str, above: Sequence[str]) -> bool:
    """Whether IPython runs a magic below these lines: ``%%`` only at the beginning of a cell."""
    code = [line for line in above if line.strip()]
    if magic == "%%cogvideo":
        return all(line.startswith(_TIMED) for line in code)
    return not (code and code[0].startswith("%%") and not code[0].startswith(_TIMED))


def _options(words: Sequence[str]) -> Sequence[Option]:
    """The options of the cell, or of the verb on the line."""
    if words[0] == "%%cogvideo":
        return cell_options()
    verb = VERBS.get(words[1]) if len(words) > 1 else None
    return verb.options() if verb else ()


def _value_of(line: str, options: Sequence[Option]) -> tuple[Option, str] | None:
    """The option whose value is being typed, and the value so far, with its opening quote."""
    for option in (o for o in options if o.metavar):
        match = re.search(rf".*\s({'|'.join(option.flags)})(\s+|=)(?P<typed>.*)", line)
        typed = match["typed"] if match else None
        if typed is not None and not _ended(typed, option.spaces):
            return option, typed
    return None


def _ended(value: str, spaces: bool) -> bool:
    """Whether other words follow a value; one with `spaces` lacks its quotes until an option."""
    if value[:1] in ("'", '"'):
        return value[0] in value[1:]
    return re.search(r"\s-" if spaces else r"\s", value) is not None


def _names(before: Sequence[str], options: Sequence[Option]) -> Sequence[str]:
    """The verbs, switches and options that may follow these words."""
    if before[0] == "%cogvideo":
        if len(before) == 1:
            return tuple(VERBS)
        verb = VERBS.get(before[1])
        if verb and (verb.switch or verb.words) and len(before) == 2:
            return verb.words or (verb.switch,)
    unused = [o for o in options if o.multiple or not set(o.flags) & set(before)]
    return tuple(f for o in unused for f in o.flags if f.startswith("--"))


def _values(option: Option, typed: str) -> list[str] | None:
    """The values that follow from what is typed after any quote, in quotes where they need them.

    None where other completers are to answer.
    """
    values = option.values(typed)
    if values is None:
        return None
    return [f'"{value}"' if " " in value else value for value in values]


def matcher(magics: Any) -> Any:
    """An IPython matcher (API version 2) for the line of these magics."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython is untyped
    def cogvideo_matcher(context: Any) -> dict[str, Any]:
        line = context.line_with_cursor[: context.cursor_position]
        above = context.full_text.split("\n")[: context.cursor_line]
        completion = complete(line, above, magics.presets)
        if completion is None:
            return {"completions": []}
        typed, offers = completion
        return {
            "completions": [SimpleCompletion(o, type="option") for o in offers],
            "suppress": True,
            "matched_fragment": typed,
        }

    return cogvideo_matcher
