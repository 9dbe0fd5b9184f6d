"""What torch's compiler needs of this machine, read without importing torch."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec

__all__ = ["compiler_problem"]


_APT = "apt-get install g++"
_INSTALL = {
    "darwin": "xcode-select --install",
    "win32": "Visual Studio Build Tools, and start Jupyter from their command prompt",
}
"""What installs a compiler, by platform; on others, `_APT`."""


def compiler_problem(device: str) -> str:
    """Why torch cannot compile for `device` here, with what to do; empty if it can.

    A clause without a period, such as ``no C compiler is on PATH: install one (…)``.
    """
    for switch in ("TORCH_COMPILE_DISABLE", "TORCHDYNAMO_DISABLE"):
        if os.environ.get(switch) == "1":
            return f"{switch}=1 is set: unset it and restart the kernel"
    names: tuple[str, ...]
    names = ("CXX", "g++", "c++", "clang++") if device == "cpu" else ("CC", "gcc", "cc", "clang")
    names += ("cl",) if sys.platform == "win32" else ()
    if not any(shutil.which(os.environ.get(name, name)) for name in names):
        language = "C++" if device == "cpu" else "C"
        package = _INSTALL.get(sys.platform, _APT)
        return f"no {language} compiler is on PATH: install one ({package})"
    if device == "cuda" and find_spec("triton") is None:
        return (
            "this torch does not include Triton: pip install triton (Windows:"
            " pip install triton-windows)"
        )
    return ""
