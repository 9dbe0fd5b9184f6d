"""Completion of options and their values on the magic's line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cogmagic._api.options import Option, cell_options
from cogmagic._notebook.verbs import VERBS

__all__ = ["complete", "matcher"]


def complete(line: str) -> tuple[str, list[str]] | None:
    """The word being typed and its completions; None on lines of other magics."""
    words = line.split()
    if not words or words[0] not in {"%cogvideo", "%%cogvideo"}:
        return None
    typed = "" if line[-1].isspace() else words[-1]
    before = words[: len(words) - (1 if typed else 0)]
    if not before:
        return None  # the magic's own name is being typed
    offers = _offers(before)
    return (typed, [o for o in offers if o.startswith(typed)]) if offers else None


def _offers(before: list[str]) -> Sequence[str]:
    """What may follow these words; nothing where it is for other completers, such as a path."""
    options: Sequence[Option] = cell_options()
    if before[0] == "%cogvideo":
        if len(before) == 1:
            return tuple(VERBS)
        verb = VERBS.get(before[1])
        options = verb.options() if verb else ()
        if verb and verb.switch and len(before) == 2:
            return (verb.switch,)
    last = next((o for o in options if before[-1] in o.flags and o.metavar), None)
    if last is not None:
        return last.choices or last.suggestions
    unused = [o for o in options if not set(o.flags) & set(before)]
    return tuple(f for o in unused for f in o.flags if f.startswith("--"))


def matcher() -> Any:
    """An IPython matcher (API version 2) for the first line of the cell."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher()  # type: ignore[untyped-decorator]  # IPython is untyped
    def cogvideo_matcher(context: Any) -> dict[str, Any]:
        completion = None
        if context.cursor_line == 0:
            completion = complete(context.line_with_cursor[: context.cursor_position])
        if completion is None:
            return {"completions": []}
        typed, offers = completion
        return {
            "completions": [SimpleCompletion(o, type="option") for o in offers],
            "suppress": True,
            "matched_fragment": typed,
        }

    return cogvideo_matcher
