"""Requests: what to generate with which model, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models import input_options, rules
from cogmagic._models.adapters.adapter import Adapter, as_adapters
from cogmagic._models.aliases import ALIASES, full_names
from cogmagic._models.family import latent_frames
from cogmagic._models.find import find_model
from cogmagic._models.fitting import Fit
from cogmagic._models.given_inputs import GivenInputs
from cogmagic._models.guidance_interval import guided_steps
from cogmagic._models.inputs import INPUTS
from cogmagic._models.model import SCHEDULERS, Dtype, Model, Scheduler
from cogmagic._models.other_tools import in_python, known_elsewhere
from cogmagic._models.presets import Preset
from cogmagic._models.presets_file import find_preset
from cogmagic._models.request_fields import checked_fields
from cogmagic._models.timesteps import as_timesteps
from cogmagic._spelling import errors_for_python

__all__ = ["Request", "known_options"]


@dataclass(frozen=True, kw_only=True)
class Request(GivenInputs):
    """A checked request. Build one with `Request.of`, which fills in the model's defaults.

    Sizes are in pixels, `fps` in frames per second. `seed` is a random number when none is given,
    so every video can be made again.
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
    inputs: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The model's inputs beside the text (`INPUTS`), by name, converted."""
    strength: float = 1.0
    """The share of the steps that denoise a video to begin from; 1 without one."""
    start: float = 0.0
    """Seconds of that video before the part that is used."""
    fit: Fit = "stretch"
    """How the inputs are brought to the request's size."""
    overlap: int = 0
    """Frames that a clip to extend and the new ones share; 0 without one."""
    invert_mask: bool = False
    """Whether the mask's white stands for the opposite of what it would."""
    paste_back: bool = False
    """Whether what the model was to keep has the input's own pixels in the end."""
    truncate: bool = False
    loras: tuple[Adapter, ...] = ()
    """LoRA adapters, which are added to the transformer in this order; a preset's come first."""
    timesteps: tuple[int, ...] = ()
    """The timesteps of the steps, descending; empty for those that the scheduler spaces evenly."""
    from_preset: Preset | None = None
    """The preset that set adapters, scheduler, timesteps, steps or guidance."""
    guidance_from: float = 0.0
    """Share of the steps after which guidance begins."""
    guidance_until: float = 1.0
    """Share of the steps after which guidance ends."""

    @classmethod
    @errors_for_python()
    def of(
        cls,
        prompt: str,
        model: Model | str,
        *,
        width: int | None = None,
        height: int | None = None,
        num_frames: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_from: float | None = None,
        guidance_until: float | None = None,
        negative_prompt: str = "",
        seed: int | None = None,
        scheduler: str | None = None,
        fps: int | None = None,
        dtype: str | None = None,
        image: Any = None,
        video: Any = None,
        strength: float | None = None,
        start: float | None = None,
        fit: str | None = None,
        extend: Any = None,
        overlap: int | None = None,
        last_image: Any = None,
        mask: Any = None,
        invert_mask: bool = False,
        paste_back: bool = False,
        truncate: bool = False,
        lora: Any = None,
        timesteps: Any = None,
        preset: str | Preset | None = None,
        **others: Any,
    ) -> Request:
        """Check the options against a model (or its name) and fill in the model's defaults.

        Takes the aliases ``steps``, ``frames`` and ``size`` (``"720x480"`` or ``(720, 480)``), too.
        `lora` is one adapter or a list of them, each ``"PATH-or-REPO[/FILE][@WEIGHT]"``, a path, a
        pair of a path and a weight, or an `Adapter`. `timesteps` is a list, or text such as
        ``"999,749,499,249"``; `preset` is a name, or ``"FILE.toml:NAME"``. With a `video`,
        `strength` is the share of the steps that run (0.8 by default), and `start` the seconds of
        the video to skip. `extend` is a clip from whose end the new frames go on; the two share
        `overlap` frames (1 by default). `fit` brings a clip (``crop`` by default) or an image
        (``stretch``) to the size. For models that inpaint, `mask` is the part of the `video` that
        is made new, by the rules of `mask_of`, and `last_image` the frame that a clip with an
        `image` ends with; `paste_back` keeps the input's own pixels in the rest.

        Raises:
            RequestError: with the nearest legal value, when the model cannot do it.
            CheckpointError: for a LoRA that is missing, damaged or of another kind.
        """
        rules.text("prompt", prompt, required=True)
        model = model if isinstance(model, Model) else find_model(model)
        o: dict[str, Any] = {"negative_prompt": negative_prompt, "seed": seed}
        o |= {"width": width, "height": height, "num_frames": num_frames, "fps": fps}
        o |= {"image": image, "video": video, "strength": strength, "start": start, "fit": fit}
        o |= {"extend": extend, "overlap": overlap, "last_image": last_image, "mask": mask}
        o |= {"invert_mask": invert_mask, "paste_back": paste_back}
        o |= {"guidance_scale": guidance_scale, "scheduler": scheduler, "dtype": dtype}
        o |= {"guidance_from": guidance_from, "guidance_until": guidance_until}
        o |= {"num_inference_steps": num_inference_steps, "timesteps": as_timesteps(timesteps)}
        o = known_options(o | others) | {"prompt": prompt}
        rules.steps(model, o["num_inference_steps"])
        rules.guidance(model, guidance_scale)
        rules.choice("scheduler", scheduler, SCHEDULERS)
        chosen = None if isinstance(preset, str | None) and not preset else find_preset(preset)
        if chosen is not None:
            chosen.check(model, o)
            o |= chosen.settings
        fields = checked_fields(model, o, o)
        if chosen is not None:
            chosen = chosen.with_adapters()
            lora = chosen.beside(as_adapters(lora))
        loras = as_adapters(lora)
        return cls(model=model, truncate=truncate, loras=loras, from_preset=chosen, **fields)

    @errors_for_python()
    def checked(self) -> Request:
        """This request, with all rules applied to what ``dataclasses.replace`` may have changed.

        Raises:
            RequestError: with the nearest legal value, when the model cannot do it.
        """
        fields = checked_fields(self.model, vars(self), self.inputs)
        checked = replace(self, loras=as_adapters(self.loras), **fields)
        if self.from_preset is not None:
            self.from_preset.check(self.model, vars(checked))
        return checked

    @property
    def preset(self) -> str:
        """The preset's name, or an empty string."""
        return self.from_preset.name if self.from_preset else ""

    def without_preset(self) -> Request:
        """The same clip with the model's own values of all that a preset sets."""
        if self.from_preset is None:
            return self
        names = self.from_preset.settings
        defaults: dict[str, Any] = {n: getattr(self.model, n) for n in names if n != "timesteps"}
        if "num_inference_steps" in names:
            defaults["timesteps"] = ()
        loras = self.loras[len(self.from_preset.lora) :]
        return replace(self, loras=loras, from_preset=None, **defaults)

    @property
    def denoising_steps(self) -> int:
        """Steps that run: with a video to begin from, a share of them."""
        return input_options.steps_at(self.num_inference_steps, self.strength)

    @property
    def size(self) -> str:
        """Width×height, as in ``720x480``."""
        return f"{self.width}x{self.height}"

    @property
    def guided(self) -> bool:
        """Whether guidance is on: above 1, steps denoise without the prompt as well."""
        return self.guidance_scale > 1.0

    @property
    def guided_steps(self) -> range:
        """The steps with guidance, counted from 0: of those that run."""
        if not self.guided:
            return range(0)
        return guided_steps(self.denoising_steps, self.guidance_from, self.guidance_until)

    @property
    def partly_guided(self) -> bool:
        """Whether some steps have guidance and others do not."""
        return 0 < len(self.guided_steps) < self.denoising_steps

    def unguided(self) -> Request:
        """The same clip without guidance."""
        return replace(self, guidance_scale=1.0, guidance_from=0.0, guidance_until=1.0)

    @property
    def use_dynamic_cfg(self) -> bool:
        """Whether guidance varies along the authors' cosine, which works with DPM only."""
        return self.model.dynamic_guidance and self.scheduler == "dpm"

    @property
    def latent_frames(self) -> int:
        """Latent frames that are decoded, without CogVideoX 1.5's padding."""
        return latent_frames(self.num_frames)


def known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a request by their full names (`full_names`).

    Raises:
        RequestError: for an unknown one, with the nearest name, and for an alias beside its option.
    """
    names = [*list(signature(Request.of).parameters)[2:], *ALIASES, *INPUTS]  # after the model
    for name in options:
        if name in ("prompts", "seeds", "num_videos"):
            raise RequestError(
                f"{name} is for several videos, and this makes one. Call"
                " cogmagic.generate_many(prompts, seeds=…) or (prompts, num_videos=…)."
            )
        if name not in names:
            near = known_elsewhere(name, in_python) or did_you_mean(name, names)
            raise RequestError(
                f"Unknown option {name!r}.{near} For a list: help(cogmagic.generate)."
            )
    return full_names(options)
