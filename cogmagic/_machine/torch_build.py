"""The build of the installed torch, and whether a GPU can use it. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cogmagic._machine.gpu import Gpu
from cogmagic._machine.imported_torch import imported_torch

__all__ = [
    "INSTALL",
    "TorchBuild",
    "built_for",
    "cpu_only_note",
    "install_command",
    "torch_build",
]


@dataclass(frozen=True)
class TorchBuild:
    """Version and back end of a torch build."""

    version: str | None = None
    cuda: str | None = None
    hip: str | None = None


def torch_build() -> TorchBuild:
    """The version and back end of the imported torch, else of the installed one."""
    torch = imported_torch()
    if torch is not None:  # no search: the panel asks twice a second
        version = torch.version
        return TorchBuild(str(torch.__version__), version.cuda, version.hip)
    from importlib.util import find_spec

    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return TorchBuild()
    if spec is None or spec.origin is None:
        return TorchBuild()
    facts: dict[str, str | None] = {}
    try:
        source = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return TorchBuild()
    for line in source.splitlines():  # lines such as: cuda: Optional[str] = '12.8'
        name, equals, value = line.partition("=")
        key = name.split(":")[0].strip()
        if equals and key in {"__version__", "cuda", "hip"}:
            text = value.strip().strip("'\"")
            facts[key] = None if text == "None" else text
    return TorchBuild(facts.get("__version__"), facts.get("cuda"), facts.get("hip"))


INSTALL = "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/"


def install_command(driver_cuda: tuple[int, int]) -> str:
    """The command that installs a torch for a driver.

    Args:
        driver_cuda: the newest CUDA that the driver runs.
    """
    return f"{INSTALL}{'cu130' if driver_cuda >= (13, 0) else 'cu126'}"


def cpu_only_note(gpus: tuple[Gpu, ...], build: TorchBuild) -> str:
    """The note about an NVIDIA GPU that a torch built without CUDA cannot use."""
    return (
        f"{gpus[0].name} found, but torch {build.version or '(none)'} was built without CUDA; using"
        f" the CPU. To use the GPU: {INSTALL}cu130, then restart the kernel."
    )


def built_for(capability: tuple[int, int] | None, architectures: list[str]) -> bool:
    """Whether code for one of `architectures` (``sm_90``, ``compute_90``) runs on `capability`.

    Machine code runs on the same major version from its minor version up; PTX on anything newer
    (CUDA C++ Programming Guide, "Application Compatibility").
    """
    if capability is None:  # unknown, as under ROCm: torch sees the device, so let it try
        return True
    for architecture in architectures:
        kind, _, digits = architecture.partition("_")
        number = "".join(c for c in digits if c.isdigit())
        if not number:  # ROCm's names (gfx90a): torch has checked them itself
            return True
        built = (int(number[:-1]), int(number[-1]))
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return False
