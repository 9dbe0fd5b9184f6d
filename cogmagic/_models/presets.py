"""Few-step presets: an adapter, a scheduler, timesteps, steps and guidance under one name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.adapters.adapter import Adapter, as_adapters
from cogmagic._models.catalog import by_other_name, catalogued
from cogmagic._models.model import Model, Scheduler
from cogmagic._models.other_tools import lora_option

__all__ = ["PRESETS", "Preset", "named_model"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The options that belong to a recipe; None or empty where it leaves one to the request."""

    name: str
    models: tuple[str, ...] = ()
    """The models that it fits, by short name, hub id or folder; empty for all."""
    lora: tuple[str | Adapter, ...] = ()
    """Its adapters, each as ``--lora`` takes it, or already read."""
    scheduler: Scheduler | None = None
    timesteps: tuple[int, ...] = ()
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    description: str = ""
    """One line for the manual and the plan."""
    recipe: str = ""
    """Where the recipe is from."""

    def __str__(self) -> str:
        return self.name

    @property
    def settings(self) -> dict[str, Any]:
        """The options that it sets, without its adapters; timesteps set the steps and DDIM, too."""
        count = len(self.timesteps) or None
        settings = {
            "scheduler": self.scheduler or ("ddim" if self.timesteps else None),
            "timesteps": self.timesteps or None,
            "num_inference_steps": self.num_inference_steps or count,
            "guidance_scale": self.guidance_scale,
        }
        return {name: value for name, value in settings.items() if value is not None}

    def check(self, model: Model, options: Mapping[str, Any]) -> None:
        """Check that the model and the options of a request agree with it; None always does.

        Args:
            model: the request's.
            options: checked values, each in itself.

        Raises:
            RequestError: for another model, and for an option with another value.
        """
        if self.models and not any(_is(model, name) for name in self.models):
            raise RequestError(
                f"{self.name} is for {' or '.join(self.models)}: add --model {self.models[0]},"
                f" or leave out --preset {self.name} (the model is {model.name})."
            )
        timesteps = options.get("timesteps") or ()
        implied = {"num_inference_steps": len(timesteps), "scheduler": "ddim"} if timesteps else {}
        for name, own in self.settings.items():
            typed, value = name, options.get(name)
            if value in (None, ()):
                typed, value = "timesteps", implied.get(name)
            if value not in (None, own):
                raise RequestError(
                    f"{_flag(typed)} {_typed(options[typed])} contradicts preset {self.name}, which"
                    f" sets {_flag(name)} {_typed(own)}. Leave out {_flag(typed)} or --preset."
                )

    def with_adapters(self) -> Preset:
        """The same preset, its adapters read.

        Raises:
            CheckpointError: as `as_adapters`.
        """
        return replace(self, lora=as_adapters(list(self.lora)))

    def beside(self, others: tuple[Adapter, ...]) -> tuple[Adapter, ...]:
        """Its adapters, which have been read, and then those of a request.

        Raises:
            RequestError: for an adapter that is among both.
        """
        own = [adapter for adapter in self.lora if isinstance(adapter, Adapter)]
        places = {adapter.place: adapter for adapter in own}
        for other in others:
            if mine := places.get(other.place):
                raise RequestError(
                    f"{other.name} is part of preset {self.name}, with weight {mine.weight:g}."
                    f" Leave out {lora_option(other.source)}, or --preset {self.name}."
                )
        return (*own, *others)


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="tdm",
            models=("2b",),
            lora=("Luo-Yihong/TDM_CogVideoX-2B_LoRA",),
            scheduler="ddim",
            timesteps=(999, 856, 665, 399),
            num_inference_steps=4,
            guidance_scale=1.0,
            description="4 steps without guidance (TDM); built from its authors' recipe, not run"
            " with their weights",
            recipe="README of Luo-Yihong/TDM",
        ),
    )
}
"""The presets that come with cogmagic, by name."""


def named_model(name: str) -> Model | None:
    """The catalogue's model of a short name, a hub id or a name in use, or None."""
    return catalogued(name) or by_other_name(name)


def _is(model: Model, name: str) -> bool:
    """Whether a model is the one of this name, hub id or absolute folder."""
    if known := named_model(name):
        return (model.name, model.architecture) == (known.name, known.architecture)
    return name.lower() in (model.name.lower(), model.source.lower())


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _typed(value: Any) -> str:
    """A value as one types it after its option."""
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else f"{value!s:.40}"
