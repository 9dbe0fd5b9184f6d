"""The panel's recommendation."""

from __future__ import annotations

from dataclasses import replace

import cogmagic
from cogmagic import Machine
from cogmagic._notebook.panel.form.recommendation import recommendation


def test_recommendation_lists_every_tier_and_the_rule() -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060", ram=32))
    html = recommendation(replace(plan, reason="<b>"))
    assert "&lt;b&gt;" in html
    for candidate in plan.candidates:
        assert f'<th scope="row">{candidate.tier}</th>' in html
    assert "The published rule says sequential" in html
    assert "lacks" in html
