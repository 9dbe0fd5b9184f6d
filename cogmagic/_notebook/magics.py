"""The door in a notebook: ``%%cogvideo`` for a video, ``%cogvideo VERB`` for the rest."""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import partial
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, Float, TraitError, Unicode, validate

from cogmagic._api.options import OPTIONS, PLAN_OPTIONS, Parser, parse_line
from cogmagic._errors import CogMagicError, RequestError, did_you_mean
from cogmagic._html import MARK
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import MODELS
from cogmagic._planning.options import KEEPS, POLICIES
from cogmagic._planning.plan import as_json as plan_json
from cogmagic._tiers.needs import TIERS
from cogmagic._units import GIB

__all__ = ["VERBS", "CogMagic"]


VERBS = ("status", "models", "plan", "history", "release", "cancel", "save", "panel")


_HELP = ("--help", "-h")


MANUAL = f"""Make a video from a prompt with CogVideoX, and show it under the cell.

    %%cogvideo --seed 7
    a red circle moves to the right on a black background

    %%cogvideo --model 5b --num-frames 49 --seed 42 --out fox
    A red fox trots through fresh snow at dawn, low sun behind it.

The body is the prompt, taken literally. On the line, {{name}} is replaced by a variable.
The embedded model `tiny` is the default: it knows coloured shapes that move, needs no
download and no GPU. Models: {", ".join(m.name for m in MODELS)}.

    %cogvideo panel          live memory, the recommendation, and all of this with buttons
    %cogvideo status         VRAM, RAM, and what is loaded
    %cogvideo models         the family, and what is on this machine
    %cogvideo plan OPTIONS   every tier for a cell with these options: memory, time, the choice;
                             also for --gpu "RTX 3060" or --which-gpu
    %cogvideo history        what past runs were predicted to need, and needed; --clear
    %cogvideo release        let go of the weights, and say who holds VRAM still;
                             --prompts: forget kept embeddings too
    %cogvideo cancel         stop a run in another thread
    %cogvideo save PATH      write a video that its own folder did not take

Defaults for the kernel: %config CogMagic

"""


@magics_class
class CogMagic(Magics):  # type: ignore[misc]  # IPython is untyped
    """The magics, and their defaults for this kernel (``%config CogMagic``)."""

    model = Unicode("tiny", help="Model of cells that name none.").tag(config=True)
    tier = Unicode("auto", help="Tier of cells that name none.").tag(config=True)
    policy = Unicode("auto", help="How tier auto is chosen: auto or rule.").tag(config=True)
    vram_limit = Float(
        0.0, min=0.0, max=4096.0, help="GiB of VRAM that a run may take; 0 for all that is free."
    ).tag(config=True)
    gpus = Unicode("", help="GPUs to use, by index or UUID, as 0,2; all if empty.").tag(config=True)
    keep = Unicode(
        "warm",
        help="What stays after a run: hot, the weights on the GPU; warm, in RAM; cold, nothing.",
    ).tag(config=True)
    save = Unicode("", help="Folder or file of cells that name none.").tag(config=True)
    embed_limit_mb = Float(
        8.0, min=0.0, max=1000.0, help="Videos up to this are embedded, larger ones linked."
    ).tag(config=True)
    short_errors = Bool(True, help="Errors as one line; False shows the traceback.").tag(
        config=True
    )

    @validate("vram_limit")  # type: ignore[untyped-decorator]
    def _check_vram_limit(self, proposal: dict[str, Any]) -> float:
        limit = float(proposal["value"])
        if limit == 0 or limit >= 0.5:
            return limit
        raise TraitError(f"CogMagic.vram_limit = {limit}: an amount in GiB from 0.5, or 0.")

    @validate("tier")  # type: ignore[untyped-decorator]
    def _check_tier(self, proposal: dict[str, Any]) -> str:
        tier = str(proposal["value"])
        if tier not in ("auto", *TIERS):
            raise TraitError(  # the one error on which traitlets puts the old value back
                f"Unknown tier {tier!r}.{did_you_mean(tier, TIERS)}"
                f" Choose from: auto, {', '.join(TIERS)}."
            )
        return tier

    @validate("policy", "keep")  # type: ignore[untyped-decorator]
    def _check_word(self, proposal: dict[str, Any]) -> str:
        name, word = str(proposal["trait"].name), str(proposal["value"])
        choices = {"policy": POLICIES, "keep": KEEPS}[name]
        if word not in choices:
            raise TraitError(f"Unknown {name} {word!r}. Choose from: {', '.join(choices)}.")
        return word

    @line_cell_magic  # type: ignore[untyped-decorator]
    def cogvideo(self, line: str, cell: str | None = None) -> Any:
        """Stand-in for the manual, set below."""
        try:
            return self._verb(line) if cell is None else self._run(line, cell)
        except CogMagicError as error:
            failure = self._shown(error)
        raise failure

    def _shown(self, error: CogMagicError) -> CogMagicError:
        """The error as it is to be raised: one line, or with the traceback that was asked for."""
        if not self.short_errors:
            vars(error)["_render_traceback_"] = partial(_traceback, error)
        return error

    def _verb(self, line: str) -> Any:
        from cogmagic._api import kernel

        verb, rest = (*line.split(maxsplit=1), "", "")[:2]
        if verb in ("", "help", *_HELP) or (verb in VERBS and rest.strip() in _HELP):
            print(manual())  # noqa: T201 - asked for
            return None
        if verb == "plan":
            given = parse_line(rest, "%cogvideo plan", (*OPTIONS, *PLAN_OPTIONS))
            if "help" in given:
                print(manual())  # noqa: T201
                return None
            return self._show_plan(self._with_defaults(given))
        if verb == "history" and rest.strip() in ("", "--clear"):
            print(kernel.history(clear=bool(rest.strip())))  # noqa: T201
            return None
        if verb == "release" and rest.strip() in ("", "--prompts"):
            print(kernel.release(prompts=bool(rest.strip())))  # noqa: T201
            return None
        if verb == "save":
            if not rest.strip():
                raise RequestError("Where to? %cogvideo save FOLDER, or %cogvideo save FILE.mp4")
            return kernel.unsaved().save(rest.strip().strip("\"'"))
        if verb not in VERBS:
            raise RequestError(
                f"Unknown verb {verb!r}.{did_you_mean(verb, VERBS)}"
                f" Choose from: {', '.join(VERBS)}."
                " A video is made by a cell that begins with %%cogvideo."
            )
        if rest.strip():
            raise RequestError(f"%cogvideo {verb} takes no options, but got {rest.strip()!r}.")
        if verb == "panel":
            from IPython.display import display

            from cogmagic._notebook.panel import panel

            display(panel(self.shell.user_ns, self._with_defaults({})))
            return None
        if verb == "cancel":
            print(kernel.cancel())  # noqa: T201
            return None
        return kernel.status() if verb == "status" else kernel.models()

    def _run(self, line: str, cell: str) -> None:
        from IPython.display import display

        from cogmagic._api.generate import generate

        options = self._with_defaults(parse_line(line, "%%cogvideo"))
        if options.pop("help", False):
            print(manual())  # noqa: T201
            return
        if options.pop("dry_run", False):
            options.pop("out", None)
            self._show_plan(options, cell)
            return
        out = options.pop("out", None)
        video = generate(cell, **options)
        video = replace(video, embed_limit=int(self.embed_limit_mb * 1e6))
        display({"text/html": video.player_html(), "text/plain": MARK + repr(video)}, raw=True)
        if out is not None:
            self.shell.push({out: video})

    def _show_plan(self, options: dict[str, Any], prompt: str | None = None) -> None:
        from cogmagic._api import plan

        for name in ("out", "save", "overwrite", "dry_run", "compile", "keep", "help"):
            options.pop(name, None)
        if prompt:
            options["prompt"] = prompt
        names = ("gpu", "vram", "ram")
        machine: dict[str, Any] = {k: options.pop(k) for k in names if k in options}
        as_json = options.pop("json", False)
        if options.pop("which_gpu", False):
            if machine.keys() - {"ram"} or "gpus" in options:
                raise RequestError(
                    "--which-gpu asks for every card; leave out --gpu, --gpus and --vram."
                )
            if as_json:
                raise RequestError("--which-gpu prints a table; for JSON name one card: --gpu.")
            print(plan.which_gpu(**machine, **options))  # noqa: T201
            return
        if machine.keys() == {"ram"}:  # this machine with another amount of memory
            options.update(machine)
        elif machine:
            options["machine"] = Machine.of(machine.pop("gpu", None), **machine)
        found = plan.plan(**options)
        print(plan_json(found) if as_json else found)  # noqa: T201

    def _with_defaults(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of the line, then the kernel's defaults; a variable's name becomes its value."""
        filled = {"model": self.model, "tier": self.tier, "policy": self.policy, **options}
        filled.setdefault("keep", self.keep)
        if not options.keys() & {"gpu", "vram", "which_gpu"}:  # what is set for this machine
            if self.vram_limit:
                filled.setdefault("vram_limit", round(self.vram_limit * GIB))
            if self.gpus:
                filled.setdefault("gpus", self.gpus)
        if self.save:
            filled.setdefault("save", self.save)
        name = filled.get("image")
        if isinstance(name, str) and name.isidentifier() and name in self.shell.user_ns:
            filled["image"] = self.shell.user_ns[name]
        return filled


def _traceback(error: CogMagicError) -> list[str]:
    return "".join(traceback.format_exception(error)).splitlines()


def manual() -> str:
    """The manual: what ``%%cogvideo?`` and ``--help`` show."""
    extra = Parser("%cogvideo plan", PLAN_OPTIONS).format_help()
    return MANUAL + Parser("%%cogvideo").format_help() + "\n" + extra


CogMagic.cogvideo.__doc__ = manual()
