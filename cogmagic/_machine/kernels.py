"""Attention kernels on this machine: the installed packages, and how each compares with torch's.

Read without importing torch. `cogmagic._pipeline.attention` compares them and decides on their use.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from cogmagic._files import read_table, write_table
from cogmagic._machine.torch_build import torch_build

__all__ = [
    "EXTRA",
    "MODULES",
    "Comparison",
    "comparisons",
    "delete_comparisons",
    "installed_kernels",
    "package_version",
    "store_comparison",
    "uncompared",
]


MODULES = {
    "fa3": ("fa3_fwd_interface", "fa3-fwd"),
    "sage": ("sageattention", "sageattention"),
    "fa2": ("flash_attn", "flash-attn"),
    "fa3-fp8": ("fa3_fwd_interface", "fa3-fwd"),
}
"""The module to import and the package to install, by the kernel's name."""


EXTRA = tuple(name for name, (_, package) in MODULES.items() if package == "fa3-fwd")
"""The kernels of the extra ``fast``."""


_MOST_STORED = 50
"""Comparisons stored at most; the oldest are dropped."""


@dataclass(frozen=True)
class Comparison:
    """One small attention by a kernel, compared with torch's flash kernel on the same GPU."""

    kernel: str
    dtype: str
    head_dim: int
    difference: float | None
    """Norm of the difference over the norm of torch's result; None if the kernel failed."""
    reason: str = ""
    """Why the kernel failed: one line."""


uncompared: list[Comparison] = []
"""The comparisons of this process's last run for which memory ran out."""


def installed_kernels() -> tuple[str, ...]:
    """Names of the kernels whose module is installed; nothing is imported."""
    return tuple(name for name, (module, _) in MODULES.items() if _is_installed(module))


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def comparisons(card: str, folder: Path) -> tuple[Comparison, ...]:
    """The stored comparisons on GPUs named `card`, with the installed torch and packages.

    Args:
        card: the GPU's name.
        folder: of the probes and the run history.
    """
    table = _read(folder) | _unwritten.get(folder, {})
    rows = (c for c in table.values() if c.kernel in MODULES)
    return tuple(c for c in rows if table.get(_key(card, c)) is c)


def store_comparison(card: str, comparison: Comparison, folder: Path) -> None:
    """Store a comparison; in a folder that cannot be written it lasts as long as this process."""
    key, table = _key(card, comparison), _read(folder)
    table.pop(key, None)
    rows = {k: asdict(c) for k, c in (table | {key: comparison}).items()}
    try:
        write_table(_file(folder), dict(list(rows.items())[-_MOST_STORED:]))
    except OSError:
        _unwritten.setdefault(folder, {})[key] = comparison


def delete_comparisons(folder: Path) -> None:
    """Delete all comparisons, so that each kernel is compared again before its next use."""
    _unwritten.pop(folder, None)
    with suppress(OSError):
        _file(folder).unlink()


_unwritten: dict[Path, dict[str, Comparison]] = {}
"""Comparisons of this process that could not be written, by folder."""


def _read(folder: Path) -> dict[str, Comparison]:
    """The stored comparisons by key, without damaged ones."""
    rows = {key: _comparison(row) for key, row in read_table(_file(folder)).items()}
    return {key: row for key, row in rows.items() if row is not None}


def _comparison(row: object) -> Comparison | None:
    """A stored row as a comparison; None for a damaged one."""
    if not isinstance(row, dict):
        return None
    with suppress(TypeError):
        c = Comparison(**row)
        texts = all(isinstance(text, str) for text in (c.kernel, c.dtype, c.reason))
        measured = type(c.difference) is float and 0 <= c.difference < math.inf
        failed = c.difference is None and bool(c.reason)
        if texts and type(c.head_dim) is int and (failed or (measured and not c.reason)):
            return c
    return None


def _file(folder: Path) -> Path:
    return folder / "kernels-v1.json"


def _key(card: str, comparison: Comparison) -> str:
    """What a comparison depends on: package, card, torch and its CUDA, dtype, head dimension."""
    _, package = MODULES[comparison.kernel]
    build = torch_build()
    parts = (
        f"{comparison.kernel} {package_version(package)}",
        card,
        f"torch {build.version} CUDA {build.cuda}",
        comparison.dtype,
        str(comparison.head_dim),
    )
    return ", ".join(parts)


def package_version(package: str) -> str:
    """The version of an installed package, in words where it is not known."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"
