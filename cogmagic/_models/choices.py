"""Options that take one of a few words: the word that a person means by another."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cogmagic._errors import did_you_mean
from cogmagic._models.other_tools import value_elsewhere

__all__ = ["choice_hint"]


_MEANT = {
    "attention": {
        "fa3": "3 fa3fwd flash flash3 flashattn3 flashattention3 flashattention flashattentionv3",
        "fa3-fp8": "fa3fp8 flash3fp8 flashattention3fp8 fp8",
        "fa2": "2 flash2 flashattn flashattn2 flashattention2 flashattentionv2",
        "sage": "int8 sageattn sageattention sage1 sage2 sageattention2",
    },
    "cache": {"first-block": "fbc fbcache tea teacache db dbcache true yes on auto default"},
    "dtype": {
        "float16": "f16 16 16bit",
        "bfloat16": "bf",
        "float32": "f32 32 32bit full single",
    },
    "fit": {
        "crop": "fill cover zoom cut center centre centercrop",
        "pad": "contain letterbox bars border black padding fit inside",
        "stretch": "resize scale squash squeeze distort none",
    },
    "keep": {
        "hot": "gpu vram cuda true yes always",
        "warm": "ram cpu memory host",
        "cold": "none no never false off disk",
    },
    "speed": {
        "exact": "normal default slow slowest off none no same identical standard quality",
        "fast": "quick compile compiled high medium on yes true turbo",
        "faster": "fastest max maximum ultra best fp8",
    },
    "tier": {
        "auto": "default best automatic fast fastest",
        "none": "gpu cuda vram high full off no never fullgpu",
        "model": "cpu medium med",
        "stream": "group streamed block blocks",
        "sequential": "low min minimal lowest slow",
    },
}
"""The words that people type for each choice of an option, beside those of other tools."""


_OTHERWISE = {
    "cache": " Leave it out to compute every step.",
    "dtype": " To store the transformer in 8 bits, type --fp8.",
    "scheduler": " cogmagic has no other. Leave it out for the model's own.",
}
"""What to do where no choice is near."""


def choice_hint(option: str, value: str, choices: Sequence[str]) -> str:
    """The sentences after an unknown value: the choice that is meant or nearest, and all choices.

    Args:
        option: the option's name.
        value: as it was typed.
        choices: the only values.
    """
    plain = re.sub(r"[^a-z0-9]", "", value.lower())
    meant = (choice for choice, words in _MEANT.get(option, {}).items() if plain in words.split())
    inside = sorted((choice for choice in choices if choice in plain), key=len, reverse=True)
    known = (*meant, value_elsewhere(option, value), *inside)
    near = next((choice for choice in known if choice in choices), "")
    hint = f" Did you mean {near!r}?" if near else did_you_mean(value, choices)
    otherwise = "" if hint else _OTHERWISE.get(option, "")
    return f"{hint} Choose from: {', '.join(choices)}.{otherwise}"
