"""Tables of prompts: CSV, JSON Lines and text files, DataFrames and lists, as records."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError, first_line
from cogmagic._files import typed_path
from cogmagic._models.request import Request
from cogmagic._video.output_path import check_working_directory

__all__ = ["MOST_ROWS", "SUFFIXES", "Record", "Table", "table_of"]

Record = Mapping[str, Any] | Request
"""A row as it is written: its options by column, or a whole request."""

SUFFIXES = (".csv", ".jsonl", ".txt")

MOST_ROWS = 100_000
"""Most videos of a batch: a larger number is a slip."""

_FORMS = "a file (.csv, .jsonl or .txt), a list of prompts or dicts, or a DataFrame"

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""First bytes of a file → its encoding."""


@dataclass(frozen=True)
class Table:
    """The rows of one source."""

    name: str
    """The file, for messages; empty for a variable."""
    records: list[Record]
    as_text: bool = False
    """Whether the values are text, as in CSV."""


def table_of(source: object) -> Table:
    """The table of a source.

    Args:
        source: a path that ends in one of `SUFFIXES`; an iterable of prompts, dicts of options and
            requests; or a DataFrame.

    Raises:
        RequestError: for anything else, and for a file that cannot be read.
    """
    if isinstance(source, str | Path):
        return _of_file(str(source))
    rows = islice(_values(source), MOST_ROWS + 1)  # an iterable may be endless
    return Table("", [_record(row, f"Row {i}") for i, row in enumerate(rows, 1)])


def _values(source: Any) -> Iterable[Any]:
    """The rows of a DataFrame of pandas or polars, of an array, or of any other iterable."""
    if isinstance(source, Mapping | Request | bytes) or not isinstance(source, Iterable):
        raise RequestError(
            f"The prompts are of type {type(source).__name__}, but must be {_FORMS}."
        )
    if hasattr(source, "to_dicts"):  # polars
        return list(source.to_dicts())
    if hasattr(source, "columns") and hasattr(source, "to_dict"):  # pandas
        repeated = sorted({str(c) for c in source.columns if list(source.columns).count(c) > 1})
        if repeated:
            raise RequestError(f"The DataFrame has the column {repeated[0]!r} twice. Rename one.")
        return list(source.to_dict("records"))
    if hasattr(source, "tolist"):  # numpy; an array of no dimension has one value
        values = source.tolist()
        return values if isinstance(values, list) else [values]
    return source


def _record(row: Any, where: str) -> Record:
    if isinstance(row, str):
        return {"prompt": row}
    if isinstance(row, Mapping | Request):
        return row
    raise RequestError(
        f"{where} is of type {type(row).__name__}, but must be a prompt or a dict of options."
    )


def _of_file(name: str) -> Table:
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise RequestError(
            f"--prompts {name[:100]} is neither a variable nor a file that ends in"
            f" {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}. Give {_FORMS}."
        )
    text = _text(name)
    if suffix == ".txt":
        lines = (line.strip() for line in re.split(r"\r\n?|\n", text))
        return Table(name, [{"prompt": line} for line in lines if line])
    if suffix == ".csv":
        return Table(name, _csv(text, name), as_text=True)
    return Table(name, _jsonl(text, name))


def _text(name: str) -> str:
    try:
        data = typed_path(name).read_bytes()
    except FileNotFoundError:
        check_working_directory()
        raise RequestError(
            f"--prompts {name[:100]}: no such file. The working directory is {Path.cwd()}."
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # a folder, no permission; ~nobody; a NUL
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"--prompts {name[:100]!r} cannot be read ({reason}).") from None
    encoding = next((e for mark, e in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise RequestError(
            f"--prompts {name} is not {encoding.upper()} (line {line}, byte"
            f" 0x{data[error.start]:02x}). Save it as UTF-8."
        ) from None


def _csv(text: str, name: str) -> list[Record]:
    """The rows of a CSV file; its separator is the comma, the semicolon or the tab.

    An empty cell leaves the option out.
    """
    header = text[: text.find("\n") if "\n" in text else len(text)]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[Record] = []
    try:
        lines = (cells for cells in reader if any(cell.strip() for cell in cells))
        columns = [column.strip() for column in next(lines, [])]
        repeated = next((c for c in columns if c and columns.count(c) > 1), None)
        if repeated:
            raise RequestError(f"{name} has the column {repeated!r} twice. Rename one.")
        for number, cells in enumerate(lines, 1):
            if len(cells) > len(columns):
                raise RequestError(
                    f"{name}: row {number} has {len(cells)} cells, but the first line names"
                    f" {len(columns)} column{'s' * (len(columns) != 1)}. Put a prompt with"
                    f' {_SEPARATORS[separator]} in double quotes: "…".'
                )
            rows.append({c: cell for c, cell in zip(columns, cells, strict=False) if cell.strip()})
    except csv.Error as error:
        raise RequestError(
            f"{name}: row {len(rows) + 1} (up to line {reader.line_num}) is not valid CSV"
            f' ({error}). Close each quote, and double one inside quotes: "".'
        ) from None
    return rows


_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def _jsonl(text: str, name: str) -> list[Record]:
    rows: list[Record] = []
    for line, content in enumerate(text.split("\n"), 1):  # JSON may contain other line ends
        if not content.strip():
            continue
        where = f"{name}: row {len(rows) + 1} (line {line})"
        try:
            value = json.loads(content, object_pairs_hook=partial(_once, where=where))
        except (ValueError, RecursionError) as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError(
                f"{where} is not valid JSON ({first_line(error)}). Write one object a line:"
                ' {"prompt": "…", "seed": 7}'
            ) from None
        rows.append(_record(value, where))
    return rows


def _once(pairs: list[tuple[str, Any]], *, where: str) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise RequestError(f"{where} has {repeated!r} twice. Leave out one.")
    return values
