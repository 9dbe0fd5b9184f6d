"""Plans corrected by past runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cogmagic import Machine
from tests.helpers.past_runs import RUN
from tests.helpers.plans import five, plan, ran


def test_past_runs_correct_the_next_prediction() -> None:
    machine = Machine.of("RTX 4090")
    before = plan(five(), machine)
    assert before.step_seconds is not None
    assert before.peak_allocated is not None
    run = replace(
        RUN,
        card="RTX 4090",
        versions="",
        predicted_allocated=before.peak_allocated,
        measured_allocated=round(before.peak_allocated * 1.1),
        predicted_step=before.step_seconds,
        measured_step=before.step_seconds / 2,
    )
    once, often = (plan(five(), replace(machine, past=(run,) * n)) for n in (1, 9))
    assert often.step_seconds == pytest.approx(before.step_seconds / 2, rel=0.03)
    assert often.peak_allocated == pytest.approx(before.peak_allocated * 1.1, rel=0.03)
    assert once.step_seconds is not None
    assert once.peak_allocated is not None
    assert often.step_seconds < once.step_seconds < before.step_seconds * 0.95
    assert once.peak_allocated > before.peak_allocated * 1.03
    here = replace(machine, driver="580.95.05", versions="torch 2.13.0, diffusers 0.42.1")
    for foreign in (
        replace(run, card="T4"),
        replace(run, driver="570.1"),
        replace(run, versions="torch 2.11.0"),
        replace(run, versions="predictions 1.0"),
    ):
        other = plan(five(), replace(here, past=(foreign,) * 9))
        assert other.step_seconds == before.step_seconds


def test_a_slow_card_does_not_make_untried_tiers_look_fast() -> None:
    machine = Machine.of("RTX 4090")
    before = plan(five(), machine)
    for count in range(1, 10):
        after = plan(five(), replace(machine, past=(ran(before, 1.4),) * count))
        assert after.tier == before.tier
    assert after.step_seconds == pytest.approx(1.4 * (before.step_seconds or 0), rel=0.03)
    # What is read from disk takes as long as ever.
    gained = (after.seconds or 0) - (before.seconds or 0)
    assert gained == pytest.approx(50 * ((after.step_seconds or 0) - (before.step_seconds or 0)))


def test_runs_of_a_toy_do_not_correct_real_models() -> None:
    machine = Machine.of("RTX 4090")
    before = plan(five(), machine)
    toy = ran(before, 100, model="tiny", predicted_step=4e-5, measured_step=4e-3, tier="none")
    after = plan(five(), replace(machine, past=(toy,) * 9))
    assert after.candidates == before.candidates


def test_datasheet_predictions_do_not_correct_probed_ones() -> None:
    machine = Machine.of("RTX 4090")
    before = plan(five(), machine)
    assert machine.rates is not None
    past = (ran(before, 2, rates=machine.rates.source),) * 9
    assert plan(five(), replace(machine, past=past)).step_seconds != before.step_seconds
    probed = replace(machine, rates=replace(machine.rates, source="probe"), past=past)
    assert plan(five(), probed).step_seconds == before.step_seconds
