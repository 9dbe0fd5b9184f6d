"""A plan and its candidates."""

from __future__ import annotations

import json

import cogmagic
from cogmagic import Machine
from cogmagic._planning.plan_json import as_json


def test_candidates_have_the_figures_of_the_plan() -> None:
    found = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060"))
    amounts = ("peak_vram", "peak_allocated", "peak_ram", "seconds", "step_seconds", "fits")
    assert found.chosen is not None
    for name in amounts:
        assert getattr(found.chosen, name) == getattr(found, name) is not None
    assert found.chosen.reason == "fits"
    reasons = {c.tier: c.reason for c in found.candidates}
    assert reasons["none"].startswith("lacks ")
    assert reasons["none"].endswith(" GiB of VRAM")
    data = json.loads(as_json(found))["candidates"]
    assert [c["reason"] for c in data] == list(reasons.values())


def test_table_labels_what_would_make_it_faster_or_fit() -> None:
    fits = cogmagic.plan(model="5b", machine=Machine.of("RTX 4090"))
    assert "\nfaster   with 1.51 GiB more VRAM: no offload\n" in str(fits)
    too_small = cogmagic.plan(model="5b", machine=Machine.of(vram=4))
    assert not too_small.fits
    for change in too_small.changes:
        assert f"\nhelps    {change}\n" in str(too_small)
