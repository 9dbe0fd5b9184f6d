"""The rows of a batch: each row of a table, times the seeds, as checked requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cogmagic._api.batch.columns import column_name, plain_value, seed_list, text_value
from cogmagic._api.batch.tables import MOST_ROWS, Table, table_of
from cogmagic._errors import RequestError
from cogmagic._models.adapters.adapter import as_adapters
from cogmagic._models.aliases import full_names
from cogmagic._models.batch_row import Row, StoredInput
from cogmagic._models.clips.lengths import times_to_end
from cogmagic._models.find import find_model
from cogmagic._models.inputs import ANY_INPUT, INPUTS
from cogmagic._models.model import Model
from cogmagic._models.presets_file import find_preset
from cogmagic._models.request import Request, known_options
from cogmagic._models.rules import seed_or_random
from cogmagic._planning.memory_options import MemoryOptions, memory_options

__all__ = ["BATCH_OPTIONS", "BatchSource", "rows_of", "source_of"]

_RULED_BY = ("extend", "video", "mask")
"""The inputs on which rules of other options depend, such as the number of frames."""

BATCH_OPTIONS = ("prompts", "seeds", "num_videos")
"""The options that make a batch."""


@dataclass(frozen=True)
class BatchSource:
    """What a batch is made from."""

    prompts: object = None
    """A table, as `table_of` takes it; None for one row with `prompt`."""
    prompt: str = ""
    """The prompt of rows that have none of their own."""
    model: str | Model | None = None
    """The model of all rows; None for that of the requests in the table."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """A request's options, for the rows that do not set them."""
    seeds: object = None
    """The seeds of each row, as `seed_list` takes them."""
    num_videos: int | None = None
    """Videos of each row, their seeds counted up from the row's."""


def source_of(options: Mapping[str, Any]) -> tuple[BatchSource, MemoryOptions]:
    """The source of a batch and its memory options, from all options by their Python names."""
    rest = dict(options)
    memory = MemoryOptions.of(**memory_options(rest))
    fields = {name: rest.pop(name, None) for name in (*BATCH_OPTIONS, "model")}
    return BatchSource(**fields, prompt=rest.pop("prompt", ""), options=rest), memory


def rows_of(source: BatchSource) -> tuple[Row, ...]:
    """The rows of a batch, in order: each row of the table, times the seeds.

    Raises:
        RequestError: for the first wrong row, with its number in the table.
    """
    table = Table("", [{}]) if source.prompts is None else table_of(source.prompts)
    seeds, count = _multiplied(source, len(table.records))
    builder, rows = _Builder.of(source, table), list[Row]()
    for number, record in enumerate(table.records, 1):
        try:
            first = builder.row(record)
            each = _each(first.request, seeds, count)
        except RequestError as error:
            if source.prompts is None:
                raise
            where = f"{table.name}, row {number}" if table.name else f"Row {number}"
            raise RequestError(f"{where}: {error}") from None
        start = len(rows) + 1
        rows += [replace(first, number=n, request=r) for n, r in enumerate(each, start)]
    if source.options.get("extend") is not None:
        rows = _chained(rows, len(rows) // len(table.records))
    if source.prompts is not None and source.prompt.strip() and not builder.default_used:
        several = len(table.records) > 1
        own = f"All {len(table.records)} rows have prompts of their own"
        raise RequestError(
            f"{own if several else 'The row has its own prompt'}, so this one would not be used:"
            f" {source.prompt.strip()[:70]!r}. Delete it."
        )
    return tuple(rows)


def _chained(rows: Sequence[Row], step: int) -> list[Row]:
    """The rows of which the first `step` extend a clip, and each other the one `step` before.

    Raises:
        RequestError: for rows of several sizes or frame rates.
    """
    first, chained = rows[0], list[Row]()
    same = first.request.size, first.request.fps
    clip = first.complete().extend
    count = len(times_to_end(clip, first.request.fps)) if clip else 0
    for row in rows:
        if (row.request.size, row.request.fps) != same:
            raise RequestError(
                f"Row {row.number} has another size or frame rate than row 1, whose video it"
                f" continues. Give all rows --size {same[0]} and --fps {same[1]}."
            )
        after = max(row.number - step, 0)
        earlier = chained[after - 1].num_frames if after else count
        chained.append(replace(row, after=after, earlier=earlier))
    return chained


def _multiplied(source: BatchSource, records: int) -> tuple[tuple[int, ...], int]:
    """The seeds of each row, or none, and the number of its videos."""
    if not records:
        raise RequestError("The table of prompts has no rows. Add one, such as: a red circle")
    count, seeds = plain_value(source.num_videos, "num_videos"), tuple[int, ...]()
    if source.seeds is not None:
        if count is not None:
            raise RequestError(
                "--seeds lists the seed of each video, and --num-videos counts them up from the"
                " first. Leave out one of them."
            )
        if source.options.get("seed") is not None:
            raise RequestError("--seeds replaces --seed. Leave out --seed.")
        seeds = seed_list(source.seeds)
        count = len(seeds)
    if count is None:
        count = 1
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise RequestError(f"--num-videos {count!r:.40} is not a whole number from 1.")
    if records * count > MOST_ROWS:
        number = f"{records * count:,}" if records <= MOST_ROWS else "more"
        raise RequestError(
            f"A batch may have at most {MOST_ROWS:,} videos, but this one would have {number}."
            " Make several batches."
        )
    return seeds, count


def _each(first: Request, seeds: tuple[int, ...], count: int) -> list[Request]:
    """The requests of a row's videos, which differ in their seeds."""
    if seeds:
        return [replace(first, seed=seed) for seed in seeds]
    seed_or_random(first.seed + count - 1)  # the last one is in range
    return [replace(first, seed=first.seed + i) for i in range(count)]


@dataclass
class _Builder:
    """Makes the rows of one table."""

    source: BatchSource
    model: Model
    options: dict[str, Any]
    """The options for all rows, by their full names."""
    as_text: bool
    """Whether the values are text, as in CSV."""
    default_used: bool = False
    """Whether a row had no prompt of its own."""
    weights: object = None
    """The dtype and the adapters of the first row."""
    inputs: dict[object, StoredInput] = field(default_factory=dict)
    """The inputs that were read before, by path or identity: rows often share one."""

    @classmethod
    def of(cls, source: BatchSource, table: Table) -> _Builder:
        first = table.records[0]
        named = source.model if source.model is not None else "tiny"
        if isinstance(first, Request) and source.model is None:
            named = first.model
        model = named if isinstance(named, Model) else find_model(named)
        options = known_options(source.options)
        if options.get("preset"):
            options["preset"] = find_preset(options["preset"]).with_adapters()
        if options.get("lora") is not None:
            options["lora"] = as_adapters(options["lora"])  # files are read once, not once a row
        return cls(source, model, options, table.as_text)

    def row(self, record: Mapping[str, Any] | Request) -> Row:
        """The row of one record, with the number 1."""
        row = self._of_request(record) if isinstance(record, Request) else self._of_dict(record)
        if self.source.seeds is None:
            return row
        if not row.drawn:
            raise RequestError("The row has a seed of its own. Leave out that seed, or --seeds.")
        return replace(row, drawn=False)

    def _of_request(self, request: Request) -> Row:
        if self.options:
            raise RequestError(
                f"The Request has its own {next(iter(self.options))}. Pass no options beside it."
            )
        if request.extend is not None:
            raise RequestError(
                "The Request has a clip to extend. In a batch, it is one for all rows:"
                " cogmagic.generate_many(prompts, extend=...)."
            )
        if request.model != self.model:
            raise RequestError(
                f"The Request is for {request.model.name}, but the batch is for {self.model.name}."
                " Make one batch for each model."
            )
        checked = request.checked()
        inputs = {name: self._input(name, one) for name, one in checked.inputs.items()}
        return self._row(checked, inputs, drawn=False)

    def _of_dict(self, record: Mapping[str, Any]) -> Row:
        values = {}
        for column, value in record.items():
            name = column_name(column, in_csv=self.as_text)
            plain = text_value(name, value) if self.as_text else plain_value(value, name)
            if plain is not None:
                if name in values:
                    raise RequestError(f"{name!r} is given twice. Leave out one.")
                values[name] = plain
        prompt = values.pop("prompt", "")
        if isinstance(prompt, str) and not prompt.strip():
            self.default_used, prompt = True, self.source.prompt
        options = self.options | full_names(values)
        given = {name: options[name] for name in INPUTS if options.get(name) is not None}
        given = {name: one for name, one in given.items() if one is not ANY_INPUT}
        options |= dict.fromkeys(given, ANY_INPUT)
        ruling = {name: one for name, one in given.items() if name in _RULED_BY}
        options |= {name: self._input(name, one).value for name, one in ruling.items()}
        request = Request.of(prompt, self.model, **options)
        inputs = {name: self._input(name, one) for name, one in given.items()}
        return self._row(request, inputs, drawn=options.get("seed") is None)

    def _row(self, request: Request, inputs: dict[str, StoredInput], *, drawn: bool) -> Row:
        weights = request.dtype, request.loras, request.from_preset
        if self.weights is None:
            self.weights = weights
        if weights != self.weights:
            raise RequestError(
                "dtype, lora and preset hold for the whole batch, but differ from the first row's."
                " Make one batch for each."
            )
        request = replace(request, inputs=dict.fromkeys(inputs, ANY_INPUT))
        return Row(1, request, drawn, inputs)

    def _input(self, name: str, given: Any) -> StoredInput:
        key = given if isinstance(given, str) else id(given)
        if key not in self.inputs:
            self.inputs[key] = StoredInput.of(name, given)
        return self.inputs[key]
