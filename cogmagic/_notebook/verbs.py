"""The verbs of ``%cogvideo``: one table that the magic, its manual and its completion read."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cogmagic._api.option import Option
from cogmagic._api.options import PLAN_OPTIONS, cell_options
from cogmagic._api.parser import parse_line
from cogmagic._api.words import quoted
from cogmagic._errors import RequestError, did_you_mean
from cogmagic._machine.card_names import parse_gpus
from cogmagic._notebook.first_line import check_stray, what_to_type
from cogmagic._notebook.plan_text import plan_text
from cogmagic._version import __version__

__all__ = ["VERBS", "Verb", "check_no_verb", "is_verb", "not_a_verb", "run_verb"]


_OTHER_VERBS = {
    "panel": ("ui", "gui", "app", "widget", "form"),
    "status": ("info", "gpu", "gpus", "memory", "vram", "ram", "stats", "nvidia-smi"),
    "models": ("list", "ls", "model", "checkpoints"),
    "history": ("log", "logs", "runs"),
    "release": ("free", "unload", "clear", "flush", "gc", "empty-cache", "reset"),
    "cancel": ("stop", "abort", "interrupt", "kill"),
}
"""The words that people type for each verb."""


class Kernel(Protocol):
    """What a verb needs of the magics: the user's variables and the configured defaults."""

    shell: Any
    presets: Any
    """The TOML file of the user's presets, or an empty text."""

    def with_defaults(self, options: dict[str, Any]) -> dict[str, Any]:
        """`options`, completed by ``%config CogMagic``."""


@dataclass(frozen=True)
class Verb:
    """One verb: its name, its text in the manual, and its function."""

    name: str
    help: str
    run: Callable[[Kernel, str], Any]
    """Takes the rest of the line; a string that it returns is printed, any other value shown."""
    argument: str = ""
    """What must follow the verb, as the manual names it; empty if nothing may."""
    switch: str = ""
    """The one switch that the verb takes."""
    options: Callable[[], tuple[Option, ...]] = tuple
    """Gives the options that the verb takes."""


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
        accepted = f"takes no option but {verb.switch}" if verb.switch else "takes no options"
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
    typed = check_stray("%%cogvideo", line)
    meant = next((known for known, words in _OTHER_VERBS.items() if verb in words), "")
    if meant and {*others} <= {meant}:
        return RequestError(f"Unknown verb {name!r}. Type %cogvideo {meant}")
    near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.7)
    if not name.startswith("-") and len(others) < 2 and (near or not others):
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


def check_no_verb(line: str) -> None:
    """Refuse a verb after ``%%cogvideo``.

    Raises:
        RequestError: with the line to type instead.
    """
    line = line.strip().rstrip("; ")
    if is_verb(line):
        name, *rest = line.split(maxsplit=1)
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
    is_path = verb.argument == "PATH" and len(rest.split()) == 1
    return rest in ("", verb.switch) or takes_options or is_path


def _panel(kernel: Kernel, _: str) -> None:
    from IPython.display import display

    from cogmagic._notebook.panel import panel

    defaults = kernel.with_defaults({}) | {"presets": kernel.presets}
    display(panel(kernel.shell.user_ns, defaults))


def _status(_: Kernel, __: str) -> Any:
    from cogmagic._api.kernel import status

    return status()


def _models(_: Kernel, __: str) -> Any:
    from cogmagic._api.kernel import models

    return models()


def _plan_options() -> tuple[Option, ...]:
    return (*cell_options(), *PLAN_OPTIONS)


def _plan(kernel: Kernel, line: str) -> str:
    typed = check_stray("%cogvideo plan", line, _plan_options(), no_prompt=True)
    if typed.prompt and not typed.unknown:
        again = f"Type %cogvideo plan {typed.options}".rstrip()
        if _is_card(typed.prompt):
            raise RequestError(f"{typed.prompt} is a card. {again} --gpu {quoted(typed.prompt)}")
        raise RequestError(f"%cogvideo plan takes no prompt, but got {typed.prompt!r}. {again}")
    options = parse_line(line, "%cogvideo plan", _plan_options())
    return plan_text(kernel.with_defaults(options))


def _is_card(words: str) -> bool:
    try:
        return bool(parse_gpus(words))
    except RequestError:
        return False


def _history(_: Kernel, clear: str) -> str:
    from cogmagic._api.kernel import history

    return history(clear=bool(clear))


def _release(_: Kernel, prompts: str) -> str:
    from cogmagic._api.kernel import release

    return release(prompts=bool(prompts))


def _cancel(_: Kernel, __: str) -> str:
    from cogmagic._api.kernel import cancel

    return cancel()


def _save(_: Kernel, path: str) -> Any:
    from cogmagic._api.kernel import unsaved

    if not path:
        raise RequestError(
            "No path to save to. Type %cogvideo save FOLDER, or %cogvideo save FILE.mp4 (or .gif,"
            " .webm, .png)."
        )
    return unsaved().save(path.strip("\"'"))


_TABLE = (
    Verb("panel", "live memory, the recommended tier, and the options as fields", _panel),
    Verb("status", "VRAM, RAM and the loaded pipeline", _status),
    Verb("models", "the models, and which of them are on this machine", _models),
    Verb(
        "plan",
        "memory and time of every tier for a cell with these options,\n"
        'and the chosen tier; with --gpu "RTX 3060" or --which-gpu, for\n'
        "another machine",
        _plan,
        argument="OPTIONS",
        options=_plan_options,
    ),
    Verb(
        "history",
        "predicted and measured memory and time of past runs;\n--clear deletes them",
        _history,
        switch="--clear",
    ),
    Verb(
        "release",
        "free the weights, and list what still holds VRAM;\n"
        "--prompts deletes the cached prompt embeddings, too",
        _release,
        switch="--prompts",
    ),
    Verb("cancel", "stop a run in another thread", _cancel),
    Verb(
        "save",
        "write the last video that could not be written to its folder",
        _save,
        argument="PATH",
    ),
)


VERBS: dict[str, Verb] = {verb.name: verb for verb in _TABLE}
