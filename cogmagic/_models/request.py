"""Requests: what to generate with which model, checked before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models import rules
from cogmagic._models.adapters.adapter import Adapter, as_adapters
from cogmagic._models.aliases import ALIASES, full_names
from cogmagic._models.catalog import DTYPES, SCHEDULERS, Dtype, Model, Scheduler
from cogmagic._models.family import latent_frames
from cogmagic._models.find import find_model
from cogmagic._models.guidance_interval import guided_steps, interval_at
from cogmagic._models.inputs import INPUTS
from cogmagic._models.other_tools import in_python, known_elsewhere
from cogmagic._models.presets import Preset
from cogmagic._models.presets_file import find_preset
from cogmagic._models.timesteps import as_timesteps, scheduler_at, steps_at
from cogmagic._spelling import errors_for_python

__all__ = ["Request", "known_options"]


@dataclass(frozen=True, kw_only=True)
class Request:
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
    """The model's inputs beside the text (`INPUTS`), by name, as the pipeline takes them."""
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
        ``"999,749,499,249"``; `preset` is a name, or ``"FILE.toml:NAME"``.

        Raises:
            RequestError: with the nearest legal value, when the model cannot do it.
            CheckpointError: for a LoRA that is missing, damaged or of another kind.
        """
        prompt = rules.text("prompt", prompt, required=True)
        model = model if isinstance(model, Model) else find_model(model)
        o = {"width": width, "height": height, "num_frames": num_frames, "image": image}
        o |= {"guidance_scale": guidance_scale, "scheduler": scheduler}
        o |= {"num_inference_steps": num_inference_steps, "timesteps": as_timesteps(timesteps)}
        o = known_options(o | others)
        rules.steps(model, o["num_inference_steps"])
        rules.guidance(model, guidance_scale)
        rules.choice("scheduler", scheduler, SCHEDULERS)
        chosen = None if isinstance(preset, str | None) and not preset else find_preset(preset)
        if chosen is not None:
            chosen.check(model, o)
            o |= chosen.settings
        width, height = rules.size(model, o["width"], o["height"])
        steps = steps_at(model, o["num_inference_steps"], o["timesteps"])
        scale = rules.guidance(model, o["guidance_scale"])
        begin, end = interval_at(steps, scale, guidance_from, guidance_until)
        if chosen is not None:
            chosen = chosen.with_adapters()
            lora = chosen.beside(as_adapters(lora))
        return cls(
            prompt=prompt,
            model=model,
            negative_prompt=rules.text("negative prompt", negative_prompt),
            width=width,
            height=height,
            num_frames=rules.frame_count(model, o["num_frames"]),
            num_inference_steps=steps,
            guidance_scale=scale,
            seed=rules.seed_or_random(seed),
            scheduler=scheduler_at(model, o["scheduler"], o["timesteps"]),
            fps=rules.fps(model, fps),
            dtype=rules.choice("dtype", dtype, DTYPES),
            inputs=rules.inputs(model, o),
            truncate=truncate,
            loras=as_adapters(lora),
            timesteps=o["timesteps"],
            from_preset=chosen,
            guidance_from=begin,
            guidance_until=end,
        )

    def checked(self) -> Request:
        """This request, with all rules applied to what ``dataclasses.replace`` may have changed.

        Raises:
            RequestError: with the nearest legal value, when the model cannot do it.
        """
        width, height = rules.size(self.model, self.width, self.height)
        timesteps = as_timesteps(self.timesteps)
        steps = steps_at(self.model, self.num_inference_steps, timesteps)
        scale = rules.guidance(self.model, self.guidance_scale)
        begin, end = interval_at(steps, scale, self.guidance_from, self.guidance_until)
        checked = replace(
            self,
            prompt=rules.text("prompt", self.prompt, required=True),
            negative_prompt=rules.text("negative prompt", self.negative_prompt),
            width=width,
            height=height,
            num_frames=rules.frame_count(self.model, self.num_frames),
            num_inference_steps=steps,
            guidance_scale=scale,
            seed=rules.seed_or_random(self.seed),
            scheduler=scheduler_at(self.model, self.scheduler, timesteps),
            fps=rules.fps(self.model, self.fps),
            dtype=rules.choice("dtype", self.dtype, DTYPES),
            inputs=rules.inputs(self.model, self.inputs),
            loras=as_adapters(self.loras),
            timesteps=timesteps,
            guidance_from=begin,
            guidance_until=end,
        )
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
    def image(self) -> Any:
        """The first frame of an image-to-video model as a ``PIL.Image.Image``, or None."""
        return self.inputs.get("image")

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
        """The steps with guidance, counted from 0."""
        if not self.guided:
            return range(0)
        return guided_steps(self.num_inference_steps, self.guidance_from, self.guidance_until)

    @property
    def partly_guided(self) -> bool:
        """Whether some steps have guidance and others do not."""
        return 0 < len(self.guided_steps) < self.num_inference_steps

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
