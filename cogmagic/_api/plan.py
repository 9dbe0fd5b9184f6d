"""The verbs that only look ahead: what a request would need, here or on a described machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from cogmagic._errors import RequestError
from cogmagic._footprint.savings import Savings
from cogmagic._machine.gpu import gpu_names
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import configs_folder, find_model, local_folder
from cogmagic._models.request import ANY_IMAGE, Request, known_options
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan as choose
from cogmagic._session.session import session
from cogmagic._units import gib, seconds

if TYPE_CHECKING:
    from cogmagic.training.plan import ValidationPlan

__all__ = ["plan", "which_gpu"]


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
    text, loaded, savings = (
        True,
        False,
        Savings.of(lean_decode=lean_decode, guidance_halves=guidance_halves, fp8=fp8),
    )
    files = local_folder(found) if machine is None else None
    if files is not None:
        text, loaded = _held(request, here, files, fp8=fp8, known=prompt != _ANY_PROMPT)
    elif machine is None:
        from cogmagic._models.hub.disk import bytes_to_download, disk_for_downloads

        download, here = bytes_to_download(found), replace(here, disk=disk_for_downloads())
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
    from cogmagic._pipeline.prompt_cache import PromptCache
    from cogmagic._planning.precision import dtype_for

    dtype, gpu, held = dtype_for(request, machine), machine.roomiest, session().held
    device = gpu.name if gpu else machine.device
    # A pipeline that stays placed keeps its text encoder, needed or not.
    kept = known and held.hot.key is None and PromptCache(request, files, dtype, device).present
    return not kept, held.has(files, dtype, fp8=fp8)


def _plan_training(
    prompt: str,
    model: str,
    tier: str | None,
    here: Machine,
    zero_stage: int | None,
    options: dict[str, Any],
) -> ValidationPlan:
    from cogmagic._planning.precision import dtype_for
    from cogmagic.training.accelerate_run import zero_stage_now
    from cogmagic.training.plan import plan_described_validation

    found = find_model(model)
    request = Request.of(prompt, found, **known_options(options), **_stand_in(found, options))
    return plan_described_validation(
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
    from cogmagic._machine.cards import CARDS

    def on(name: str) -> Plan:
        found: Plan = plan(**options, machine=Machine.of(name, ram=ram))
        return found

    plan(**options, machine=Machine.of("H200"))  # what is wrong with the request itself
    return _cards_that_can(on, tuple(card.name for card in CARDS))


def _stand_in(model: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Any first frame where a plan for an image-to-video model was asked without one."""
    return {"image": ANY_IMAGE} if model.task == "i2v" and "image" not in options else {}


def _cards_that_can(plan_for: Callable[[str], Plan], cards: tuple[str, ...]) -> str:
    """One line a card that can do it, the slowest first, with its tier and its time.

    Args:
        plan_for: the plan on the card of that name; may raise what `plan` raises.
        cards: the names to ask for.
    """
    from cogmagic._errors import CogMagicError

    found, left_out = [], 0
    for name in cards:
        try:
            plan = plan_for(name)
        except CogMagicError:  # no bfloat16, for one
            left_out += 1
            continue
        if plan.fits:
            found.append((plan.seconds or 0.0, name, plan))
        else:
            left_out += 1
    found.sort(key=lambda row: -row[0])
    form = "{:<26} {:<12} {:>10} {:>8} {:>8}"
    lines = [form.format("card", "tier", "VRAM", "s/step", "total")]
    for total, name, plan in found:
        step = seconds(plan.step_seconds)
        lines.append(form.format(name, plan.tier, gib(plan.peak_vram), step, seconds(total)))
    if left_out:
        lines.append(f"{left_out} of {len(cards)} known cards cannot do it.")
    lines.append(
        "Times follow from datasheets, figures measured on an H100 and published ones for an A100."
    )
    return "\n".join(lines)
