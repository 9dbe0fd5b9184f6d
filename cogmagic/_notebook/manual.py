"""The manual (``%%cogvideo?``, ``--help``), made from the tables of verbs and options."""

from __future__ import annotations

from textwrap import fill

from cogmagic._api.options.enhance import ENHANCE_OPTIONS
from cogmagic._api.options.parser import Parser
from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._models.catalog import MODELS
from cogmagic._models.presets import PRESETS, Preset
from cogmagic._notebook.mask_verb import MASK_OPTIONS
from cogmagic._notebook.verbs import VERBS, Verb

__all__ = ["HELP_SWITCHES", "HELP_WORDS", "manual"]


HELP_SWITCHES = frozenset(("--help", "-h"))


HELP_WORDS = HELP_SWITCHES | {"help", "-help", "?", "??", "-?", "/?"}
"""What asks for the manual where it stands alone after the magic."""


_INTRODUCTION = f"""Make a video from a prompt with CogVideoX, and show it under the cell.

    %%cogvideo --seed 7
    a red circle moves to the right on a black background

    %%cogvideo --model 5b --num-frames 49 --seed 42 --out fox
    A red fox trots through fresh snow at dawn, low sun behind it.

The body of the cell is the prompt, taken literally. In the options, {{name}} is replaced by a
variable. The default is the embedded model `tiny`, which knows moving coloured shapes and needs
neither a download nor a GPU. Models: {", ".join(m.name for m in MODELS)}.
"""


_COLUMN = 25
"""Width of the verbs in the manual."""


_WIDTH = 96


def manual() -> str:
    """The whole manual as text."""
    return "\n".join(
        [
            _INTRODUCTION,
            *map(_verb, VERBS.values()),
            "",
            "Defaults for this kernel: %config CogMagic",
            "",
            "Presets; those of your own are in a TOML file (%config CogMagic.presets):",
            *map(_preset, PRESETS.values()),
            "",
            Parser("%%cogvideo").format_help(),
            Parser("%cogvideo plan", PLAN_OPTIONS).format_help(),
            Parser("%cogvideo enhance", ENHANCE_OPTIONS).format_help(),
            Parser("%cogvideo mask", MASK_OPTIONS).format_help(),
        ]
    )


def _preset(preset: Preset) -> str:
    models = ", ".join(preset.models)
    text = f"for {models}: {preset.description} ({preset.recipe})"
    first = f"    {preset.name:<{_COLUMN}}"
    return fill(text, _WIDTH, initial_indent=first, subsequent_indent=" " * len(first))


def _verb(verb: Verb) -> str:
    typed = " ".join(filter(None, ("%cogvideo", verb.name, verb.argument)))
    first, *rest = verb.help.splitlines()
    indent = " " * (4 + _COLUMN)
    return "\n".join([f"    {typed:<{_COLUMN}}{first}", *(indent + line for line in rest)])
