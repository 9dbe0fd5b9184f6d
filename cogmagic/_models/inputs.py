"""Inputs of a request beside its text: first and last frames, videos, masks, clips to extend.

To add one: a function that checks and converts what a person gives, such as `as_picture`, and an
entry in `INPUTS`. Requests, plans and error messages take it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.clips.clip import Clip, clip_of
from cogmagic._models.masks.mask import Mask, mask_of
from cogmagic._models.pictures.picture import as_picture

__all__ = [
    "ANY_INPUT",
    "INPUTS",
    "Input",
    "check_together",
    "inputs_of",
    "placeholders",
    "required_inputs",
]


ANY_INPUT = object()
"""Placeholder of an input for a plan, which does not depend on the input's content."""


@dataclass(frozen=True)
class Input:
    """One kind of input: the models that take it, its words, and its conversion."""

    tasks: tuple[str, ...]
    """`Model.task` of the models that take it."""
    noun: str
    """What it is, for messages: ``a first frame``."""
    purpose: str
    """What its models do: ``image-to-video``."""
    usage: str
    """What to type in a cell."""
    convert: Callable[[Any], Any]
    """Checks what a person gives and returns what the request holds; raises `RequestError`."""
    required_by: tuple[str, ...] = ()
    """Tasks of the models that make nothing without it."""
    replaces: str = ""
    """The required input that it stands in for."""


def _as_clip(video: Any) -> Clip:
    """`clip_of`, unless it is a clip already."""
    return video if isinstance(video, Clip) else clip_of(video)


def _as_mask(mask: Any) -> Mask:
    """`mask_of`, unless it is a mask already."""
    return mask if isinstance(mask, Mask) else mask_of(mask)


INPUTS: dict[str, Input] = {
    "image": Input(
        tasks=("i2v", "inp"),
        noun="a first frame",
        purpose="image-to-video",
        usage="--image PATH, or a variable",
        convert=as_picture,
        required_by=("i2v",),
    ),
    "last_image": Input(
        tasks=("inp",),
        noun="a last frame",
        purpose="a clip that ends with a picture",
        usage="--last-image PATH, or a variable",
        convert=as_picture,
    ),
    "video": Input(
        tasks=("t2v", "inp", "void"),
        noun="a video",
        purpose="video-to-video",
        usage="--video PATH, or a variable",
        convert=_as_clip,
        required_by=("void",),
    ),
    "mask": Input(
        tasks=("inp", "void"),
        noun="a mask",
        purpose="inpainting",
        usage="--mask PATH, or a variable",
        convert=_as_mask,
        required_by=("void",),
    ),
    "extend": Input(
        tasks=("i2v", "inp"),
        noun="a clip to extend",
        purpose="image-to-video",
        usage="--extend PATH, or a variable",
        convert=_as_clip,
        replaces="image",
    ),
}
"""Every input, by the name of its keyword and, with ``--``, of the cell's option."""


_TOGETHER = {
    frozenset(("image", "last_image")),
    frozenset(("extend", "last_image")),
    frozenset(("video", "mask")),
}
"""The inputs that a request may have at once, by pairs."""


def check_together(given: Mapping[str, Any]) -> None:
    """Refuse inputs that have no place beside each other, or without another.

    Raises:
        RequestError: naming the option to leave out, or to add.
    """
    for one, other in combinations(given, 2):
        if frozenset((one, other)) in _TOGETHER:
            continue
        if "extend" in (one, other):
            (beside,) = {one, other} - {"extend"}
            raise RequestError(
                f"--extend continues from a clip's last frame, so {_option(beside)} cannot be"
                " combined with it. Leave out one of them."
            )
        raise RequestError(
            f"{_option(one)} and {_option(other)} are for different runs. Leave out one of them."
        )
    if "mask" in given and "video" not in given:
        raise RequestError(
            "--mask says which part of a video is made new. Give one, --video PATH, or leave out"
            " --mask."
        )
    if "last_image" in given and not given.keys() & {"image", "extend"}:
        raise RequestError(
            "--last-image is the end of a clip that begins with a picture or with another clip."
            " Give one, --image PATH or --extend PATH, or leave out --last-image."
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def inputs_of(task: str) -> dict[str, Input]:
    """The inputs that models of a task take, by name."""
    return {name: one for name, one in INPUTS.items() if task in one.tasks}


def placeholders(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`ANY_INPUT` for every input that models of a task require and `options` lack."""
    lacking = required_inputs(task, options)
    return dict.fromkeys(lacking, ANY_INPUT)


def required_inputs(task: str, given: Mapping[str, Any]) -> dict[str, Input]:
    """The inputs that models of a task require and that are not `given`, nor replaced, by name."""
    inputs = inputs_of(task)
    has = {name for name in inputs if given.get(name) is not None}
    has |= {inputs[name].replaces for name in has}
    return {
        name: one for name, one in inputs.items() if task in one.required_by and name not in has
    }
