"""The magics: ``%%cogvideo`` makes a video, ``%cogvideo VERB`` does everything else."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class
from traitlets import Bool, Float, TraitError, Unicode, validate

from cogmagic._api.batch.rows import BATCH_OPTIONS, source_of
from cogmagic._api.endpoint import checked_base_url
from cogmagic._api.options.parser import parse_line
from cogmagic._api.options.table import cell_options
from cogmagic._api.plan_text import plan_text
from cogmagic._errors import CogMagicError, RequestError
from cogmagic._html import MARK
from cogmagic._machine.amounts import gib_bytes
from cogmagic._models.choices import choice_hint
from cogmagic._models.inputs import INPUTS
from cogmagic._models.presets_file import in_file, read_presets
from cogmagic._notebook.body import check_body
from cogmagic._notebook.dispatch import check_no_verb, run_verb
from cogmagic._notebook.first_line import check_first_line
from cogmagic._notebook.manual import HELP_SWITCHES, HELP_WORDS, manual
from cogmagic._notebook.verbs import VERBS
from cogmagic._spelling import typed_in_cell
from cogmagic._video.batch_folder import default_folder
from cogmagic._video.formats.registry import names_file
from cogmagic._video.video import Video

__all__ = ["CogMagic"]


@magics_class
class CogMagic(Magics):  # type: ignore[misc]  # IPython is untyped
    """The magics, and their defaults for this kernel (``%config CogMagic``)."""

    model = Unicode("tiny", help="Model of cells without --model.").tag(config=True)
    tier = Unicode("auto", help="Tier of cells without --tier.").tag(config=True)
    speed = Unicode("exact", help="Speed of cells without --speed.").tag(config=True)
    policy = Unicode("auto", help="How tier auto is chosen: auto or rule.").tag(config=True)
    vram_limit = Float(0.0, help="GiB of VRAM that a run may take; 0 for no limit.").tag(
        config=True
    )
    gpus = Unicode("", help="GPUs to use, by index or UUID, such as 0,2; empty for all.").tag(
        config=True
    )
    keep = Unicode(
        "warm",
        help="Where weights stay after a run: hot, on the GPU; warm, in RAM; cold, nowhere.",
    ).tag(config=True)
    save = Unicode("", help="File or folder for videos of cells without --save.").tag(config=True)
    presets = Unicode("", help="TOML file with your own presets, for --preset NAME.").tag(
        config=True
    )
    endpoint = Unicode(
        "", help="Base URL of an OpenAI-compatible server, for %cogvideo enhance."
    ).tag(config=True)
    endpoint_model = Unicode("", help="Name of the language model on that server.").tag(config=True)
    embed_limit_mb = Float(
        8.0, min=0.0, max=1000.0, help="MB up to which a video is embedded; a larger one is linked."
    ).tag(config=True)
    short_errors = Bool(True, help="Show errors as one line; False shows the traceback.").tag(
        config=True
    )

    @validate("vram_limit")  # type: ignore[untyped-decorator]
    def _check_vram_limit(self, proposal: dict[str, Any]) -> float:
        limit = float(proposal["value"])
        try:
            if limit:  # 0 is no limit
                gib_bytes(limit, "CogMagic.vram_limit=")
        except RequestError as error:
            raise TraitError(str(error)) from None
        return limit

    @validate("presets")  # type: ignore[untyped-decorator]
    def _check_presets(self, proposal: dict[str, Any]) -> str:
        file = str(proposal["value"])
        try:
            if file:
                read_presets(file)
        except RequestError as error:
            raise TraitError(str(error)) from None
        return file and str(Path(file).expanduser().absolute())

    @validate("endpoint")  # type: ignore[untyped-decorator]
    def _check_endpoint(self, proposal: dict[str, Any]) -> str:
        try:
            return checked_base_url(proposal["value"])
        except RequestError as error:
            raise TraitError(str(error)) from None

    @validate("tier", "policy", "keep", "speed")  # type: ignore[untyped-decorator]
    def _check_choice(self, proposal: dict[str, Any]) -> str:
        name, value = str(proposal["trait"].name), str(proposal["value"])
        choices = next(option.choices or () for option in cell_options() if option.name == name)
        if value not in choices:
            raise TraitError(  # the only error after which traitlets restores the old value
                f"Unknown {name} {value!r}.{choice_hint(name, value, choices)}"
            )
        return value

    @line_cell_magic  # type: ignore[untyped-decorator]
    def cogvideo(self, line: str, cell: str | None = None) -> Any:
        """Stand-in for the manual, set below."""
        try:
            with typed_in_cell():
                return self._run_line(line) if cell is None else self._run_cell(line, cell)
        except CogMagicError as error:
            error.short = self.short_errors
            raise

    def _run_line(self, line: str) -> Any:
        line = line.strip().rstrip("; ")  # a habit from Python, where it hides the output
        words = line.split()
        verb = words[0] if words else "help"
        if verb in HELP_WORDS or (verb in VERBS and HELP_SWITCHES & set(words)):
            return _print(manual())
        shown = run_verb(line, self)
        return _print(shown) if isinstance(shown, str) else shown

    def _run_cell(self, line: str, cell: str) -> None:
        from IPython.display import display

        from cogmagic._api.generate import generate

        if line.strip() in HELP_WORDS:
            return _print(manual())
        check_no_verb(line, cell)
        check_first_line(line, cell)
        typed = parse_line(line, "%%cogvideo")
        options = self.with_defaults(typed)
        if options.pop("help", False):
            return _print(manual())
        dry_run = options.pop("dry_run", False)
        if cell.strip() or not (dry_run or "prompts" in options):
            check_body(line, cell)
        if dry_run:
            prompt = {"prompt": cell} if cell.strip() else {}
            return _print(plan_text(options | prompt))
        out = options.pop("out", None)
        if options.keys() & set(BATCH_OPTIONS):
            if self.save and "save" not in typed:  # each batch has a folder of its own
                parent = Path(self.save).parent if names_file(self.save) else self.save
                options["save"] = default_folder(parent)
            return self._run_batch(options | {"prompt": cell}, out)
        video = replace(generate(cell, **options), embed_limit=int(self.embed_limit_mb * 1e6))
        display({"text/html": video.player_html(), "text/plain": MARK + repr(video)}, raw=True)
        if out is not None:
            self.shell.push({out: video})
        return None

    def _run_batch(self, options: dict[str, Any], out: str | None) -> None:
        """Make the videos of a batch; what is finished is shown and stored whatever happens."""
        from IPython.display import display

        from cogmagic._api.batch.generate_many import start
        from cogmagic._session.session import Output
        from cogmagic._video.videos import Videos

        save, made = options.pop("save", None), list[Video]()
        started, limit = start(*source_of(options), save), int(self.embed_limit_mb * 1e6)
        try:
            with closing(started.videos(Output(save), live=True)) as videos:
                made.extend(replace(video, embed_limit=limit) for video in videos)
        finally:
            folder = started.folder.path if started.folder else Path(save or "").absolute().parent
            result = Videos(made, folder=folder, rows=started.rows, failed=started.failed)
            if out is not None:
                self.shell.push({out: result})
            shown = {"text/html": result.gallery_html(), "text/plain": MARK + repr(result)}
            display(shown, raw=True)

    def with_defaults(self, options: dict[str, Any]) -> dict[str, Any]:
        """The line's options, then the kernel's defaults; a variable's name becomes its value."""
        completed = {"model": self.model, "tier": self.tier, "policy": self.policy, **options}
        completed.setdefault("keep", self.keep)
        completed.setdefault("speed", self.speed)
        if not options.keys() & {"gpu", "vram", "which_gpu"}:  # these defaults are of this machine
            if self.vram_limit:
                completed.setdefault(
                    "vram_limit", gib_bytes(self.vram_limit, "CogMagic.vram_limit=")
                )
            if self.gpus:
                completed.setdefault("gpus", self.gpus)
        if self.save:
            completed.setdefault("save", self.save)
        if "preset" in completed:
            completed["preset"] = in_file(completed["preset"], self.presets)
        for option in (*INPUTS, "prompts"):
            name = completed.get(option)
            if isinstance(name, str) and name.isidentifier() and name in self.shell.user_ns:
                completed[option] = self.shell.user_ns[name]
                if completed[option] is None:
                    raise RequestError(f"--{option} {name}: the variable {name} is None.")
        return completed


def _print(text: str) -> None:
    print(text)  # noqa: T201 - what the person asked to see


CogMagic.cogvideo.__doc__ = manual()
