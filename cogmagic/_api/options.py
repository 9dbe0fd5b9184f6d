"""One table of options: the cell magic, its help, its completion, and every other door."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path
from typing import Any, NoReturn

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models.catalog import DTYPES, MODELS, SCHEDULERS
from cogmagic._planning.options import KEEPS, POLICIES
from cogmagic._tiers.needs import TIERS
from cogmagic._units import GIB

__all__ = [
    "OPTIONS",
    "PLAN_OPTIONS",
    "Option",
    "Parser",
    "parse_gib",
    "parse_line",
    "parse_size",
    "split_line",
    "without_run_options",
]


@dataclass(frozen=True)
class Option:
    """One option: its long name, aliases, what it takes and what it means."""

    name: str
    help: str
    group: str
    metavar: str | None = None
    """None for a switch."""
    kind: Any = str
    choices: tuple[str, ...] | None = None
    """The only values; checked by what they are for, not by the parser."""
    suggestions: tuple[str, ...] = ()
    """Offered by completion, but not the only values."""
    aliases: tuple[str, ...] = ()
    plans: bool = True
    """Whether a plan takes it; False for what concerns a run or its file alone."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Every spelling, the long one first."""
        return (f"--{self.name}", *self.aliases)

    @property
    def dest(self) -> str:
        """The Python name."""
        return self.name.replace("-", "_")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of ``720x480``."""
    width, cross, height = text.lower().replace("×", "x").partition("x")
    if not (cross and width.strip().isdigit() and height.strip().isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 720x480")
    return int(width), int(height)


def gib_number(text: str) -> float:
    """The number of ``10``, ``10.5``, ``10GiB`` or ``10 GB``, all read as GiB."""
    number = text.strip().lower().removesuffix("gib").removesuffix("gb").removesuffix("g")
    try:
        return float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount in GiB like 10") from None


def parse_gib(text: str) -> int:
    """Bytes of an amount as `gib_number` reads it."""
    amount = gib_number(text)
    if not 0.5 <= amount <= 4096:  # also refuses nan
        raise argparse.ArgumentTypeError(f"{text} GiB is not an amount from 0.5 to 4096")
    return round(amount * GIB)


_MODEL, _OUTPUT, _MEMORY = "Generation", "Output", "Memory"


OPTIONS: tuple[Option, ...] = (
    Option(
        "model",
        "short name, hub id or folder",
        _MODEL,
        "NAME",
        suggestions=tuple(m.name for m in MODELS),
    ),
    Option("size", "width and height in pixels, as 720x480", _MODEL, "WxH", parse_size),
    Option(
        "num-frames",
        "frames to make; each model has its rule",
        _MODEL,
        "N",
        int,
        aliases=("--frames",),
    ),
    Option("num-inference-steps", "denoising steps", _MODEL, "N", int, aliases=("--steps",)),
    Option(
        "guidance-scale", "how closely to follow the prompt; 1 is no guidance", _MODEL, "G", float
    ),
    Option("negative-prompt", "what the video should not show", _MODEL, "TEXT"),
    Option("seed", "start of the random numbers; a random one if left out", _MODEL, "N", int),
    Option("scheduler", "how noise is removed", _MODEL, "NAME", choices=SCHEDULERS),
    Option(
        "image", "first frame, for image-to-video: a path or a variable", _MODEL, "NAME-or-PATH"
    ),
    Option("truncate", "cut a prompt that is longer than the model reads", _MODEL),
    Option("dtype", "precision of the weights", _MEMORY, "NAME", choices=DTYPES),
    Option(
        "tier",
        "placement; auto takes the fastest that fits",
        _MEMORY,
        "NAME",
        choices=("auto", *TIERS),
    ),
    Option(
        "policy",
        "how auto chooses: by prediction, or by the published rule of thumb",
        _MEMORY,
        "NAME",
        choices=POLICIES,
    ),
    Option("gpus", "use these GPUs alone: indices or UUIDs, as 0,2", _MEMORY, "LIST"),
    Option("vram-limit", "GiB of VRAM that the run may take", _MEMORY, "GIB", parse_gib),
    Option(
        "compile",
        "compile the transformer: longer once, then faster steps",
        _MEMORY,
        plans=False,
    ),
    Option("lean-decode", "decode with less memory; the same frames", _MEMORY),
    Option("guidance-halves", "one prompt after the other: less memory", _MEMORY),
    Option("fp8", "transformer in 8 bits: less memory, another picture", _MEMORY),
    Option(
        "keep",
        "what stays after the run: weights on the GPU, in RAM, or nothing",
        _MEMORY,
        "NAME",
        choices=KEEPS,
        plans=False,
    ),
    Option("fps", "frames per second of the file", _OUTPUT, "N", int),
    Option(
        "out", "variable that receives the Video", _OUTPUT, "NAME", aliases=("-o",), plans=False
    ),
    Option("save", "file (.mp4) or folder to write to", _OUTPUT, "PATH", plans=False),
    Option("overwrite", "replace the file that --save names", _OUTPUT, plans=False),
    Option("dry-run", "show the plan, run nothing", _OUTPUT, plans=False),
    Option("help", "show this and stop", _OUTPUT, aliases=("-h",), plans=False),
)


_PLAN = "Planning for another machine"


PLAN_OPTIONS: tuple[Option, ...] = (
    Option("gpu", 'a card, as "RTX 3060" or "2x A100 40GB"', _PLAN, "NAME"),
    Option("vram", "GiB of VRAM of that card, or of any", _PLAN, "GIB", gib_number),
    Option("ram", "GiB of host memory", _PLAN, "GIB", gib_number),
    Option("which-gpu", "list the cards that can do it, and how fast", _PLAN),
    Option("json", "print the plan as JSON", _PLAN),
)


def without_run_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that `cogmagic.plan` takes; a run's own are left out."""
    of_runs = {option.dest for option in OPTIONS if not option.plans}
    return {name: value for name, value in options.items() if name not in of_runs}


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line that names the nearest valid spelling."""

    def __init__(self, prog: str, options: Sequence[Option] = OPTIONS) -> None:
        usage = prog.replace("%", "%%") + " [options]"  # argparse formats it
        super().__init__(prog=prog, add_help=False, allow_abbrev=False, usage=usage)
        self._flags = [f for o in options for f in o.flags]
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
                        action=_Once,
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
                near = did_you_mean(word.partition("=")[0], self._flags)
                raise RequestError(f"Unknown option {word}.{near} All of them: {self._see}")
            raise RequestError(
                f"{word!r} is not an option; the prompt goes into the cell's body. See {self._see}"
            )
        raise RequestError(f"{message[:1].upper()}{message[1:]}. See {self._see}")


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


def parse_line(line: str, prog: str, options: Sequence[Option] = OPTIONS) -> dict[str, Any]:
    """The options given on a magic's line, by Python name; what was left out is not there.

    Raises:
        RequestError: one line, with the nearest valid spelling or value.
    """
    given = vars(Parser(prog, options).parse_args(split_line(line)))
    seen: set[str] = given.pop("_seen", set())
    found = {k: v for k, v in given.items() if k in seen}
    if "size" in found:
        found["width"], found["height"] = found.pop("size")
    _check_out(found.get("out"))
    return found


def _check_out(out: str | None) -> None:
    if out is not None and (iskeyword(out) or not out.isidentifier()):
        hint = f" To name the file: --save {out}" if Path(out).suffix else ""
        raise RequestError(f"--out {out}: that is not a variable's name.{hint}")
