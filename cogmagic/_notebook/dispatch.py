"""Which verb a line of ``%cogvideo`` means: its call, or the error with what to type instead."""

from __future__ import annotations

import difflib
from typing import Any

from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._errors import RequestError, did_you_mean
from cogmagic._notebook.cluster_verb import after_other_name
from cogmagic._notebook.first_line import check_stray, shortened, what_to_type
from cogmagic._notebook.verbs import VERBS, Kernel
from cogmagic._version import __version__

__all__ = ["check_no_verb", "is_verb", "not_a_verb", "run_verb"]


_OTHER_VERBS = {
    "panel": ("ui", "gui", "app", "widget", "form"),
    "status": ("info", "gpu", "gpus", "memory", "vram", "ram", "stats", "nvidia-smi"),
    "models": ("list", "ls", "model", "checkpoints"),
    "doctor": ("check", "checks", "diagnose", "diagnostics", "health"),
    "history": ("log", "logs", "runs"),
    "mask": ("masks", "canvas", "draw", "paint", "inpaint", "segment"),
    "release": ("free", "unload", "clear", "flush", "gc", "empty-cache", "reset"),
    "enhance": ("rewrite", "improve", "expand", "upsample", "convert"),
    "cancel": ("stop", "abort", "interrupt", "kill"),
}
"""The words that people type for each verb."""


def run_verb(line: str, kernel: Kernel) -> Any:
    """Run the verb that begins `line`.

    Raises:
        RequestError: for an unknown verb, or arguments that it does not take.
    """
    name, rest = (*line.split(maxsplit=1), "")[:2]
    rest = rest.strip()
    verb = VERBS.get(name.rstrip(";"))
    if verb is None:
        raise not_a_verb(line)
    if rest.startswith(("%", "#")):
        raise RequestError(f"Move to a line of its own: {rest}")
    if not verb.argument and rest not in ("", verb.switch):
        accepted = f"takes only {verb.switch}" if verb.switch else "takes no options"
        raise RequestError(f"%cogvideo {name} {accepted}, but got {rest!r}.")
    return verb.run(kernel, rest)


def not_a_verb(line: str) -> RequestError:
    """The error for a line that begins with no verb: options, a prompt, or a misspelt verb.

    Raises:
        RequestError: for words that are neither, such as ``seed=7``.
    """
    name, *others = line.split()
    verb = name.lower().strip("-:")
    if verb in VERBS and not (others and name.startswith("-")):
        return RequestError(f"Type %cogvideo {' '.join((verb, *others))}, not {name}.")
    for other in VERBS.values():
        if other.switch and name == other.switch:
            return RequestError(f"{name} must follow a verb. Type %cogvideo {other.name} {name}")
    if verb == "version" and not others:
        return RequestError(
            f"%cogvideo has no verb version. This is cogmagic {__version__}, which is"
            " cogmagic.__version__ in Python."
        )
    if where := after_other_name((name, *others)):
        return RequestError(f"Unknown verb {name!r}. Type %cogvideo cluster {where}")
    typed = check_stray("%%cogvideo", line)
    meant = next((known for known, words in _OTHER_VERBS.items() if verb in words), "")
    if meant and {*others} <= {meant}:
        return RequestError(f"Unknown verb {name!r}. Type %cogvideo {meant}")
    near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.7)
    takes_text = bool(near) and VERBS[near[0]].argument == "TEXT"
    if not name.startswith("-") and (len(others) < 2 or takes_text) and (near or not others):
        return RequestError(
            f"Unknown verb {name!r}.{did_you_mean(verb, VERBS)} Choose from: {', '.join(VERBS)}."
            " To make a video, begin a cell with %%cogvideo."
        )
    of_plans = {flag for option in PLAN_OPTIONS for flag in option.flags}
    if name.startswith("-") and of_plans & {word.partition("=")[0] for word in (name, *others)}:
        return RequestError(f"{name} must follow a verb. Type %cogvideo plan {line.strip()}")
    return RequestError(
        "%cogvideo takes a verb, such as %cogvideo status; %%cogvideo makes a video."
        f" {what_to_type(typed)}"
    )


def check_no_verb(line: str, body: str = "") -> None:
    """Refuse a verb after ``%%cogvideo``.

    Args:
        line: the words after the magic.
        body: the rest of the cell.

    Raises:
        RequestError: with the line to type instead.
    """
    line = line.strip().rstrip("; ")
    if is_verb(line):
        name, *rest = line.split(maxsplit=1)
        if VERBS[name.lower()].argument == "TEXT" and body.strip():
            rest.append(shortened(body))
        raise RequestError(
            f"{name} is a verb, not a prompt. Type it with one %, in a cell without a prompt:"
            f" {' '.join(('%cogvideo', name.lower(), *rest))}"
        )


def is_verb(line: str) -> bool:
    """Whether a line is a verb with what it takes, rather than prose that begins like one."""
    name, rest = (*line.split(maxsplit=1), "", "")[:2]
    verb, rest = VERBS.get(name.lower()), rest.strip()
    if verb is None:
        return False
    takes_options = bool(verb.options()) and rest.startswith("-")
    one_word = len(rest.split()) == 1
    is_path = verb.argument in ("PATH", "CLIP") and one_word
    is_address = verb.argument == "WHERE" and one_word and ":" in rest
    is_text = verb.argument == "TEXT" and bool(rest)
    known = rest in ("", verb.switch, *verb.words)
    return known or takes_options or is_path or is_address or is_text
