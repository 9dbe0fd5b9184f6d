"""The columns of a batch's table: their names, and the values in their cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from cogmagic._api.options.table import cell_options
from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models.other_tools import in_table, known_elsewhere
from cogmagic._models.rules import seed_or_random

__all__ = ["column_name", "plain_value", "seed_list", "text_value"]


_WHOLE = ("width", "height", "num_frames", "frames", "num_inference_steps", "steps", "seed", "fps")
_TEXTS = (
    *("prompt", "negative_prompt", "size", "scheduler", "timesteps", "fit"),
    *("image", "last_image", "video", "mask"),
)
_NUMBERS = ("guidance_scale", "guidance_from", "guidance_until", "strength", "start")
_SWITCHES = ("truncate", "invert_mask", "paste_back")
_COLUMNS = (*_TEXTS, *_WHOLE, *_NUMBERS, *_SWITCHES)
"""The options that may differ from row to row; all others hold for the batch."""

_SWITCH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def column_name(column: object, *, in_csv: bool = False) -> str:
    """The option of a column.

    Args:
        column: its name.
        in_csv: whether the first line of a file has named it.

    Raises:
        RequestError: for an unknown column, and for an option that holds for the whole batch.
    """
    name = str(column).strip().lower().lstrip("-").replace("-", "_").replace(" ", "_")
    if name in _COLUMNS:
        return name
    if not name or name.startswith("unnamed:"):
        raise RequestError(
            "A column has no name. If it is the index of a DataFrame, save it with index=False."
        )
    option = next((o for o in cell_options() if o.dest == name), None)
    if option is not None:
        value = f" {option.metavar}" if option.metavar else ""
        raise RequestError(
            f"{name!r} cannot be a column: it holds for the whole batch. Leave it out of the table,"
            f" and type --{option.name}{value} beside --prompts."
        )
    near = known_elsewhere(name, in_table) or did_you_mean(name, _COLUMNS)
    header = " The first line of a CSV file must name its columns." if in_csv else ""
    raise RequestError(
        f"Unknown column {str(column)[:60]!r}.{near}{header} The columns are {', '.join(_COLUMNS)}."
    )


def plain_value(value: Any, name: str = "seed") -> Any:
    """A value of Python's own type; None for a missing one, as in DataFrames.

    If a value is missing, a DataFrame stores a column of whole numbers as floats.
    """
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()  # numpy's
    if isinstance(value, float) and value != value:
        return None
    if name in _SWITCHES and value is not None:
        if not isinstance(value, int | float) or value not in (0, 1):
            raise RequestError(f"{name}={value!r:.40} is neither true nor false.")
        return bool(value)
    if isinstance(value, float):
        return int(value) if name in _WHOLE and value.is_integer() else value
    if name == "size" and isinstance(value, list):
        return tuple(value)
    return value


def text_value(name: str, text: str) -> Any:
    """The value of a cell of a CSV file."""
    if name in _TEXTS:
        return text
    word = text.strip()
    if name in _SWITCHES:
        if word.lower() not in _SWITCH:
            raise RequestError(f"{name} is {word[:40]!r}, but must be true or false.")
        return _SWITCH[word.lower()]
    if name in _NUMBERS:
        try:
            return float(word)
        except ValueError:
            raise RequestError(f"{name} is {word[:40]!r}, which is not a number.") from None
    if not re.fullmatch(r"[+-]?\d{1,30}(\.0*)?", word):
        raise RequestError(f"{name} is {word[:40]!r}, which is not a whole number.")
    return int(word.partition(".")[0])


def seed_list(seeds: object) -> tuple[int, ...]:
    """The seeds of ``"1,2,3"``, or of whole numbers in any iterable.

    Raises:
        RequestError: for anything else, and for a seed out of range.
    """
    if isinstance(seeds, str):
        words = [word.strip() for word in seeds.split(",")]
        wrong = next((word for word in words if not re.fullmatch(r"-?\d{1,30}", word)), None)
        if wrong is not None:
            raise RequestError(
                f"--seeds {seeds[:60]}: {wrong[:40]!r} is not a whole number. Separate seeds by"
                " commas, without spaces: --seeds 1,2,3"
            )
        return tuple(seed_or_random(int(word)) for word in words)
    if not isinstance(seeds, Iterable) or isinstance(seeds, Mapping | bytes):
        raise RequestError(f"seeds={seeds!r:.80} is not a list. For one video: seed={seeds!r:.20}.")
    plain = tuple(plain_value(seed) for seed in seeds)
    if not plain or None in plain:
        raise RequestError(f"seeds={seeds!r:.80} has no seed. Give whole numbers: [1, 2, 3].")
    return tuple(seed_or_random(seed) for seed in plain)
