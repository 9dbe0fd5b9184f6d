"""The panel's list of models, planned in the background."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from cogmagic import Machine
from cogmagic._models.catalog import MODELS
from cogmagic._notebook.panel.machine.readings import Reading
from cogmagic._notebook.panel.widget import Panel


def surveyed(panel: Panel, until: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The rows of the list after a reading, once `until` is true of them."""
    panel.watch.take(Reading())
    end = time.monotonic() + 300
    while not until(rows := panel.fields.inputs["model"].rows):
        assert time.monotonic() < end, rows
        time.sleep(0.01)
    return list(rows)


def test_every_model_is_a_row_with_what_it_makes_and_whether_it_fits(
    panel_on: Callable[..., Panel],
) -> None:
    panel = panel_on({"now": Machine.of("RTX 3060", ram=64)}, download=21_500_000_000)
    picker = panel.fields.inputs["model"]
    assert [row["value"] for row in picker.rows] == [model.name for model in MODELS]
    assert {row["fits"] for row in picker.rows} == {"checking…"}
    rows = surveyed(panel, lambda rows: all(row["ok"] is not None for row in rows))
    by_name = {row["value"]: row for row in rows}
    assert by_name["tiny"]["about"] == "text to video · 96×96, 2.1 s · comes with cogmagic"
    assert by_name["5b"]["name"] == "CogVideoX-5b"
    assert by_name["5b"]["about"] == "text to video · 720×480, 6.1 s · 21.5 GB download"
    assert by_name["1.5-5b-i2v"]["about"].startswith("picture to video · 1360×768, 5.1 s · ")
    assert by_name["5b"]["ok"]
    assert by_name["5b"]["fits"].startswith("fits, about ")
    assert by_name["5b"]["fits"].endswith(" min")


def test_row_of_a_model_that_does_not_fit_says_what_lacks(panel_on: Callable[..., Panel]) -> None:
    panel = panel_on({"now": Machine.of("RTX 3060", ram=1)})
    rows = surveyed(panel, lambda rows: rows[2]["ok"] is not None)
    assert not rows[2]["ok"]
    assert "GiB of RAM" in rows[2]["fits"]
