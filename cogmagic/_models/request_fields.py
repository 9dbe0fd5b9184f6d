"""The fields of a request that its model's rules determine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogmagic._models import input_options, rules
from cogmagic._models.guidance_interval import interval_at
from cogmagic._models.inputs import INPUTS
from cogmagic._models.model import DTYPES, Model
from cogmagic._models.timesteps import as_timesteps, scheduler_at, steps_at

__all__ = ["checked_fields"]


def checked_fields(
    model: Model, options: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """The checked values of a request's fields that the model's rules determine, by name.

    Args:
        model: whose rules.
        options: all of them, by name; None for the default.
        inputs: has the inputs by name, as they are given.

    Raises:
        RequestError: with the nearest legal value, when the model cannot do it.
    """
    o, timesteps = options, as_timesteps(options["timesteps"])
    width, height = rules.size(model, o["width"], o["height"])
    steps = steps_at(model, o["num_inference_steps"], timesteps)
    scale = rules.guidance(model, o["guidance_scale"])
    converted = rules.inputs(model, inputs)
    named = {name for name, value in inputs.items() if name in INPUTS and value is not None}
    of_inputs = input_options.checked(model, o, converted, named, steps)
    run = input_options.steps_at(steps, of_inputs["strength"])
    begin, end = interval_at(run, scale, o["guidance_from"], o["guidance_until"])
    return of_inputs | {
        "prompt": rules.text("prompt", o["prompt"], required=True),
        "negative_prompt": rules.text("negative prompt", o["negative_prompt"]),
        "width": width,
        "height": height,
        "num_inference_steps": steps,
        "guidance_scale": scale,
        "guidance_from": begin,
        "guidance_until": end,
        "seed": rules.seed_or_random(o["seed"]),
        "scheduler": scheduler_at(model, o["scheduler"], timesteps),
        "dtype": rules.choice("dtype", o["dtype"], DTYPES),
        "inputs": converted,
        "timesteps": timesteps,
    }
