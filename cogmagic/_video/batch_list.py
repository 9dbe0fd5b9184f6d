"""``batch.json``: the rows of a batch, as they were when it began."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cogmagic._errors import OutputError, first_line, plain_line
from cogmagic._models.batch_row import Row
from cogmagic._models.inputs import INPUTS
from cogmagic._version import __version__
from cogmagic._video.report import request_facts

__all__ = ["as_json", "check_same", "rows_in"]

_VERSIONS = ("torch", "diffusers", "transformers")

_UNRECORDED = {
    "fit": "stretch", "guidance_from": 0.0, "guidance_until": 1.0, "invert_mask": False,
    "paste_back": False,
}  # fmt: skip
"""Values that are not recorded, so that folders of older versions can be resumed."""

_AGAIN = "Choose another folder with --save FOLDER, or run the first list again."


def as_json(rows: Sequence[Row], options: Mapping[str, Any]) -> bytes:
    """The content of ``batch.json``: a line a row.

    Args:
        rows: the batch.
        options: those that hold for all rows.
    """
    head = {
        "began": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        "versions": {"cogmagic": __version__} | {name: version(name) for name in _VERSIONS},
        "options": options,
    }
    text = json.dumps(head, indent=2, default=str).removesuffix("\n}")
    lines = (json.dumps(_facts(row), default=str, ensure_ascii=False) for row in rows)
    between = ",\n    "
    return f'{text},\n  "rows": [\n    {between.join(lines)}\n  ]\n}}\n'.encode()


def rows_in(file: Path) -> dict[str, Any]:
    """The content of a ``batch.json``.

    Raises:
        OutputError: when it is damaged.
    """
    try:
        stored = json.loads(file.read_bytes())
        rows, options = stored["rows"], stored["options"]
        if not isinstance(options, dict) or not all(isinstance(row["seed"], int) for row in rows):
            raise ValueError("not the list of a batch")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(
            f"{file} is damaged ({first_line(error)}). Choose another folder with --save FOLDER."
        ) from None
    return dict(stored)


def check_same(
    stored: Mapping[str, Any], rows: Sequence[Row], options: Mapping[str, Any], folder: Path
) -> tuple[Row, ...]:
    """The rows, if they are the stored ones; those whose seeds were drawn have the stored seeds.

    Raises:
        OutputError: for another batch, with the first difference.
    """
    before, now = stored["options"].get("frames"), json.loads(json.dumps(options.get("frames")))
    if before != now:
        raise OutputError(
            f"{folder} has a batch with other options: {_difference(before or {}, now or {})}."
            f" {_AGAIN}"
        )
    first: Sequence[Mapping[str, Any]] = stored["rows"]
    if len(first) != len(rows):
        raise OutputError(
            f"{folder} has another batch, of {len(first)} rows, not {len(rows)}. {_AGAIN}"
        )
    resumed = []
    for row, facts in zip(rows, first, strict=True):
        drawn = row.drawn and facts.get("drawn") is True
        same = replace(row, request=replace(row.request, seed=facts["seed"])) if drawn else row
        asked = json.loads(json.dumps(_facts(same), default=str))
        if asked != facts:
            raise OutputError(
                f"{folder} has another batch: in row {row.number}, {_difference(facts, asked)}."
                f" {_AGAIN}"
            )
        resumed.append(same)
    return tuple(resumed)


def _facts(row: Row) -> dict[str, Any]:
    """All that determines a row's frames, as plain values."""
    alone = replace(row.request, inputs={})
    facts = {"row": row.number, **request_facts(alone), "drawn": row.drawn}
    facts |= {"dtype": row.request.dtype, "truncate": row.request.truncate}
    facts |= {name: one.digest for name, one in row.inputs.items()}
    if row.inputs and row.request.fit != _UNRECORDED["fit"]:
        facts["fit"] = row.request.fit
    if "video" in row.inputs:
        facts |= {"strength": row.request.strength, "start": row.request.start}
    if row.earlier:
        facts |= {"overlap": row.request.overlap, "after": row.after}
    return facts


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference between two rows' facts, or between the options of two batches."""
    before, now = (
        {**facts, **{name: v for name, v in _UNRECORDED.items() if name not in facts}}
        for facts in (before, now)
    )
    name = next(n for n in ("drawn", *before, *now) if before.get(n) != now.get(n))
    one, other = (_shown(name, values.get(name)) for values in (before, now))
    if name in INPUTS and None not in (before.get(name), now.get(name)):
        one, other = (f"SHA-256 {values[name]:.12}…" for values in (before, now))
    if name == "drawn":
        one, other = ("drawn" if v.get(name) else "given" for v in (before, now))
        name = "the seed"
    return f"{name} is {one} there and {other} here"


def _shown(name: str, value: object) -> str:
    if value is None:
        return "the model's own" if name == "dtype" else "missing"
    text = plain_line(repr(value))
    return text if len(text) <= 70 else f"{text[:69]}…"
