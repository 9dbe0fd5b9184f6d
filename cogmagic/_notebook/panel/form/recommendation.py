"""The panel's recommendation: the plan as HTML, and what a run of it begins with."""

from __future__ import annotations

from html import escape

from cogmagic._models.adapters.described import planned
from cogmagic._notebook.panel.form.models import about
from cogmagic._notebook.panel.parts.labels import panel_words
from cogmagic._planning.plan import Plan
from cogmagic._tiers.registry import TIERS
from cogmagic._units import gib, seconds

__all__ = ["download_words", "recommendation", "run_note"]


_HEADS = ("tier", "GiB VRAM", "GiB RAM", "s/step", "fits")


def recommendation(plan: Plan) -> str:
    """The chosen tier and why, every candidate, the preset and adapters, and the rule's tier."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in _HEADS)
    rows = []
    for c in plan.candidates:
        amounts = (gib(n).removesuffix(" GiB") for n in (c.peak_vram, c.peak_ram))
        cells = (*amounts, seconds(c.step_seconds), "yes" if c.fits else c.reason)
        chosen = ' class="cogmagic-chosen"' if c.tier == plan.tier else ""
        inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        rows.append(f'<tr{chosen}><th scope="row">{c.tier}</th>{inner}</tr>')
    table = f'<table class="cogmagic-table"><tr>{heads}</tr>{"".join(rows)}</table>' * bool(rows)
    prefix = "Faster with" if plan.fits else "It would fit with"
    notes = [
        *([f"Preset {plan.preset_note}."] if plan.preset_note else []),
        *(f"LoRA {planned(adapter)}." for adapter in plan.request.loras),
        f"The published rule says {TIERS[plan.rule].title} ({plan.rule_reason}).",
        *([f"Faster with {plan.speeds.gain}."] if plan.speeds.gain else []),
        *(f"{prefix} {change}." for change in plan.changes),
        *([f"{plan.speed_remark}."] if plan.speed_remark else []),
        *(f"{warning}." for warning in plan.warnings),
    ]
    lines = "".join(f"<div>{escape(panel_words(note))}</div>" for note in notes)
    title = f"<b>{plan.placement.title.capitalize()}</b>: "
    reason = escape(panel_words(plan.reason))
    if plan.options.cautious and not plan.fits:  # the reason names the tier already
        title, reason = "", reason[:1].upper() + reason[1:]
    region = 'class="cogmagic-plan" tabindex="0" role="region" aria-label="Plan"'
    return f"<div {region}><div>{title}{reason}.</div>{table}{lines}</div>"


def run_note(plan: Plan) -> str:
    """What a person should know before a run of this plan: its time, risk and download."""
    notes = [] if plan.seconds is None else [f"A clip takes {about(plan.seconds)}."]
    if plan.chosen and not plan.fits:
        notes.append(f"Generate tries {plan.placement.title}, although it {plan.chosen.reason}.")
    if plan.download:
        notes.append(f"Generate downloads {download_words(plan)} first.")
    for adapter in plan.request.loras:
        if adapter.download:
            size = f"{adapter.download / 1e6:,.1f} MB"
            notes.append(f"Generate downloads {adapter.name} ({size}) first.")
    return " ".join(notes)


def download_words(plan: Plan) -> str:
    """The download that a run of this plan begins with, as in ``21.5 GB from owner/name``."""
    return f"{plan.download / 1e9:.1f} GB from {plan.request.model.source}"
