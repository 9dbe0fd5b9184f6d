"""The verbs of ``%cogvideo``: one table that the magic, its manual and its completion read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from cogmagic._api.options.doctor import DOCTOR_OPTIONS, check_one_form
from cogmagic._api.options.enhance import enhance_options
from cogmagic._api.options.option import Option
from cogmagic._api.options.parser import parse_line
from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._api.options.table import cell_options
from cogmagic._api.options.words import quoted
from cogmagic._api.plan_text import plan_text
from cogmagic._errors import RequestError
from cogmagic._machine.cards.names import parse_gpus
from cogmagic._notebook.cluster_verb import WORDS, run_cluster
from cogmagic._notebook.enhance_verb import run_enhance
from cogmagic._notebook.first_line import check_stray
from cogmagic._notebook.mask_verb import MASK_OPTIONS, run_mask

__all__ = ["VERBS", "Kernel", "Verb"]


class Kernel(Protocol):
    """What a verb needs of the magics: the user's variables and the configured defaults."""

    shell: Any
    presets: Any
    """The TOML file of the user's presets, or an empty text."""
    embed_limit_mb: Any
    """MB up to which videos are embedded in the notebook."""
    endpoint: Any
    """The base URL of the chat endpoint, or an empty text."""
    endpoint_model: Any

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
    words: tuple[str, ...] = ()
    """Words that the verb takes as its argument, for completion."""


def _panel(kernel: Kernel, _: str) -> None:
    from IPython.display import display

    from cogmagic._notebook.panel import panel

    defaults = kernel.with_defaults({}) | {"presets": kernel.presets}
    defaults |= {"embed_limit": int(kernel.embed_limit_mb * 1e6)}
    defaults |= {"endpoint": kernel.endpoint, "endpoint_model": kernel.endpoint_model}
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


def _clips(_: Kernel, folder: str) -> str:
    from cogmagic._api.clip_table import clip_table

    return clip_table(folder.strip("\"'"))


def _release(_: Kernel, prompts: str) -> str:
    from cogmagic._api.kernel import release

    return release(prompts=bool(prompts))


def _doctor(_: Kernel, line: str) -> Any:
    from cogmagic._api.doctor import doctor

    options = parse_line(line, "%cogvideo doctor", DOCTOR_OPTIONS)
    check_one_form(options)
    made = doctor(quick="quick" in options)
    if "report" in options:
        return made.report()
    return made.as_json() if "json" in options else made


def _cancel(_: Kernel, __: str) -> str:
    from cogmagic._api.kernel import cancel

    return cancel()


def _cluster(_: Kernel, where: str) -> Any:
    return run_cluster(where)


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
        "doctor",
        "check this machine, and say how to fix each problem; --quick without\n"
        "torch, --report for a bug report, --json",
        _doctor,
        argument="OPTIONS",
        options=lambda: DOCTOR_OPTIONS,
    ),
    Verb(
        "history",
        "predicted and measured memory and time of past runs;\n--clear deletes them",
        _history,
        switch="--clear",
    ),
    Verb(
        "clips",
        "clips in FOLDER, or in the working directory, with their settings and\n"
        "prompts; the newest 30",
        _clips,
        argument="FOLDER",
    ),
    Verb(
        "mask",
        "draw on the frames of CLIP what is to be removed or made again, for\n--mask",
        run_mask,
        argument="CLIP",
        options=lambda: MASK_OPTIONS,
    ),
    Verb(
        "release",
        "free the weights, and list what still holds VRAM;\n"
        "--prompts deletes the cached prompt embeddings, too",
        _release,
        switch="--prompts",
    ),
    Verb(
        "cluster",
        "make the rows of batches on all GPUs, of one machine (local) or\n"
        "several (HOST:PORT, ray://HOST:PORT), by Ray; status; off",
        _cluster,
        argument="WHERE",
        words=WORDS,
    ),
    Verb(
        "enhance",
        "have a short prompt rewritten at length by a language model, on\n"
        "the server that you name; the options are those of the new cell",
        run_enhance,
        argument="TEXT",
        options=enhance_options,
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
