"""The panel's three speeds: what each does to the picture, and its predicted seconds."""

from __future__ import annotations

from typing import Any

from cogmagic._notebook.panel.parts.choices import Choices
from cogmagic._planning.plan import Plan
from cogmagic._planning.speeds import SPEEDS

__all__ = ["show_seconds", "speed_picker"]


_ABOUT = {
    "exact": "diffusers' frames, bit for bit",
    "fast": "the same within rounding",
    "faster": "fp8: another picture",
}


def speed_picker() -> Choices:
    """A card with a radio button for each speed."""
    picker = Choices(kind="speeds", description="Speed", value="exact")
    show_seconds(picker, None)
    return picker


def show_seconds(picker: Choices, plan: Plan | None) -> None:
    """Show the seconds of a plan's clip at each speed; without a plan, none."""
    texts = plan.speeds.texts if plan else {}
    picker.show([_row(name, texts.get(name, ""), bool(texts)) for name in SPEEDS])


def _row(name: str, seconds: str, planned: bool) -> dict[str, Any]:
    fits = seconds or ("not here" if planned else "")
    about = _ABOUT.get(name, "")
    return {"value": name, "name": name.capitalize(), "about": about, "fits": fits, "ok": None}
