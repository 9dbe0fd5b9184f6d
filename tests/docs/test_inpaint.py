"""The plans in the page on inpainting are today's."""

from __future__ import annotations

from tests.helpers.benchmarks import ROOT, script


def test_the_table_of_plans_is_that_of_the_planner() -> None:
    page = (ROOT / "docs" / "inpaint.md").read_text(encoding="utf-8")
    assert script("inpaint").table() in page
