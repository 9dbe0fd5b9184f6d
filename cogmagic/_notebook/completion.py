"""Completion of options and their values on the magic's line."""

from __future__ import annotations

from typing import Any

from cogmagic._api.options import OPTIONS
from cogmagic._notebook.verbs import VERBS

__all__ = ["complete", "matcher"]


def complete(line: str) -> tuple[str, list[str]] | None:
    """The word being typed and what could follow, or None when the line is not ours."""
    words = line.split()
    if not words or words[0] not in {"%cogvideo", "%%cogvideo"}:
        return None
    typed = "" if line[-1].isspace() else words[-1]
    before = words[: len(words) - (1 if typed else 0)]
    if not before:
        return None  # still typing the magic's own name
    last = before[-1]
    value_of = next((o for o in OPTIONS if last in o.flags and o.metavar), None)
    if value_of is not None:
        offers = value_of.choices or value_of.suggestions
        if not offers:
            return None  # a path, a number, a text: let others complete it
    elif words[0] == "%cogvideo" and len(before) == 1:
        offers = tuple(VERBS)
    else:
        unused = [o for o in OPTIONS if not set(o.flags) & set(before)]
        offers = tuple(f for o in unused for f in o.flags if f.startswith("--"))
    return typed, [o for o in offers if o.startswith(typed)]


def matcher() -> Any:
    """An IPython matcher (API version 2) for the first line of the cell."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython is untyped
    def cogvideo_matcher(context: Any) -> dict[str, Any]:
        found = None
        if context.cursor_line == 0:
            found = complete(context.line_with_cursor[: context.cursor_position])
        if found is None:
            return {"completions": []}
        typed, offers = found
        return {
            "completions": [SimpleCompletion(o, type="option") for o in offers],
            "suppress": True,
            "matched_fragment": typed,
        }

    return cogvideo_matcher
