"""Inputs of a request beside its text: a first frame, or a video to begin from or to extend.

To add one: a function that checks and converts what a person gives, such as `as_picture`, and an
entry in `INPUTS`. Requests, plans and error messages take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.pictures import as_picture

__all__ = ["ANY_INPUT", "INPUTS", "Input", "inputs_of", "placeholders", "required_inputs"]


ANY_INPUT = object()
"""Placeholder of an input for a plan, which does not depend on the input's content."""


@dataclass(frozen=True)
class Input:
    """One kind of input: the models that take it, its words, and its conversion."""

    task: str
    """`Model.task` of the models that take it."""
    noun: str
    """What it is, for messages: ``a first frame``."""
    purpose: str
    """What its models do: ``image-to-video``."""
    usage: str
    """What to type in a cell."""
    convert: Callable[[Any], Any]
    """Checks what a person gives and returns what the request holds; raises `RequestError`."""
    required: bool = True
    """Whether its models make nothing without it."""
    replaces: str = ""
    """The required input that it stands in for."""


def _as_clip(video: Any) -> Clip:
    """`clip_of`, unless it is a clip already."""
    return video if isinstance(video, Clip) else clip_of(video)


INPUTS: dict[str, Input] = {
    "image": Input(
        task="i2v",
        noun="a first frame",
        purpose="image-to-video",
        usage="--image PATH, or a variable",
        convert=as_picture,
    ),
    "video": Input(
        task="t2v",
        noun="a video",
        purpose="video-to-video",
        usage="--video PATH, or a variable",
        convert=_as_clip,
        required=False,
    ),
    "extend": Input(
        task="i2v",
        noun="a clip to extend",
        purpose="image-to-video",
        usage="--extend PATH, or a variable",
        convert=_as_clip,
        required=False,
        replaces="image",
    ),
}
"""Every input, by the name of its keyword and, with ``--``, of the cell's option."""


def inputs_of(task: str) -> dict[str, Input]:
    """The inputs that models of a task take, by name."""
    return {name: one for name, one in INPUTS.items() if one.task == task}


def placeholders(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`ANY_INPUT` for every input that models of a task require and `options` lack."""
    lacking = required_inputs(task, options)
    return dict.fromkeys(lacking, ANY_INPUT)


def required_inputs(task: str, given: Mapping[str, Any]) -> dict[str, Input]:
    """The inputs that models of a task require and that are not `given`, nor replaced, by name."""
    inputs = inputs_of(task)
    has = {name for name in inputs if given.get(name) is not None}
    has |= {inputs[name].replaces for name in has}
    return {name: one for name, one in inputs.items() if one.required and name not in has}
