"""Checks of host memory, of what limits it, and of the models that fit this machine."""

from __future__ import annotations

from cogmagic._doctor.check import Finding, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import CogMagicError
from cogmagic._models.catalog import MODELS
from cogmagic._models.inputs import placeholders
from cogmagic._models.model import Model
from cogmagic._models.request import Request
from cogmagic._planning.planner import plan
from cogmagic._tiers.host_memory import PROCESS
from cogmagic._units import GIB, MIB, gib

__all__ = ["check_container", "check_fit", "check_ram", "check_wsl"]


_LEAST_SHARED = GIB
"""Bytes of ``/dev/shm`` that several GPUs should have: Docker's default of 64 MiB is too little for
NCCL, whose documentation ("Shared memory") advises a gibibyte."""


def check_ram(here: Surroundings) -> Finding:
    """Host memory that is free now."""
    ram = here.machine.ram
    whose = "the container" if ram.source == "container" else "this machine"
    text = f"{gib(ram.available)} available of {gib(ram.total)} ({whose})"
    if ram.available is None or (ram.for_me or 0) >= PROCESS:
        return ok(text)
    more = (
        "start the container with more memory (docker run --memory)"
        if ram.source == "container"
        else "end other programs and kernels"
    )
    return failure(f"{text}: torch and diffusers alone take {gib(PROCESS)}", more)


def check_container(here: Surroundings) -> Finding:
    """Limits of a container and of this process: memory, addresses, shared memory."""
    ram, problems = here.machine.ram, list[tuple[str, str]]()
    if ram.mappable is not None:
        text = f"ulimit -v or -d leaves {gib(ram.mappable)} for memory-mapped weights"
        problems.append((text, "ulimit -v unlimited -d unlimited, in the shell of the server"))
    if len(here.machine.gpus) > 1 and (here.shared_memory or _LEAST_SHARED) < _LEAST_SHARED:
        size = f"{(here.shared_memory or 0) / MIB:.0f} MiB"
        text = f"shared memory (/dev/shm) of {size} is too little for --parallel on several GPUs"
        problems.append((text, "start the container with --shm-size=1g"))
    if problems:
        texts, fixes = zip(*problems, strict=True)
        return warning("; ".join(texts), "; ".join(fixes))
    limit = f"memory limited to {gib(ram.total)}" if ram.source == "container" else "no limit"
    return ok(f"{here.container or 'no container'}, {limit}")


def check_wsl(here: Surroundings) -> Finding:
    """WSL, which gives Linux a part of the memory and slow access to the disks of Windows."""
    if not here.wsl:
        return ok("not WSL")
    from huggingface_hub import constants

    if constants.HF_HUB_CACHE.startswith("/mnt/"):
        return warning(
            "the hub's cache is on a disk of Windows, which WSL reads slowly",
            "export HF_HOME=~/.cache/huggingface, and restart the kernel",
        )
    return warning(
        f"WSL gives Linux {gib(here.machine.ram.total)} of the machine's memory (half by default),"
        " and limits what can be page-locked",
        "in .wslconfig of your Windows home, [wsl2] memory=…; then: wsl --shutdown",
    )


def check_fit(here: Surroundings) -> Finding:
    """The models that fit the memory that is free now, each in its fastest tier."""
    fitting, refusals = list[str](), list[str]()
    for model in (m for m in MODELS if not m.embedded):
        try:
            made = plan(_request(model), here.machine, suggest=False)
        except CogMagicError as error:  # no bfloat16, for one
            refusals.append(str(error))
            continue
        if made.fits:
            fitting.append(f"{model.name} ({made.placement.title})")
        else:
            refusals.append(made.refusal)
    if fitting:
        return ok(", ".join(fitting))
    return warning(
        f"none but the embedded models: {refusals[0].split('. ')[0].rstrip('.')}",
        "%cogvideo plan --model 2b shows what would help",
    )


def _request(model: Model) -> Request:
    return Request.of("any prompt", model, **placeholders(model.task, {}))
