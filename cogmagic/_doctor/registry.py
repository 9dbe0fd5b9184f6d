"""The checks in the order in which they are shown: those of this process, then torch's.

To add one, write its function in the file of its subject and add its line to `CHECKS`; one that
needs torch belongs to `cogmagic._doctor.trials`.
"""

from __future__ import annotations

from cogmagic._doctor import gpus, jupyter, memory, network, python, storage, tools
from cogmagic._doctor.check import Check

__all__ = ["CHECKS"]


CHECKS: tuple[Check, ...] = (
    Check("Python", python.check_python),
    Check("packages", python.check_packages),
    Check("kernel", jupyter.check_kernel),
    Check("widgets", jupyter.check_widgets),
    Check("front end", jupyter.check_front_end),
    Check("torch build", gpus.check_build),
    Check("NVML", gpus.check_nvml),
    Check("GPUs", gpus.check_gpus),
    Check("free VRAM", gpus.check_vram),
    Check("RAM", memory.check_ram),
    Check("fits", memory.check_fit),
    Check("disk", storage.check_disk),
    Check("folders", storage.check_folders),
    Check("checkpoints", storage.check_checkpoints),
    Check("encoder", tools.check_encoder),
    Check("compiler", tools.check_compiler),
    Check("proxies", network.check_proxies),
    Check("container", memory.check_container),
    Check("WSL", memory.check_wsl),
)
"""Those that need no torch, in under a second."""
