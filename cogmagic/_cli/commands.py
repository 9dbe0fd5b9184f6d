"""The commands: one table that the parser, the help and the completion read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cogmagic._api.batch.rows import BATCH_OPTIONS, source_of
from cogmagic._api.options.doctor import DOCTOR_OPTIONS, check_one_form
from cogmagic._api.options.option import Option
from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._api.options.table import cell_options
from cogmagic._errors import RequestError
from cogmagic._spelling import as_command

if TYPE_CHECKING:
    from cogmagic._video.video import Video

__all__ = ["COMMANDS", "Command"]


@dataclass(frozen=True)
class Command:
    """One command: its name, its text in the help, and its function."""

    name: str
    help: str
    run: Callable[[dict[str, Any]], int]
    """Takes the options by their Python names, and returns the exit code."""
    options: Callable[[], tuple[Option, ...]]
    argument: str = ""
    """What it takes besides options, as the help names it; empty for nothing."""
    argument_help: str = ""
    dest: str = ""
    """The Python name of that argument."""


_COMMAND = "Command line"
_HELP = Option("help", "print this help", _COMMAND, aliases=("-h",))
_JSON = Option("json", "print JSON in place of text", _COMMAND)
_QUIET = Option("quiet", "show no progress", _COMMAND, aliases=("-q",))
_NOT_HERE = frozenset(("help", "out"))
"""Options of a cell that a command cannot have: a variable."""


def _of_cell(*left_out: str) -> tuple[Option, ...]:
    """The options of a cell, as a shell has them: with paths, and without variables."""
    names = _NOT_HERE | {*left_out}
    return tuple(_without_variables(o) for o in cell_options() if o.name not in names)


def _without_variables(option: Option) -> Option:
    metavar = (option.metavar or "").removeprefix("NAME-or-").removesuffix("-or-NAME")
    text = re.sub(r",? or (a )?variable", "", option.help)
    return replace(option, help=text, metavar=metavar or None)


def _generate(options: dict[str, Any]) -> int:
    as_json, progress = options.pop("json", False), not options.pop("quiet", False)
    if options.get("prompt") == "-":
        options["prompt"] = _standard_input()
    if options.pop("dry_run", False):
        from cogmagic._api.options.table import without_run_options

        return _plan(without_run_options(options) | ({"json": True} if as_json else {}))
    several = options.keys() & set(BATCH_OPTIONS)
    if "prompts" not in several and not options.get("prompt", "").strip():
        raise RequestError(
            "The prompt is missing. Type cogmagic generate"
            ' "a red circle moves to the right on a black background"'
        )
    if several:
        return _several(options, as_json=as_json, progress=progress)
    from cogmagic._api.generate import generate

    _print_video(generate(options.pop("prompt"), progress=progress, **options), as_json=as_json)
    return 0


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except (AttributeError, OSError, UnicodeDecodeError) as error:  # None where it is closed
        raise RequestError(
            f"- reads the prompt from standard input, which has no text ({error}). Type the prompt"
            " in quotes instead."
        ) from None


def _several(options: dict[str, Any], *, as_json: bool, progress: bool) -> int:
    """Make the videos of a batch, and print each as it finishes."""
    from cogmagic._api.batch.generate_many import start
    from cogmagic._session.session import Output

    save = options.pop("save", None)
    started = start(*source_of(options), save)
    with closing(started.videos(Output(save), live=progress)) as videos:
        for video in videos:
            _print_video(video, as_json=as_json)
    return 0


def _batch(options: dict[str, Any]) -> int:
    if not options.get("prompts"):
        raise RequestError(
            "The table of prompts is missing. Type cogmagic batch FILE.csv (or .jsonl, .txt: a"
            " prompt a line)"
        )
    return _generate(options)


def _print_video(video: Video, *, as_json: bool) -> None:
    """Print the path of a video, or its facts as a line of JSON."""
    text = str(video.path)
    if as_json:
        facts = asdict(video) | {"path": text}
        hidden = ("embed_limit", "unsaved")
        text = json.dumps({k: v for k, v in facts.items() if k not in hidden}, default=str)
    print(text, flush=True)


def _plan(options: dict[str, Any]) -> int:
    from cogmagic._api.plan_text import planned

    text, fits = planned(options)
    print(as_command(text))
    return 0 if fits else 3


def _models(options: dict[str, Any]) -> int:
    from cogmagic._api.kernel import models

    local = models()
    print(local.as_json() if options.get("json") else local)
    return 0


def _history(options: dict[str, Any]) -> int:
    from cogmagic._api.kernel import history
    from cogmagic._machine.history import History

    as_json, clear = options.get("json"), bool(options.get("clear"))
    if as_json and clear:
        raise RequestError("--clear deletes the runs and lists none. Leave out --json.")
    if as_json:
        for run in History().read():
            print(json.dumps(asdict(run)))
    else:
        print(history(clear=clear))
    return 0


def _doctor(options: dict[str, Any]) -> int:
    from cogmagic._doctor.diagnosis import Diagnosis, line, results
    from cogmagic._doctor.surroundings import Surroundings

    check_one_form(options)
    here, found = Surroundings.read(), []
    as_text = not (options.get("json") or options.get("report"))
    for result in results(here, quick=bool(options.get("quick"))):
        found.append(replace(result, text=as_command(result.text), fix=as_command(result.fix)))
        if as_text:  # the last ones take seconds
            print(line(found[-1]), flush=True)
    made = Diagnosis.of(here, tuple(found))
    if options.get("report"):
        print(made.report())
    else:
        print(made.as_json() if options.get("json") else made.summary)
    return 1 if made.status == "fail" else 0


_TABLE = (
    Command(
        "generate",
        "make a video of a prompt, or several with --seeds, and print its path",
        _generate,
        lambda: (*_of_cell(), _QUIET, _JSON, _HELP),
        argument="PROMPT",
        argument_help="what the video should show, in quotes; - reads it from standard input",
        dest="prompt",
    ),
    Command(
        "batch",
        "make a video of each row of a table, and print their paths",
        _batch,
        lambda: (*_of_cell("prompts"), _QUIET, _JSON, _HELP),
        argument="FILE",
        argument_help="table of prompts and options: .csv, .jsonl, or .txt with a prompt a line",
        dest="prompts",
    ),
    Command(
        "plan",
        "print memory and time of every tier, here or on another machine",
        _plan,
        lambda: (*(o for o in _of_cell() if o.plans), *PLAN_OPTIONS, _HELP),
    ),
    Command(
        "models",
        "list the models, and which of them are on this machine",
        _models,
        lambda: (_JSON, _HELP),
    ),
    Command(
        "history",
        "list past runs with predicted and measured memory and time",
        _history,
        lambda: (Option("clear", "delete all past runs", _COMMAND), _JSON, _HELP),
    ),
    Command(
        "doctor",
        "check this machine, and print how to fix each problem",
        _doctor,
        lambda: (*DOCTOR_OPTIONS, _HELP),
    ),
)


COMMANDS: dict[str, Command] = {command.name: command for command in _TABLE}
