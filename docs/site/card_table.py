"""The tables of cards in the README and in first-video.md, from the planner.

python docs/site/card_table.py        # writes both again; a test compares them with the planner
"""

from __future__ import annotations

from pathlib import Path

import cogmagic
from cogmagic._units import seconds

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "docs" / "first-video.md",)
BEGIN, END = "<!-- cards: begin -->\n", "<!-- cards: end -->\n"
CARDS = ("RTX 3050 6GB", "RTX 4060", "RTX 3060", "T4", "RTX 4080", "RTX 3090", "RTX 4090", "L4",
         "RTX 5090", "A100 40GB", "H100 SXM")  # fmt: skip
MODELS = ("2b", "5b", "1.5-5b")
RAM = 32
"""GB of host memory: that of a desktop computer."""


def card_table() -> str:
    """Markdown: a row for each card, a column for each model: the tier and the predicted time."""
    head = ["card", *(f"`{model}`" for model in MODELS)]
    rows = [[card, *(_answer(card, model) for model in MODELS)] for card in CARDS]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _answer(card: str, model: str) -> str:
    try:
        machine = cogmagic.Machine.of(card, ram=RAM)
        plan = cogmagic.plan(model=model, machine=machine)
    except cogmagic.RequestError:
        return "no (no bfloat16)"
    if not plan.fits:
        return "no"
    return f"`{plan.tier}`, {seconds(plan.seconds, least=600 if plan.seconds >= 120 else None)}"


def page_with(text: str, page: str) -> str:
    """A page with another table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    table = card_table()
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        path.write_text(page_with(table, page), encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
