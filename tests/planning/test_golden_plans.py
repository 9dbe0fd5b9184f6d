"""The planner's figures for three hundred random requests and machines, as they were stored.

Who means to change predictions stores the new ones and shows the list of changed fields:
``python -m tests.planning.golden_plans --write``.
"""

from __future__ import annotations

from tests.planning.golden_plans import COUNT, cases, differences, figures, stored


def test_plans_have_the_stored_figures() -> None:
    rows = stored()
    assert len(rows) == COUNT
    changed = [
        f"{number} {line}"
        for number, (case, row) in enumerate(zip(cases(), rows, strict=True))
        for line in differences(row, {"case": case, "plan": figures(case)})
    ]
    assert not changed, "\n".join(changed[:20])


def test_stored_cases_cover_every_tier_and_outcome() -> None:
    plans = [row["plan"] for row in stored()]
    chosen = {plan.get("tier") for plan in plans}
    assert {"none", "model", "stream", "staged", "sequential", "balanced"} <= chosen
    assert {plan.get("fits") for plan in plans} == {True, False, None}
    assert {plan.get("error") for plan in plans} >= {"RequestError", "TierError"}
    for lack in (0, 1):  # VRAM and RAM
        assert any(c["lacks"][lack] for plan in plans for c in plan.get("candidates", {}).values())
