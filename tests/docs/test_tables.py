"""Tables of the pages that come from the code."""

from __future__ import annotations

import importlib.util
import re
import sys
from types import ModuleType

import cogmagic
from tests.helpers.benchmarks import ROOT


def site_module(name: str, folder: str = "site") -> ModuleType:
    """A module of docs/site, or of another folder of docs, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their types
    spec.loader.exec_module(module)
    return module


def test_tables_of_cards_are_those_of_the_planner() -> None:
    cards = site_module("card_table")
    table = cards.card_table()
    for path in cards.PAGES:
        page = path.read_text(encoding="utf-8")
        shown = page.split(cards.BEGIN)[1].split(cards.END)[0].strip()
        assert shown == table.strip(), f"{path.name}: run python docs/site/card_table.py"


def test_table_of_tiers_in_the_readme_is_that_of_the_planner() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    plan = cogmagic.plan(model="5b", machine=cogmagic.Machine.of("RTX 4090", ram=64))
    compared = 0
    for candidate in plan.candidates:
        row = re.search(rf"^\| `{candidate.tier}` \|.*$", text, re.MULTILINE)
        assert row, candidate.tier
        needs = row[0].split(" | ")[2]
        if candidate.tier == "stream":  # at most, if all blocks stay
            needs = needs.partition(" to ")[2]
        assert needs == f"{candidate.peak_vram / 2**30:.1f} GiB", candidate.tier
        compared += 1
    assert compared >= 5
