"""What a person types for a LoRA: ``PATH-or-REPO[/FILE][@WEIGHT]``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.other_tools import lora_option

__all__ = ["Typed", "as_typed", "checked_weight"]


@dataclass(frozen=True)
class Typed:
    """A LoRA as it was typed: where it is, and its weight."""

    source: str
    weight: float = 1.0


_URL = re.compile(
    r"https?://(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)(?:/(?:resolve|blob)/[^/]+/([^?]+))?.*"
)
"""A web address of the hub: repository and file."""


_FRACTION = re.compile(r"\s*(-?\d{1,9})\s*/\s*([1-9]\d{0,8})\s*")


def as_typed(value: object) -> Typed:
    """The place and weight of a LoRA: from text, a path, or a pair of either with a weight.

    Raises:
        RequestError: for anything else, and for a weight that is not a finite number.
    """
    if isinstance(value, tuple) and len(value) == 2:
        source, weight = value
        if isinstance(source, str | Path) and str(source).strip():
            return Typed(_no_url(str(source)), checked_weight(weight, str(source)))
    elif isinstance(value, Path):
        return Typed(str(value))
    elif isinstance(value, str):
        return _of_text(value)
    raise RequestError(
        f"lora={value!r:.80} is not a LoRA. Give a path or repository as text, with @WEIGHT if"
        " wanted, or a pair (path, weight)."
    )


def _of_text(text: str) -> Typed:
    """The LoRA of ``SOURCE[@WEIGHT]``; a source that exists may contain an @ itself."""
    text = text.strip()
    source, at, weight = text.rpartition("@")
    in_path = re.search(r"[/\\]|\.safetensors$", weight, re.I) and not _FRACTION.fullmatch(weight)
    if not at or in_path or _exists(text):
        source, at = text, ""
    source = source.strip()
    if not source:
        raise RequestError(
            "--lora needs a path or a hub repository, such as --lora style.safetensors@0.8."
        )
    return Typed(_no_url(source), checked_weight(weight, source) if at else 1.0)


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return False


def _no_url(source: str) -> str:
    """`source`, which must not be a web address.

    Raises:
        RequestError: for one, with the repository and file to type in its place.
    """
    if not re.match(r"https?://", source):
        return source
    match = _URL.fullmatch(source)
    if match:
        name = "/".join(filter(None, match.groups()))
        raise RequestError(f"{source:.150} is a web address. Type {lora_option(name)}.")
    raise RequestError(
        f"{source:.150} is a web address. Download the file, and give its path with --lora."
    )


def checked_weight(weight: Any, source: str) -> float:
    """A weight as a finite float.

    Raises:
        RequestError: for anything else.
    """
    try:
        if isinstance(weight, bool) or not isinstance(weight, str | Real) or "_" in str(weight):
            raise ValueError
        number = float(weight)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        fraction = _FRACTION.fullmatch(str(weight))
        nearest = f"{int(fraction[1]) / int(fraction[2]):.6g}" if fraction else "0.8"
        raise RequestError(
            f"The weight {str(weight)!r:.40} of {source:.150} is not a finite number. Type"
            f" {lora_option(source[:150], nearest)}, or leave it out for 1."
        )
    return number
