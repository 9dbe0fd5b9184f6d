"""Tables of the pages that come from the code."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from tests.helpers.benchmarks import ROOT


def site_module(name: str) -> ModuleType:
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_of_cards_are_those_of_the_planner() -> None:
    cards = site_module("card_table")
    table = cards.card_table()
    for path in cards.PAGES:
        page = path.read_text(encoding="utf-8")
        shown = page.split(cards.BEGIN)[1].split(cards.END)[0].strip()
        assert shown == table.strip(), f"{path.name}: run python docs/site/card_table.py"
