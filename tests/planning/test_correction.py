"""Statistics over past runs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic import Machine
from cogmagic._machine.history import PastRun
from cogmagic._planning.correction import Correction, Situation, memory_correction, speed_correction
from tests.helpers.past_runs import RUN
from tests.helpers.plans import five, plan, ran


def runs(*ratios: float) -> list[PastRun]:
    return [replace(RUN, predicted_step=1.0, measured_step=r) for r in ratios]


HERE = Situation("Card", "5b", "model", "bfloat16", "720x480", 49, "torch 2.11.0", "580.95")


def memory(*ratios: float, **changes: object) -> list[PastRun]:
    """Runs that took so many times the predicted memory."""
    base = replace(RUN, **changes)  # type: ignore[arg-type]
    return [replace(base, predicted_allocated=10**6, measured_allocated=r * 10**6) for r in ratios]


def test_more_agreeing_runs_have_more_weight() -> None:
    factors = [memory_correction(memory(*[1.1] * n), HERE).factor for n in (0, 1, 2, 3, 8)]
    assert factors == pytest.approx([1, 1.1 ** (1 / 3), 1.1**0.5, 1.1**0.6, 1.1**0.8])
    far = [speed_correction(runs(*[3] * n), HERE).factor for n in (1, 2, 3, 9)]
    assert far == pytest.approx([1.065, math.sqrt(3), 2.76, 2.92], abs=0.01)
    assert speed_correction(runs(3, 3, 3), HERE).runs == 3
    assert memory_correction(memory(*[0.5] * 9), HERE).factor == 0.95
    assert memory_correction(memory(*[9.0] * 9), HERE).factor == 2.0
    assert speed_correction(runs(*[0.001] * 9), HERE).factor == pytest.approx(0.1)


def test_nearest_runs_count_most() -> None:
    kinds = ({}, {"tier": "none"}, {"num_frames": 9}, {"size": "640x384"}, {"model": "2b"})
    once = [memory_correction(memory(1.1, **kind), HERE).factor for kind in kinds]
    assert once == pytest.approx([1.1 ** (1 / 3), *[1.1 ** (1 / 5)] * 3, 1.1 ** (1 / 9)])
    near, far = memory(*[1.1] * 9), memory(*[1.5] * 9, model="2b")
    assert memory_correction([*near, *far], HERE) == memory_correction(near, HERE)
    assert memory_correction(far, HERE).factor > 1.2  # better than nothing


@pytest.mark.parametrize(
    "changes", [{"card": "Other"}, {"driver": "570.1"}, {"versions": "torch 2.12.0"}]
)
def test_runs_of_another_card_or_other_software_are_ignored(changes: dict[str, str]) -> None:
    assert memory_correction(memory(*[1.5] * 9, **changes), HERE) == Correction(1.0, 0)
    unsaid = memory(*[1.5] * 9, versions="", driver="")
    assert memory_correction(unsaid, HERE).runs == 9


def short(limit: float) -> PastRun:
    return replace(
        RUN,
        predicted_allocated=10**6,
        measured_allocated=None,
        measured_step=None,
        limit=round(limit * 10**6),
        out_of_memory=True,
    )


def test_out_of_memory_counts_at_once_and_fades() -> None:
    assert memory_correction([short(1.4)], HERE) == Correction(pytest.approx(1.4), 1)
    assert memory_correction([short(0.8)], HERE) == Correction(1.0, 0)  # as was to be expected
    assert memory_correction([short(1.2), short(1.4), short(1.1)], HERE).factor == (
        pytest.approx(1.4)
    )
    faded = [memory_correction([short(1.44), *memory(*[1.0] * n)], HERE).factor for n in (1, 2, 9)]
    assert faded == pytest.approx([1.2, 1.2**0.5, 1.0], abs=0.01)
    elsewhere = memory(*[1.0] * 9, tier="sequential")
    assert memory_correction([short(1.44), *elsewhere], HERE).factor < 1.06
    assert speed_correction([short(1.4)], HERE) == Correction(1.0, 0)
    assert memory_correction([replace(short(1.4), tier="none")], HERE) == Correction(1.0, 0)
    assert memory_correction([replace(short(1.4), num_frames=9)], HERE).factor == pytest.approx(1.4)


RATIOS = st.floats(0.001, 1000)

KINDS = st.sampled_from([{}, {"tier": "none"}, {"model": "2b"}])

RUNS = st.lists(st.tuples(RATIOS, KINDS), max_size=14).map(
    lambda pairs: [replace(runs(r)[0], **kind) for r, kind in pairs]  # type: ignore[arg-type]
)


@given(st.lists(st.tuples(st.floats(0.8, 1.25), KINDS), max_size=14), RATIOS, st.integers(0, 14))
def test_one_outlier_moves_the_factor_no_further_than_the_others(
    pairs: list[tuple[float, dict[str, str]]], odd: float, where: int
) -> None:
    past = [replace(runs(r)[0], **kind) for r, kind in pairs]  # type: ignore[arg-type]
    past.insert(where, *runs(odd))
    for situation in (HERE, replace(HERE, tier="")):
        assert 0.8 - 1e-9 <= speed_correction(past, situation).factor <= 1.25 + 1e-9


@given(RUNS, st.integers(0, 13), st.floats(1, 100))
def test_slower_run_never_makes_the_prediction_faster(
    past: list[PastRun], which: int, times: float
) -> None:
    slower = [
        replace(p, measured_step=p.measured_step and p.measured_step * times) if n == which else p
        for n, p in enumerate(past)
    ]
    before, after = speed_correction(past, HERE), speed_correction(slower, HERE)
    assert before.factor <= after.factor * (1 + 1e-9)
    assert 0.1 <= before.factor <= 10


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-5, 10**400) | st.floats(),
            st.none() | st.integers(-5, 10**400) | st.floats(),
            st.booleans(),
            st.floats(),
        )
    )
)
def test_corrections_survive_any_figures(
    figures: list[tuple[float | None, float | None, bool, float]],
) -> None:
    past = [
        replace(
            RUN,
            when=when,
            predicted_allocated=p,  # type: ignore[arg-type]
            measured_allocated=m,  # type: ignore[arg-type]
            predicted_step=p,
            measured_step=m,
            out_of_memory=out,
        )
        for p, m, out, when in figures
    ]
    assert 0.95 <= memory_correction(past, HERE).factor <= 2
    assert 0.1 <= speed_correction(past, HERE).factor <= 10


def test_runs_of_another_model_count_from_a_substantial_step_on() -> None:
    (run,) = memory(1.5, model="2b")
    for step, count in ((None, 0), (0.04, 0), (0.05, 1)):
        assert memory_correction([replace(run, predicted_step=step)], HERE).runs == count


def test_memory_is_learned_whatever_the_source_of_the_rates() -> None:
    probed = memory(1.1, rates="probe")
    assert memory_correction(probed, HERE).runs == 1
    assert speed_correction(runs(3), replace(HERE, rates="datasheet")).runs == 1
    datasheet = replace(HERE, rates="datasheet")
    assert speed_correction([replace(runs(3)[0], rates="probe")], datasheet).runs == 0


def test_run_in_the_same_dtype_counts_more_in_the_next_plan() -> None:
    machine = Machine.of("RTX 4090")
    fresh = plan(five(), machine)
    assert fresh.step_seconds is not None
    slower = [
        plan(five(), replace(machine, past=(ran(fresh, 1.2, dtype=dtype),))).step_seconds
        for dtype in ("bfloat16", "float16")
    ]
    assert slower[0] > slower[1] > fresh.step_seconds
