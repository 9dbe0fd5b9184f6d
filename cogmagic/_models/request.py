"""A checked wish: every rule of the family lives here, before anything heavy is loaded."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models.catalog import DTYPES, SCHEDULERS, Dtype, Model, Scheduler, latent_frames
from cogmagic._models.inputs import _as_pil

__all__ = ["ANY_IMAGE", "Request", "known_options"]


ANY_IMAGE = object()
"""Stands for a first frame where only a plan is asked for, which does not depend on it."""


_MAX_SEED = 2**64 - 1  # what torch.Generator.manual_seed takes


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to generate. Build one with `Request.of`, which fills in the model's own defaults.

    Sizes are in pixels, `fps` in frames per second; `seed` is always a number, drawn at random
    when none is given, so that every video can be made again.
    """

    prompt: str
    model: Model
    negative_prompt: str
    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float
    seed: int
    scheduler: Scheduler
    fps: int
    dtype: Dtype | None
    """Precision of the weights; None for the model's own on a GPU, float32 on a CPU."""
    image: Any = field(default=None, repr=False, compare=False)
    """The first frame, as a ``PIL.Image.Image``, for image-to-video models."""
    truncate: bool = False

    @classmethod
    def of(
        cls,
        prompt: str,
        model: Model,
        *,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        negative_prompt: str = "",
        seed: int | None = None,
        scheduler: str | None = None,
        fps: int | None = None,
        dtype: str | None = None,
        image: Any = None,
        truncate: bool = False,
    ) -> Request:
        """Check a wish against `model` and fill in what was left out.

        Raises:
            RequestError: with the nearest legal value, when the model cannot do it.
        """
        text = _prompt(prompt)
        width, height = _size(model, width, height)
        return cls(
            prompt=text,
            model=model,
            negative_prompt=_text("negative prompt", negative_prompt),
            width=width,
            height=height,
            num_frames=_frames(model, num_frames),
            num_inference_steps=_count("num_inference_steps", num_inference_steps, 1, 1000)
            or model.num_inference_steps,
            guidance_scale=_guidance(model, guidance_scale),
            seed=secrets.randbelow(2**31) if seed is None else _seed(seed),
            scheduler=_choice("scheduler", scheduler, SCHEDULERS) or model.scheduler,
            fps=_count("fps", fps, 1, 120) or model.fps,
            dtype=_choice("dtype", dtype, DTYPES),
            image=_image(model, image),
            truncate=truncate,
        )

    @property
    def size(self) -> str:
        """Width×height, as in ``720x480``."""
        return f"{self.width}x{self.height}"

    @property
    def guided(self) -> bool:
        """Whether guidance is on: above 1, every step denoises without the prompt as well."""
        return self.guidance_scale > 1.0

    @property
    def use_dynamic_cfg(self) -> bool:
        """Whether guidance follows the authors' cosine, which goes with DPM alone."""
        return self.model.dynamic_guidance and self.scheduler == "dpm"

    @property
    def latent_frames(self) -> int:
        """Frames of the latent clip that are decoded, without CogVideoX 1.5's padding."""
        return latent_frames(self.num_frames)


def _prompt(prompt: str) -> str:
    text = _text("prompt", prompt)
    if not text:
        raise RequestError("The prompt is empty: say in a sentence what the video should show.")
    return text


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"The {name} must be text, not {type(value).__name__}.")
    half = next((i for i, c in enumerate(value) if "\ud800" <= c <= "\udfff"), None)
    if half is not None:
        found = repr(value[half])[1:-1]
        raise RequestError(f"The {name} has half a character at position {half} ({found}).")
    return value.strip()


def _size(model: Model, width: int | None, height: int | None) -> tuple[int, int]:
    if width is None and height is None:
        return model.width, model.height
    if width is None or height is None:
        raise RequestError("Give both sides, for example --size 720x480.")
    rule, wanted = model.sizes, f"{width}x{height}"
    native = f"{model.width}x{model.height}"
    if rule.exact:
        if (width, height) != (model.width, model.height):
            raise RequestError(f"{model.name} makes {native} only, not {wanted}.")
        return width, height
    nearest = _nearest_size(model, width, height)
    if (width, height) != nearest:
        raise RequestError(
            f"{model.name} cannot make {wanted}: both sides are multiples of {rule.multiple}, the"
            f" shorter {_span(rule.short)}, the longer {_span(rule.long)}. Nearest:"
            f" --size {nearest[0]}x{nearest[1]} (native: {native})."
        )
    return width, height


def _span(limits: tuple[int, int]) -> str:
    low, high = limits
    return f"{low}" if low == high else f"{low} to {high}"


def _nearest_size(model: Model, width: int, height: int) -> tuple[int, int]:
    def snap(side: int, limits: tuple[int, int]) -> int:
        step = model.sizes.multiple
        return min(max(round(side / step) * step, limits[0]), limits[1])

    short, long = (
        snap(min(width, height), model.sizes.short),
        snap(max(width, height), model.sizes.long),
    )
    return (long, short) if width >= height else (short, long)


def _frames(model: Model, num_frames: int | None) -> int:
    if num_frames is None:
        return model.frames.default
    _whole("num_frames", num_frames)
    legal = model.frames.legal()
    if num_frames in legal:
        return num_frames
    below = max((n for n in legal if n < num_frames), default=None)
    above = min((n for n in legal if n > num_frames), default=None)
    near = " or ".join(str(n) for n in (below, above) if n is not None)
    raise RequestError(
        f"{model.name} cannot make {num_frames} frames ({model.frames.rule()})."
        f" Nearest: --num-frames {near}."
    )


def _count(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is None:
        return None
    _whole(name, value)
    if least <= value <= most:
        return value
    nearest = min(max(value, least), most)
    raise RequestError(f"{name} is {value}, but must be {least} to {most}. Nearest: {nearest}.")


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RequestError(f"{name} is {value!r}, but must be a whole number.")


def _guidance(model: Model, scale: float | None) -> float:
    if scale is None:
        return model.guidance_scale
    if not math.isfinite(scale) or not 1.0 <= scale <= 20.0:
        raise RequestError(
            f"guidance_scale is {scale:g}, but must be 1 (no guidance) to 20;"
            f" the default of {model.name} is {model.guidance_scale:g}."
        )
    return scale


def _seed(seed: int) -> int:
    _whole("seed", seed)
    if not 0 <= seed <= _MAX_SEED:
        raise RequestError(
            f"seed is {seed}, but must be 0 to 2^64 - 1. Nearest: {0 if seed < 0 else _MAX_SEED}."
        )
    return seed


def _choice(name: str, value: str | None, choices: tuple[Any, ...]) -> Any:
    if value is None or value in choices:
        return value
    raise RequestError(
        f"Unknown {name} {value!r}.{did_you_mean(value, choices)}"
        f" Choose from: {', '.join(choices)}."
    )


def _image(model: Model, image: Any) -> Any:
    if model.task == "t2v":
        if image is not None:
            raise RequestError(
                f"{model.name} takes no image. For image-to-video: --model 5b-i2v or 1.5-5b-i2v."
            )
        return None
    if image is ANY_IMAGE:
        return None
    if image is None:
        raise RequestError(
            f"{model.name} needs a first frame: --image PATH or the name of a variable."
        )
    return _as_pil(image)


def known_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options, if they are all ones that a request takes."""
    names = Request.of.__kwdefaults__ or {}
    for name in options:
        if name not in names:
            raise RequestError(
                f"Unknown option {name!r}.{did_you_mean(name, names)}"
                " All of them: help(cogmagic.generate)"
            )
    for name, value in options.items():
        kind = _KINDS.get(name)
        if value is not None and kind and (not isinstance(value, kind) or value is True):
            wanted = "a number" if kind is Real else "text" if kind is str else "a whole number"
            raise RequestError(f"{name}={value!r:.80} is not {wanted}.")
    return options


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("width", "height", "num_frames", "num_inference_steps", "seed", "fps"), int),
    "guidance_scale": Real,
    **dict.fromkeys(("negative_prompt", "scheduler", "dtype"), str),
}
