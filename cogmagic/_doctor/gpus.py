"""Checks of the GPUs: torch's build against the driver, NVML, what torch sees, free VRAM."""

from __future__ import annotations

from cogmagic._doctor.check import Finding, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.nvml import ask
from cogmagic._machine.torch_build import install_command
from cogmagic._machine.vram_users import other_processes
from cogmagic._units import GIB, gib

__all__ = ["check_build", "check_gpus", "check_nvml", "check_vram"]


_MUCH = GIB
"""Bytes of other processes that are worth a warning."""


def check_build(here: Surroundings) -> Finding:
    """Torch's build against NVIDIA's driver, without importing torch.

    Within a major version of CUDA, newer minor versions run on older drivers (CUDA Compatibility,
    "Minor Version Compatibility").
    """
    build, driver = here.build, here.driver_cuda
    back_end = f"CUDA {build.cuda}" if build.cuda else f"ROCm {build.hip}" if build.hip else "CPUs"
    name = f"torch {build.version}, built for {back_end}"
    if build.version is None:
        return failure("torch is not installed", "pip install torch")
    if driver is None or build.hip:
        return ok(name)
    newest, install = ".".join(map(str, driver)), install_command(driver)
    if build.cuda is None:
        return failure(f"{name} alone, but the driver {here.driver} runs CUDA {newest}", install)
    if int(build.cuda.split(".")[0]) > driver[0]:
        return failure(
            f"{name}, but the driver {here.driver} runs CUDA up to {newest}",
            f"update the driver, or: {install}",
        )
    return ok(f"{name}; driver {here.driver} (CUDA {newest})")


def check_nvml(here: Surroundings) -> Finding:
    """NVML, from which free VRAM is read."""
    if not here.nvml_problem:
        return ok(f"driver {here.driver or 'of unknown version'}")
    if not here.nvidia_devices:
        return ok("no NVIDIA GPU, so it is not needed")
    text = f"{here.nvidia_devices} NVIDIA GPU(s), but NVML does not start ({here.nvml_problem})"
    if "mismatch" in here.nvml_problem.lower():
        return failure(text, "the driver was updated while loaded: restart the machine")
    if here.container:
        return failure(text, "start the container with its GPUs, such as: docker run --gpus all")
    return failure(text, "install NVIDIA's driver, until this command lists the GPU: nvidia-smi")


def check_gpus(here: Surroundings) -> Finding:
    """The GPUs by torch's index, each with NVML's."""
    machine = here.machine
    if machine.device == "mps":
        return ok("the Apple GPU, through MPS")
    if machine.gpus:
        gpus = "; ".join(_mapped(gpu) for gpu in machine.gpus)
        variables = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "HIP_VISIBLE_DEVICES")
        set_ = (f"{v}={here.environment[v]}" for v in variables if here.environment.get(v))
        return ok("; ".join([gpus, *set_]))
    if machine.note:
        text, _, advice = machine.note.partition("; using the CPU")
        hidden = next((v for v in _HIDING if v in text), "")
        fix = f"unset {hidden}, and restart the kernel" if hidden else advice.strip(" .")
        return failure(text, fix or "nvidia-smi")
    return warning(
        "none: videos are made on the CPU, where the large models take hours",
        "%cogvideo plan --model 5b --which-gpu compares GPUs",
    )


_HIDING = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
"""Variables that hide GPUs."""


def _mapped(gpu: Gpu) -> str:
    number = ask("nvmlDeviceGetIndex", gpu)
    other = "" if number is None else f" (nvidia-smi {number})"
    version = ".".join(map(str, gpu.capability or ()))
    capability = f", compute capability {version}" if version else ""
    return f"{gpu.index}{other}: {gpu.name}, {gib(gpu.total)}{capability}"


def check_vram(here: Surroundings) -> Finding:
    """Free VRAM now, and who uses the rest."""
    gpus = here.machine.computing
    if not gpus:
        return ok("no GPU")
    text = "; ".join(f"GPU {g.index}: {gib(g.available)} free of {gib(g.total)}" for g in gpus)
    crowded = [g for g in gpus if (g.others or 0) > _MUCH and not g.unified]
    users = [str(u) for g in crowded for u in other_processes(g)]
    if not crowded:
        return ok(text)
    taken = " and ".join(f"{gib(g.others)} of GPU {g.index}" for g in crowded)
    return warning(
        f"{text}; other processes use {taken}",
        "end those that you do not need; nvidia-smi lists them",
        private=", ".join(users),
    )
