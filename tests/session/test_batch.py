"""A batch: its rows equal single runs, are placed once, and survive failures and interrupts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import BatchError, BusyError, Cancelled, OutputError, Progress, RequestError, Video
from cogmagic._api.batch.rows import rows_of, source_of
from cogmagic._pipeline import encode as encode_module
from cogmagic._session import run as run_module
from cogmagic._session.batch_times import BatchTimes
from cogmagic._session.session import Session
from tests.helpers.toy import inputs_for

SMALL: dict[str, Any] = {"size": "48x32", "frames": 9, "steps": 1}
ROWS = [
    {"prompt": "a red circle", "seed": 1},
    {"prompt": "a blue square", "seed": 2, "negative_prompt": "red", "guidance_scale": 4},
    {"prompt": "a red circle", "seed": 3, "frames": 17},
]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened: texts encoded, tiers in which the pipeline was placed, and "off"."""
    events: list[str] = []
    placed, encode = run_module.placed, encode_module._encode_text

    class Watched:
        def __init__(self, pipe: Any, tier: Any, placement: Any) -> None:
            self.name = f"{tier.name}{' with text' if placement.encodes else ''}"
            self.context = placed(pipe, tier, placement)

        def __enter__(self) -> None:
            events.append(self.name)
            self.context.__enter__()

        def __exit__(self, *error: Any) -> bool | None:
            events.append("off")
            return self.context.__exit__(*error)

    def encoded(pipe: Any, text: str, *args: Any) -> Any:
        events.append(f"encode {text!r}")
        return encode(pipe, text, *args)

    monkeypatch.setattr(run_module, "placed", Watched)
    monkeypatch.setattr(encode_module, "_encode_text", encoded)
    return events


def many(toy: Path, rows: Any = ROWS, **options: Any) -> Iterator[Video]:
    return cogmagic.generate_many(
        rows,
        model=str(toy),
        **{"save": "out", "progress": False} | SMALL | inputs_for(toy) | options,
    )


def digests(videos: Any) -> list[str]:
    return [video.report.frames_sha256 for video in videos]


def finished(folder: Path) -> list[int]:
    entries = map(json.loads, (folder / "finished.jsonl").read_bytes().splitlines())
    return [entry["row"] for entry in entries if "file" in entry]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tier"),
    [
        *(("t2v", tier) for tier in ("none", "model", "stream", "staged", "sequential")),
        ("inp", "stream"),
    ],
)
def test_rows_equal_single_runs_and_are_placed_once(
    toy_of: dict[str, Path], cwd: Path, session: Session, watched: list[str], kind: str, tier: str
) -> None:
    toy = toy_of[kind]
    made = digests(many(toy, tier=tier))
    assert watched == [
        f"{tier} with text", "encode 'a red circle'", "encode ''", "encode 'a blue square'",
        "encode 'red'", "off", tier, "off",
    ]  # fmt: skip
    assert session.slot.hot.key is None
    options = {"model": str(toy), "tier": tier, **SMALL, **inputs_for(toy)}
    alone = [cogmagic.generate(**options | row) for row in ROWS]
    assert made == digests(alone)
    names = [f"000{n}-{n}.mp4" for n in (1, 2, 3)]
    others = ["batch.json", "contact-sheet.png", "finished.jsonl"]
    assert sorted(p.name for p in Path("out").iterdir()) == sorted(names + others)


def test_cached_texts_are_not_encoded_again(
    toy: Path, cwd: Path, session: Session, watched: list[str]
) -> None:
    first = digests(many(toy))
    watched.clear()
    assert digests(many(toy, save="again")) == first
    assert watched == ["none", "off"]


def test_texts_that_the_cache_cannot_hold_are_not_written(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._pipeline.prompt_cache import PromptCache
    from cogmagic._session import batch_texts

    PromptCache.clear()
    monkeypatch.setattr(batch_texts, "MAX_BYTES", 1)
    list(many(toy))
    assert PromptCache.clear() == 0


def test_texts_are_encoded_in_chunks(
    toy: Path, cwd: Path, session: Session, watched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._session import batch_texts

    prompts = [f"prompt {n}" for n in range(3)]
    whole = digests(many(toy, prompts, seeds=[1, 2], guidance_scale=1))
    cogmagic.release(prompts=True)
    watched.clear()
    request = cogmagic.Request.of("a", str(toy))
    nbytes = batch_texts.text_bytes(request, "float32", toy)
    monkeypatch.setattr(batch_texts, "MOST_BYTES", 2 * nbytes)
    chunked = many(toy, prompts, seeds=[1, 2], guidance_scale=1, save="chunks")
    held = []
    for number, video in enumerate(chunked):
        held.append(session.slot.embeddings)
        assert video.report.frames_sha256 == whole[number]
    assert held == [2 * nbytes] * 4 + [nbytes] * 2
    assert [e for e in watched if "encode" in e] == [f"encode {p!r}" for p in prompts]
    assert watched.count("none with text") == watched.count("none") == 2
    assert session.slot.embeddings == 0


@pytest.mark.parametrize("keep", ["hot", "warm", "cold"])
def test_weights_are_kept_as_chosen_after_the_last_row(
    toy: Path, cwd: Path, session: Session, keep: str
) -> None:
    with closing(many(toy, keep=keep)) as videos:  # type: ignore[type-var]
        next(videos)
        assert session.slot.hot.key is not None
    assert (session.slot.hot.key is not None) == (keep == "hot")
    assert (session.loaded is not None) == (keep != "cold")


@pytest.mark.parametrize("phase", ["encode", "denoise"])
def test_cold_weights_are_dropped_after_an_interrupt(
    toy: Path, cwd: Path, session: Session, phase: str
) -> None:
    def stop(progress: Progress) -> None:
        if progress.phase == phase:
            raise KeyboardInterrupt

    with pytest.raises(Cancelled, match="0 of 3 videos are finished"):
        list(many(toy, keep="cold", on_progress=stop))
    assert session.loaded is None


def test_failed_row_does_not_stop_the_rest(toy: Path, cwd: Path, session: Session) -> None:
    def fail(progress: Progress) -> None:
        if progress.row == 2 and progress.phase == "denoise":
            raise ValueError("no such colour\nsecond line")

    made: list[Video] = []
    with pytest.raises(BatchError) as error:
        made.extend(many(toy, on_progress=fail))
    assert [v.seed for v in made] == [1, 3]
    assert error.value.failed == {2: "ValueError: no such colour"}
    assert str(error.value) == (
        "1 of 3 rows failed (row 2: ValueError: no such colour). Run the same rows with"
        f' save="{cwd / "out"}" to try them again.'
    )
    assert finished(Path("out")) == [1, 3]
    assert session.slot.hot.key is None
    again = list(many(toy))
    assert [v.seed for v in again] == [1, 2, 3]
    assert finished(Path("out")) == [1, 3, 2]


@pytest.mark.parametrize(
    ("kind", "stop", "phase"),
    [
        ("t2v", KeyboardInterrupt, "denoise"),
        ("inp", KeyboardInterrupt, "encode video"),
        ("void", "cancel", "encode video"),
    ],
)
def test_interrupt_ends_the_batch_and_the_same_command_resumes(
    toy_of: dict[str, Path], cwd: Path, session: Session, kind: str, stop: Any, phase: str
) -> None:
    toy = toy_of[kind]

    def fail(progress: Progress) -> None:
        if progress.row == 2 and progress.phase == phase:
            if stop == "cancel":
                assert cogmagic.cancel().startswith("Stopping")
            else:
                raise stop

    made: list[Video] = []
    with pytest.raises(Cancelled) as error:
        made.extend(many(toy, on_progress=fail))
    assert "1 of 3 videos are finished. Run the same rows with save=" in str(error.value)
    assert len(made) == 1
    assert session.slot.hot.key is None
    rows = list(many(toy))
    assert digests(rows)[0] == digests(made)[0]
    assert finished(Path("out")) == [1, 2, 3]


def test_cancel_between_two_rows_ends_the_batch(toy: Path, cwd: Path, session: Session) -> None:
    videos = many(toy)
    next(videos)
    cogmagic.cancel()
    with pytest.raises(Cancelled, match="1 of 3 videos are finished"):
        next(videos)


def test_memory_that_runs_out_lowers_the_tier_for_the_rest(
    toy: Path, cwd: Path, session: Session, watched: list[str]
) -> None:
    failed = []

    def fail(progress: Progress) -> None:
        if progress.row == 2 and progress.phase == "denoise" and not failed:
            failed.append(progress)
            raise MemoryError

    made = list(many(toy, on_progress=fail))
    assert [v.report.tier for v in made] == ["none", "staged", "staged"]
    assert watched[watched.index("none") :] == ["none", "off", "staged", "off"]
    assert "host memory ran out" in made[1].report.reason
    assert "ran out" not in made[2].report.reason


def test_full_disk_ends_the_batch(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._session import save

    def refused(*_: Any) -> None:
        raise OutputError("The disk is full.")

    videos = many(toy)
    next(videos)
    with monkeypatch.context() as full:
        full.setattr(save.OutputFile, "commit", refused)
        with pytest.raises(OutputError, match=r"The disk is full.*1 of 3 videos are finished"):
            next(videos)
    assert session.unsaved is not None
    assert len(list(many(toy))) == 3


def test_interrupt_of_the_checks_is_one_line(toy: Path, cwd: Path) -> None:
    def rows() -> Iterator[str]:
        yield "a red circle"
        raise KeyboardInterrupt

    with pytest.raises(Cancelled, match=r"^Stopped before the first row\.$"):
        many(toy, rows())


def test_abandoned_batch_blocks_nothing(toy: Path, cwd: Path, session: Session) -> None:
    videos = many(toy)
    next(videos)
    cogmagic.generate("a red circle", model=str(toy), seed=5, **SMALL)
    assert next(videos).seed == 2
    again = many(toy)  # takes over, as after an error in a loop whose traceback is alive
    assert [v.seed for v in again] == [1, 2, 3]
    with pytest.raises(BusyError, match="was restarted by a later call"):
        next(videos)
    assert cogmagic.release()


def test_run_in_progress_keeps_a_batch_from_starting(
    toy: Path, cwd: Path, session: Session
) -> None:
    errors = []

    def start(progress: Progress) -> None:
        if progress.phase == "denoise" and not errors:
            with pytest.raises(BusyError) as error:
                many(toy)
            errors.append(error.value)

    cogmagic.generate("a red circle", model=str(toy), on_progress=start, **SMALL)
    assert errors
    assert not Path("out").exists()


def test_long_prompt_is_refused_before_anything_is_loaded(
    toy: Path, cwd: Path, session: Session
) -> None:
    rows = ["a red circle", "a red circle " * 200]
    with pytest.raises(RequestError, match=r"^Row 2: The prompt has \d+ tokens"):
        next(many(toy, rows))
    assert session.loaded is None
    assert len(list(many(toy, rows, truncate=True, save="cut"))) == 2


def test_progress_has_the_row_and_the_time_left(toy: Path, cwd: Path, session: Session) -> None:
    seen: list[Progress] = []
    list(many(toy, on_progress=seen.append))
    assert {p.rows for p in seen} == {3}
    assert [p.row for p in seen] == sorted(p.row for p in seen)
    assert {p.row for p in seen} == {1, 2, 3}
    assert all(p.batch_seconds_left is None for p in seen if p.row == 1)
    left = [p.batch_seconds_left for p in seen if p.row > 1]
    assert all(s is not None and s >= 0 for s in left)
    assert [(p.done, p.total) for p in seen if p.phase == "encode"][-1] == (4, 4)


def test_rows_made_at_once_count_with_the_wait_for_the_first() -> None:
    rows = rows_of(source_of({"prompts": ["a red circle"] * 8})[0])
    alone, cluster = BatchTimes(rows), BatchTimes(rows, at_once=True)
    for times in (alone, cluster):
        for row, seconds in zip(rows, (10.0, 0.0, 0.0, 0.0), strict=False):
            times.begin(row)
            times.end(row, seconds)
        times.begin(rows[4])
    assert cluster.left() == pytest.approx(10, abs=1)  # 4 rows at once: 4 more as long again
    assert alone.left() == pytest.approx(0, abs=1)


def test_one_row_may_name_its_file(toy: Path, cwd: Path, session: Session) -> None:
    (video,) = many(toy, ["a red circle"], save="one.mp4")
    assert video.path == cwd / "one.mp4"
    assert [p.name for p in cwd.iterdir()] == ["one.mp4"]
    with pytest.raises(OutputError, match=r"one.mp4 already exists.*overwrite"):
        next(many(toy, ["a red circle"], save="one.mp4"))
    (video,) = many(toy, ["a red circle"], save="one.mp4", overwrite=True, seeds=[9])
    assert (video.path, video.seed) == (cwd / "one.mp4", 9)
    with pytest.raises(OutputError, match=r"must end in .*Did you mean 'one.mp4'"):
        next(many(toy, ["a red circle"], save="one.avi"))
    with pytest.raises(OutputError, match=r'^save="one.mp4" is one file.*: save="one/"$'):
        many(toy, ["a red circle"], seeds="1,2", save="one.mp4")


def test_wrong_options_are_refused_by_the_call(toy: Path, cwd: Path) -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"rows": "a red circle"}, RequestError, "is one text. Give a list of prompts"),
        ({"rows": ["a", "b"], "overwrite": True}, RequestError, "A batch never replaces files"),
        ({"rows": None}, RequestError, "rows is None. Give a list"),
        ({"prompts": ["b"]}, RequestError, "Leave out prompts="),
        ({"save": 5}, OutputError, "save='5' is not a usable path"),
        ({"foo": 1}, RequestError, "Unknown option 'foo'"),
        ({"tier": "fast"}, cogmagic.TierError, "Unknown tier 'fast'"),
    ]
    for options, error, message in wrong:
        with pytest.raises(error, match=message):
            many(toy, **{"rows": ["a"]} | options)
    assert list(cwd.iterdir()) == []
