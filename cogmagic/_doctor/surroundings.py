"""What the checks know of this machine: values that are read once, without importing torch."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from cogmagic._html import in_notebook
from cogmagic._machine.machine import Machine
from cogmagic._machine.nvml import ask, driver_version
from cogmagic._machine.torch_build import TorchBuild, torch_build

__all__ = ["Surroundings", "installed"]


@dataclass(frozen=True)
class Surroundings:
    """The machine, its software, and this process, as the checks see them."""

    machine: Machine = field(default_factory=Machine)
    build: TorchBuild = field(default_factory=TorchBuild)
    python: tuple[int, int, int] = (3, 11, 0)
    system: str = "Linux"
    release: str = ""
    """Of the operating system's kernel; WSL has ``microsoft`` in it."""
    architecture: str = "x86_64"
    packages: Mapping[str, str] = field(default_factory=dict)
    """The installed packages by their normalised names, with their versions."""
    requirements: tuple[str, ...] = ()
    """Those of cogmagic, as its metadata has them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    front_end: str = ""
    """The front end of this kernel, if it is one that is known by name."""
    in_kernel: bool = False
    """Whether this process is a notebook's kernel."""
    nvml_problem: str = ""
    """Why NVML does not start; empty if it does."""
    nvidia_devices: int = 0
    """NVIDIA's display controllers on the PCI bus."""
    driver: str = ""
    """NVIDIA's driver, as ``580.95.05``."""
    driver_cuda: tuple[int, int] | None = None
    """The newest CUDA that the driver runs."""
    container: str = ""
    """The kind of container around this process; empty for none."""
    shared_memory: int | None = None
    """Bytes of ``/dev/shm``; None without one."""
    locked_limit: int | None = None
    """Bytes that ``ulimit -l`` allows; None without a limit."""

    @property
    def wsl(self) -> bool:
        """Whether this is Linux under Windows (WSL)."""
        return "microsoft" in self.release.lower()

    @classmethod
    def read(cls) -> Surroundings:
        """Those of this process, now."""
        uname, version = platform.uname(), sys.version_info
        return cls(
            machine=Machine.detect(),
            build=torch_build(),
            python=(version.major, version.minor, version.micro),
            system=uname.system,
            release=uname.release,
            architecture=uname.machine,
            packages=installed(),
            requirements=tuple(_requirements()),
            environment=dict(os.environ),
            front_end=_front_end(),
            in_kernel=in_notebook(),
            nvml_problem=_nvml_problem(),
            nvidia_devices=_nvidia_devices(Path("/sys/bus/pci/devices")),
            driver=driver_version(),
            driver_cuda=_driver_cuda(),
            container=_container(),
            shared_memory=_size(Path("/dev/shm")),  # noqa: S108 - its size alone is read
            locked_limit=_locked_limit(),
        )


def installed() -> dict[str, str]:
    """The installed packages by their normalised names, with their versions."""
    found: dict[str, str] = {}
    for package in metadata.distributions():
        name = package.metadata["Name"]
        if name:  # damaged metadata have none; the first on the path is the one that is imported
            found.setdefault(name.lower().replace("_", "-"), package.version)
    return found


def _requirements() -> list[str]:
    try:
        return metadata.requires("cogmagic") or []
    except metadata.PackageNotFoundError:  # a clone on PYTHONPATH
        return []


def _front_end() -> str:
    """The front end by its traces: modules, or variables that it sets for its kernels."""
    if not in_notebook():  # the terminals of front ends have some of these variables, too
        return ""
    if "google.colab" in sys.modules:
        return "Colab"
    traces = {
        "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
        "JPY_SESSION_NAME": "Jupyter",
        "VSCODE_PID": "VS Code",
    }
    return next((name for variable, name in traces.items() if os.environ.get(variable)), "")


def _nvml_problem() -> str:
    """Why NVML does not start; empty if it does."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    return ""


def _driver_cuda() -> tuple[int, int] | None:
    number = ask("nvmlSystemGetCudaDriverVersion_v2")  # 12040 is 12.4
    return None if number is None else (number // 1000, number % 1000 // 10)


def _nvidia_devices(folder: Path) -> int:
    """NVIDIA's display controllers (PCI class 03) among the devices of sysfs."""

    def text(file: Path) -> str:
        try:
            return file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return ""

    devices = folder.iterdir() if folder.is_dir() else ()
    return sum(
        text(d / "vendor") == "0x10de" and text(d / "class").startswith("0x03") for d in devices
    )


def _container() -> str:
    marks = {"/.dockerenv": "Docker", "/run/.containerenv": "Podman"}
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return "Apptainer"
    return next((name for file, name in marks.items() if Path(file).exists()), "")


def _size(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).total
    except OSError:
        return None


def _locked_limit() -> int | None:
    """Bytes that ``ulimit -l`` allows; None without a limit, and on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else int(soft)
