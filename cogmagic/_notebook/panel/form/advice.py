"""The panel's advice: the plan for what is entered, and whether Generate may be pressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from cogmagic._api.options.table import without_run_options
from cogmagic._errors import CogMagicError
from cogmagic._notebook.panel.form.fields import Fields
from cogmagic._notebook.panel.form.recommendation import download_words, recommendation, run_note
from cogmagic._notebook.panel.form.speeds import show_seconds
from cogmagic._notebook.panel.parts.html import error_html, show_html
from cogmagic._notebook.panel.parts.labels import panel_words
from cogmagic._planning.plan import Plan
from cogmagic._session.session import session
from cogmagic._spelling import typed_in_cell

__all__ = ["Advice", "advise"]


@dataclass(frozen=True)
class Advice:
    """What the panel shows of a plan, or why there is none."""

    plan: Plan | None = None
    html: str = ""
    """The recommendation, or the error."""
    refusal: str = ""
    """The error because of which Generate is off."""
    note: str = ""
    """What is still to be entered, or what Generate risks and downloads."""
    ready: bool = False
    """Whether a run may begin."""
    complete: bool = False
    """Whether the prompt is entered, and the fields have no error."""
    tokens: str | None = ""
    """The number of tokens of the prompt as HTML; None where it cannot be counted now."""


@typed_in_cell()
def advise(fields: Fields, plan: Callable[..., Plan]) -> Advice:
    """Check what is entered, show errors beside their fields, and plan.

    Args:
        fields: the form.
        plan: `cogmagic.plan`, or one for a described machine.
    """
    _show_speeds(fields, None)
    try:
        if invalid := fields.check():
            return Advice(refusal=invalid)
        options = without_run_options(fields.to_plan()[0])
        made = plan(fields.prompt() or "any prompt", **options)
        tokens = _token_count(fields)
    except Exception as error:
        text = str(error) or type(error).__name__
        if fields.inputs["tier"].value != "auto" and isinstance(error, CogMagicError):
            return Advice(refusal=fields.show_errors({"tier": text}))
        return Advice(html=error_html(text), refusal="No plan can be made.")
    _show_speeds(fields, made)
    refusal, has_prompt = _refusal(made) or fields.lacking, bool(fields.prompt().strip())
    return Advice(
        plan=made,
        html=recommendation(made),
        refusal=refusal,
        note=run_note(made) if has_prompt else "Enter a prompt.",
        ready=has_prompt and not refusal,
        complete=has_prompt and not fields.lacking,
        tokens=tokens,
    )


def _show_speeds(fields: Fields, plan: Plan | None) -> None:
    show_seconds(fields.inputs["speed"], plan)
    note = panel_words(plan.speeds.note) if plan else ""
    show_html(fields.words["speed"], escape(note[:1].upper() + note[1:]))


def _token_count(fields: Fields) -> str | None:
    """The prompt's tokens, once the model and thus its tokenizer are loaded."""
    from cogmagic._pipeline.tokenizer import ignored_words

    if session().running is not None:  # a tokenizer is not safe in two threads
        return None
    loaded, model = session().loaded, fields.model()
    if loaded is None or model is None or loaded.model.name != model.name:
        return ""
    count, ignored = ignored_words(loaded.pipe.tokenizer, fields.prompt(), model.max_tokens)
    cut = "; the end would be ignored" if ignored else ""
    return f"<div>{count} of {model.max_tokens} tokens{cut}</div>"


def _refusal(plan: Plan) -> str:
    """Why no run of this plan may be tried, without the command line's advice; empty if one may."""
    candidate = plan.chosen
    if not plan.refusal or plan.fits or candidate is None:
        return plan.refusal
    tier = candidate.placement.title
    text = f"{plan.request.model.name} does not fit: {tier} {candidate.reason}."
    return f"{text} It would download {download_words(plan)} first." if plan.download else text
