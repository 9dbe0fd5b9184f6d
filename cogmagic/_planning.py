"""The verbs that only look ahead: what a request would need, here or on a described machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from cogmagic._catalog import catalogued
from cogmagic._checkpoint import configs_folder, find_model, local_folder
from cogmagic._errors import RequestError, did_you_mean
from cogmagic._machine import Machine
from cogmagic._plan import Plan
from cogmagic._planner import plan as choose
from cogmagic._request import ANY_IMAGE, Request
from cogmagic._savings import Savings
from cogmagic._selected import gpu_names
from cogmagic._session import session

if TYPE_CHECKING:
    from cogmagic._validation_plan import ValidationPlan

__all__ = ["known_options", "plan", "which_gpu"]

_ANY_PROMPT = "any prompt"  # a plan does not depend on the words


@overload
def plan(prompt: str = ..., *, context: Literal["training"], **options: Any) -> ValidationPlan: ...
@overload
def plan(prompt: str = ..., *, context: Literal["notebook"] = ..., **options: Any) -> Plan: ...
def plan(
    prompt: str = _ANY_PROMPT,
    *,
    context: str = "notebook",
    model: str = "tiny",
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: int | None = None,
    gpus: str | int | Sequence[str | int] | None = None,
    machine: Machine | None = None,
    ram: float | None = None,
    zero_stage: int | None = None,
    lean_decode: bool = False,
    guidance_halves: bool = False,
    fp8: bool = False,
    **options: Any,
) -> Plan | ValidationPlan:
    """Every tier for a request: memory, time, fit, and the choice; nothing is loaded.

    Takes the options of `generate`; `machine` is this one unless another is described, as
    ``Machine.of("RTX 3060")``; `ram` is another amount of host memory, in GiB. With
    ``context="training"``, what a validation inside a training run would do and need on top of it;
    `zero_stage` is that of the DeepSpeed run that this process is in unless it is given.
    """
    if not isinstance(machine, Machine | None):
        raise RequestError(
            f"machine={machine!r:.80} is no Machine. For a card: machine=Machine.of('RTX 3060')."
        )
    named = gpu_names(gpus)
    machine = machine.only(named) if machine else None
    if context == "training":
        here = _with_ram(machine or Machine.detect(gpus=named), ram)
        return _plan_training(prompt, model, tier, here, zero_stage, options)
    if context != "notebook":
        raise RequestError(f"Unknown context {context!r}. Choose from: notebook, training.")
    if known_options(options).get("image") is None:
        options.pop("image", None)
    found = find_model(model)
    request = Request.of(prompt, found, **options, **_stand_in(found, options))
    here = _with_ram(machine or session().held.without(Machine.detect(gpus=named)), ram)
    download = 0
    text, loaded, savings = True, False, Savings(lean_decode, guidance_halves, fp8)
    files = local_folder(found) if machine is None else None
    if files is not None:
        text, loaded = _held(request, here, files, fp8=fp8, known=prompt != _ANY_PROMPT)
    elif machine is None:
        from cogmagic._hub import room, still_to_come

        download, here = still_to_come(found), replace(here, disk=room())
    return choose(
        request,
        here,
        download=download,
        tier=tier,
        policy=policy,
        vram_limit=vram_limit,
        folder=None if catalogued(model) else configs_folder(found),
        text=text,
        savings=savings,
        loaded=loaded,
    )


def _with_ram(machine: Machine, ram: float | None) -> Machine:
    return machine if ram is None else replace(machine, ram=Machine.of(ram=ram).ram)


def _held(
    request: Request, machine: Machine, files: Path, *, fp8: bool, known: bool
) -> tuple[bool, bool]:
    """Whether this kernel would still have to encode a known prompt, and has the weights."""
    from cogmagic._checks import dtype_for
    from cogmagic._texts import Texts

    dtype, gpu, held = dtype_for(request, machine), machine.roomiest, session().held
    device = gpu.name if gpu else machine.device
    # A pipeline that stays placed keeps its text encoder, needed or not.
    kept = known and held.hot.key is None and Texts(request, files, dtype, device).there
    return not kept, held.has(files, dtype, fp8=fp8)


def _plan_training(
    prompt: str,
    model: str,
    tier: str | None,
    here: Machine,
    zero_stage: int | None,
    options: dict[str, Any],
) -> ValidationPlan:
    from cogmagic._checks import dtype_for
    from cogmagic._engine import zero_stage_now
    from cogmagic._validation_plan import described

    found = find_model(model)
    request = Request.of(prompt, found, **known_options(options), **_stand_in(found, options))
    return described(
        request,
        here,
        dtype_for(request, here),
        folder=None if catalogued(model) else configs_folder(found),
        zero_stage=zero_stage_now() if zero_stage is None else zero_stage,
        tier=tier,
    )


def which_gpu(*, ram: float | None = None, **options: Any) -> str:
    """The known cards that can do a request, the slowest first, as a table.

    Takes the options of `plan` other than `machine`; `ram` is host memory in GiB.
    """
    from cogmagic._cards import CARDS
    from cogmagic._plan_text import which_gpu as listed

    def on(name: str) -> Plan:
        found: Plan = plan(**options, machine=Machine.of(name, ram=ram))
        return found

    plan(**options, machine=Machine.of("H200"))  # what is wrong with the request itself
    return listed(on, tuple(card.name for card in CARDS))


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


def _stand_in(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Any first frame where a plan for an image-to-video model was asked without one."""
    return {"image": ANY_IMAGE} if model.task == "i2v" and "image" not in options else {}
