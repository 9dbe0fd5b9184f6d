"""Rules of the options beside an input: a video's frames, its mask, strength, overlap, the fit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models import rules
from cogmagic._models.clips.clip import Clip
from cogmagic._models.clips.lengths import (
    check_length,
    check_start,
    frames_at,
    times_to_end,
    too_short,
)
from cogmagic._models.fitting import FITS
from cogmagic._models.inputs import required_inputs
from cogmagic._models.masks.against_clip import Excerpt, check_mask
from cogmagic._models.model import Model
from cogmagic._models.real_numbers import real_number

__all__ = ["checked", "steps_at", "usual_strength"]


_STRENGTH, _REDRAWN = 0.8, 0.7
"""The default of diffusers and of the authors' scripts; and that of CogVideoX-Fun's, which redraw a
whole video with less of it, and with a mask begin from noise alone."""


def checked(
    model: Model,
    options: Mapping[str, Any],
    inputs: Mapping[str, Any],
    named: Set[str],
    steps: int,
) -> dict[str, Any]:
    """The checked options beside an input, by name: `num_frames`, `fps`, `strength` and so on.

    Args:
        model: whose rules.
        options: all of them, by name; None for the default.
        inputs: the request's, converted.
        named: these by name, and those that placeholders stand for.
        steps: the request's denoising steps, of which a strength is a share.

    Raises:
        RequestError: with the nearest legal value, and for an option without its input.
    """
    clip, strength, extended = inputs.get("video"), 1.0, inputs.get("extend")
    fit = rules.choice("fit", options["fit"], FITS)
    if clip is None:
        for name, neutral in (("strength", 1.0), ("start", 0.0)):
            value = options[name]
            if value is not None and real_number(name, value) != neutral:
                give = "Leave out" if extended else "Give one, --video PATH, or leave out"
                raise RequestError(f"--{name} is for a video to begin from. {give} --{name}.")
    else:
        strength = _strength(
            options["strength"], steps, usual_strength(model, masked="mask" in inputs)
        )
    named = {*named, *required_inputs(model.task, {})}  # which a plan need not have
    if not named and fit not in (None, "stretch"):
        raise RequestError(
            "--fit is for a video to begin from, or a first frame. Give one, --video PATH or"
            " --image PATH, or leave out --fit."
        )
    fps, num_frames = rules.fps(model, options["fps"]), options["num_frames"]
    start = 0.0 if options["start"] is None else float(check_start(options["start"]))
    count = (
        rules.frame_count(model, num_frames)
        if clip is None
        else _frames_of(clip, model, num_frames, start, fps)
    )
    if clip is not None and (mask := inputs.get("mask")) is not None:
        check_mask(mask, Excerpt(clip, start, fps, count, model.frames.legal()))
    return {
        "num_frames": count,
        "invert_mask": _switch("invert_mask", options, "mask" in named, _MASKED),
        "paste_back": _switch("paste_back", options, _keeps(model, named), _KEPT),
        "overlap": _overlap(options["overlap"], inputs, count, fps),
        "fps": fps,
        "strength": strength,
        "start": start,
        "fit": fit or ("crop" if clip or extended else "stretch"),
    }


def _frames_of(clip: Clip, model: Model, num_frames: int | None, start: float, fps: int) -> int:
    """A legal number of frames that the clip has.

    By default as many, up to the model's default, or where it makes long clips in chunks, to those.
    """
    legal = model.frames.legal()
    if num_frames is not None:
        count = rules.frame_count(model, num_frames)
        check_length(clip, start=start, fps=fps, num_frames=count, legal=legal)
        return count
    has = frames_at(clip, start=start, fps=fps, most=model.frames.longest or model.frames.default)
    if fewer := max((n for n in legal if n <= has), default=0):
        return fewer
    raise too_short(clip, has, start=start, fps=fps, num_frames=min(legal), legal=legal)


def _overlap(value: object, inputs: Mapping[str, Any], num_frames: int, fps: int) -> int:
    """The frames that the clip to extend and the new ones share, from 1; 0 without such a clip."""
    clip: Clip | None = inputs.get("extend")
    if clip is None:
        if value in (None, 0):
            return 0
        raise RequestError(
            "--overlap is for a clip to extend. Give one, --extend PATH, or leave out --overlap."
        )
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"overlap={value!r:.80} is not a whole number.")
    has, given = len(times_to_end(clip, fps)), "last_image" in inputs
    most = min(num_frames - 1 - given, has)
    if 1 <= value <= most:
        return value
    last = ", of which the last one is given" if given else ""
    raise RequestError(
        f"--overlap is {value}, but must be 1 to {most}: {clip.shown} has {has} frames at {fps}"
        f" fps, and {num_frames} are made{last}. Nearest: --overlap {min(max(value, 1), most)}."
    )


def steps_at(steps: int, strength: float) -> int:
    """How many of the steps run, as diffusers' ``get_timesteps`` counts them."""
    return min(int(steps * strength), steps)


_MASKED = "a mask, --mask PATH"
_KEPT = "what a model for inpainting keeps: of a --video with a --mask, or of an --image"
"""What the two switches are for, in their errors."""


def _switch(name: str, options: Mapping[str, Any], has: bool, of: str) -> bool:
    """An option that is on or off, and only means something with an input."""
    value = False if options[name] is None else options[name]
    if not isinstance(value, bool):
        raise RequestError(f"{name}={value!r:.80} is neither True nor False.")
    if value and not has:
        option = f"--{name.replace('_', '-')}"
        raise RequestError(f"{option} is for {of}. Give one, or leave out {option}.")
    return value


def _keeps(model: Model, named: Set[str]) -> bool:
    """Whether a model leaves a part of its inputs as it is: not of a video without a mask."""
    return model.inpaints and bool(named) and ("video" not in named or "mask" in named)


def usual_strength(model: Model, *, masked: bool) -> float:
    """The strength of a request that gives none; with a mask, all begins as noise."""
    if not model.inpaints:
        return _STRENGTH
    return _REDRAWN if model.task == "inp" and not masked else 1.0


def _strength(value: object, steps: int, usual: float) -> float:
    strength = usual if value is None else real_number("strength", value)
    if not 0 < strength <= 1:  # nor NaN
        raise RequestError(
            f"--strength is {strength:.10g}, but must be above 0 (close to the video) and at most 1"
            " (nothing of it is kept)."
        )
    if not steps_at(steps, strength):
        raise RequestError(
            f"A strength of {strength:.10g} leaves none of {steps}"
            f" {'step' if steps == 1 else 'steps'} to denoise."
            f" Nearest: --strength {_least(steps):g}."
        )
    return strength


def _least(steps: int) -> float:
    """The smallest strength in thousandths that leaves a step."""
    least = math.ceil(1000 / steps)
    return next(n / 1000 for n in (least, least + 1) if steps_at(steps, n / 1000))
