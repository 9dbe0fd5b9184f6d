"""`plan`: what a request would need, on this machine or on a described one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from cogmagic._api.generate import DEFAULT_MODEL, request_of
from cogmagic._errors import RequestError
from cogmagic._machine.gpu import gpu_names
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import configs_folder, find_model, local_folder
from cogmagic._models.inputs import placeholders
from cogmagic._models.prompt_warnings import prompt_warnings
from cogmagic._models.request import Request
from cogmagic._planning.all_speeds import with_speeds
from cogmagic._planning.checks import check_packages
from cogmagic._planning.memory_options import Available, MemoryOptions, memory_options
from cogmagic._planning.parallel import with_parallel
from cogmagic._planning.plan import Plan
from cogmagic._planning.planner import plan as choose
from cogmagic._planning.resolved import resolved
from cogmagic._session.session import session
from cogmagic._spelling import errors_for_python

if TYPE_CHECKING:
    from cogmagic.training.plan import ValidationPlan

__all__ = ["ANY_PROMPT", "configs_for", "plan", "plan_checked"]


ANY_PROMPT = "any prompt"  # a plan does not depend on the words


@overload
def plan(
    prompt: str | Request = ..., *, context: Literal["training"], **options: Any
) -> ValidationPlan: ...


@overload
def plan(
    prompt: str | Request = ..., *, context: Literal["notebook"] = ..., **options: Any
) -> Plan: ...


@errors_for_python()
def plan(
    prompt: str | Request = ANY_PROMPT,
    *,
    context: str = "notebook",
    model: str = DEFAULT_MODEL,
    tier: str | None = None,
    policy: str = "auto",
    vram_limit: float | None = None,
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
    `zero_stage` is that of this process's DeepSpeed run unless it is given.
    """
    if not isinstance(machine, Machine | None):
        raise RequestError(
            f"machine={machine!r:.80} is not a Machine. For a card: machine=Machine.of('RTX 3060')."
        )
    names = gpu_names(gpus)
    if context == "training":
        if unused := memory_options(options):
            raise RequestError(
                f"A plan for training takes no {next(iter(unused))}: a validation runs the caller's"
                " pipeline as it is. Leave it out."
            )
        here = machine.only(names) if machine else Machine.detect(gpus=names)
        request = _request(prompt, model, options)
        return _plan_training(request, tier, _with_ram(here, ram), zero_stage)
    if context != "notebook":
        raise RequestError(f"Unknown context {context!r}. Choose from: notebook, training.")
    memory = MemoryOptions.of(
        tier=tier,
        policy=policy,
        vram_limit=vram_limit,
        gpus=gpus,
        lean_decode=lean_decode,
        guidance_halves=guidance_halves,
        fp8=fp8,
        **memory_options(options),
    )
    return plan_checked(_request(prompt, model, options), memory, machine, ram)


def plan_checked(
    request: Request,
    memory: MemoryOptions,
    machine: Machine | None = None,
    ram: float | None = None,
    *,
    embeddings: int = 0,
    code: frozenset[Hashable] = frozenset(),
    warm: bool = False,
    speeds: bool = True,
    suggest: bool = True,
) -> Plan:
    """The plan of a checked request, as `plan` makes it.

    Args:
        request: what to generate.
        memory: what the person chose about memory.
        machine: a described machine; None for this one.
        ram: another amount of host memory, in GiB.
        embeddings: bytes of prompt embeddings that a batch has in host memory.
        code: keys (`code_key`) of the code that a batch has compiled before, beside this kernel's.
        warm: whether to plan for weights in host memory and encoded prompts, whatever is there.
        speeds: whether it has the seconds of all speeds, and what several GPUs would gain.
        suggest: whether it says what would need less memory or time.
    """
    if machine is not None:
        here, available = machine.only(memory.gpus), Available(folder=configs_for(request))
        here = _with_ram(here, ram)
    else:
        here = _with_ram(session().slot.without(Machine.detect(gpus=memory.gpus)), ram)
        check_packages(request.model, memory)
        here, available = _available(request, here, memory)
    warning = _prompt_warning(request)
    code |= available.code
    available = replace(available, prompt_warning=warning, embeddings=embeddings, code=code)
    if warm:
        available = replace(available, prompts_cached=True, weights_loaded=True, download=0)
    made = choose(request, here, memory, available, suggest=suggest)
    return with_parallel(with_speeds(made, here), here) if speeds else made


def _request(prompt: str | Request, model: str, options: dict[str, Any]) -> Request:
    """The request to plan; placeholders stand in for inputs that are not given."""
    if isinstance(prompt, Request):
        inputs = placeholders(prompt.model.task, prompt.inputs) | dict(prompt.inputs)
        return request_of(replace(prompt, inputs=inputs), model, options)
    named = find_model(model)
    return Request.of(prompt, named, **options | placeholders(named.task, options))


def configs_for(request: Request) -> Path | None:
    """The folder with the configurations of a model outside the catalogue."""
    return None if catalogued(request.model.source) else configs_folder(request.model)


def _prompt_warning(request: Request) -> str:
    """What is wrong with the prompts, as far as is known without a download."""
    if request.prompt == ANY_PROMPT:
        request = replace(request, prompt="")
    return prompt_warnings(request, configs_folder(request.model))


def _with_ram(machine: Machine, ram: float | None) -> Machine:
    return machine if ram is None else replace(machine, ram=Machine.of(ram=ram).ram)


def _available(
    request: Request, machine: Machine, memory: MemoryOptions
) -> tuple[Machine, Available]:
    """What this kernel has already for a request, and the machine with its free disk."""
    from cogmagic._machine.page_cache import cached_share
    from cogmagic._pipeline.compile import compiled_code
    from cogmagic._pipeline.prompt_cache import PromptCache
    from cogmagic._planning.dtype import dtype_for

    available, files = Available(folder=configs_for(request)), local_folder(request.model)
    if files is None:
        from cogmagic._models.hub.disk import bytes_to_download, disk_for_downloads

        download = bytes_to_download(request.model)
        return replace(machine, disk=disk_for_downloads()), replace(available, download=download)
    dtype, gpu, slot = dtype_for(request, machine, memory), machine.roomiest, session().slot
    where = gpu.name if gpu else machine.device
    texts = PromptCache(request, files, dtype, where, memory.savings.text)
    # A pipeline that stays placed keeps its text encoder, needed or not.
    cached = request.prompt != ANY_PROMPT and slot.hot.key is None and texts.present
    storage = resolved(request.model, memory, machine, dtype).savings.stored_as
    loaded = slot.has(files, dtype, storage)
    here = replace(available, prompts_cached=cached, weights_loaded=loaded, code=compiled_code())
    if machine.device == "cuda" and not loaded:
        here = replace(here, cached=cached_share(files), first_run=slot.plan is None)
    return machine, here


def _plan_training(
    request: Request, tier: str | None, here: Machine, zero_stage: int | None
) -> ValidationPlan:
    from cogmagic._planning.dtype import dtype_for
    from cogmagic.training.plan import plan_described_validation
    from cogmagic.training.samples import check_no_adapters
    from cogmagic.training.training_run import zero_stage_now

    check_no_adapters(request)
    return plan_described_validation(
        request,
        here,
        dtype_for(request, here),
        folder=configs_for(request),
        zero_stage=zero_stage_now() if zero_stage is None else zero_stage,
        tier=tier,
    )
