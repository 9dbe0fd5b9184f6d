"""The panel's list of models: what each makes, its download, and whether it fits."""

from __future__ import annotations

from typing import Any

from cogmagic._models.catalog import MODELS
from cogmagic._models.find import local_folder
from cogmagic._models.model import Model
from cogmagic._notebook.panel.parts.choices import Choices
from cogmagic._planning.plan import Plan
from cogmagic._units import seconds

__all__ = ["about", "clip_words", "model_picker", "row", "unplanned_rows"]


_MAKES = {
    "t2v": "text to video",
    "i2v": "picture to video",
    "inp": "inpainting, last frames",
    "void": "object removal",
}


def model_picker() -> Choices:
    """A row with a radio button per model of the catalogue, and a field for any other model.

    Its value is a short name, a hub id or a folder.
    """
    other = "hub id (owner/name) or folder"
    return Choices(kind="models", description="Model", other=other, rows=unplanned_rows())


def unplanned_rows() -> list[dict[str, Any]]:
    """The rows of all models, as far as the catalogue alone says."""
    return [_row(model, "", "checking…", None) for model in MODELS]


def row(model: Model, plan: Plan | None, error: str = "") -> dict[str, Any]:
    """The row of a model, by the plan of its own size and length.

    Args:
        model: one of the catalogue.
        plan: its plan; None where none can be made.
        error: why none can be made.
    """
    where = "comes with cogmagic"
    if not model.embedded:
        left = (plan.download if plan else 0) or model.download_bytes
        here = local_folder(model) is not None
        where = "on this machine" if here else f"{left / 1e9:.1f} GB download"
    if plan is None:
        return _row(model, where, error, False)
    if plan.refusal or not plan.fits:
        lacks = plan.chosen.reason if plan.chosen and not plan.fits else plan.refusal
        return _row(model, where, lacks, False)
    time = "" if plan.seconds is None else f", {about(plan.seconds)}"
    return _row(model, where, f"fits{time}", True)


def about(value: float) -> str:
    """Predicted seconds in round figures, as in ``about 6 min``."""
    return f"about {max(value, 1):.0f} s" if value < 90 else f"about {seconds(value, least=600)}"


def clip_words(width: int, height: int, num_frames: int, fps: int) -> str:
    """A clip's size and length, as in ``720×480, 6 s``."""
    return f"{width}×{height}, {num_frames / fps:.2g} s"


def _row(model: Model, where: str, fits: str, ok: bool | None) -> dict[str, Any]:
    clip = clip_words(model.width, model.height, model.frames.default, model.fps)
    return {
        "value": model.name,
        "name": model.name if model.embedded else model.source.rpartition("/")[2],
        "about": " · ".join(filter(None, (_MAKES[model.task], clip, where))),
        "fits": fits,
        "ok": ok,
    }
