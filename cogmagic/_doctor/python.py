"""Checks of Python and its packages."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from cogmagic._doctor.check import Finding, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings

__all__ = ["check_packages", "check_python", "lacking"]


_LEAST_PYTHON = (3, 11)
"""As ``requires-python`` in pyproject.toml."""


def check_python(here: Surroundings) -> Finding:
    """Python's version, and that it is a 64-bit one."""
    version = ".".join(map(str, here.python))
    least = ".".join(map(str, _LEAST_PYTHON))
    if here.python < _LEAST_PYTHON:
        return failure(
            f"Python {version}, but cogmagic needs {least} or newer",
            f"make an environment with Python {least}: python{least} -m venv .venv",
        )
    if sys.maxsize < 2**32:
        return failure(f"Python {version} is a 32-bit build", "install 64-bit Python")
    where = f"{here.system} {here.architecture}"
    kind = platform.python_implementation()
    return ok(f"{kind} {version} on {where}", private=sys.executable)


def check_packages(here: Surroundings) -> Finding:
    """The packages that cogmagic depends on: installed, and new enough."""
    if not here.requirements:
        return warning(
            "cogmagic itself is not installed, so its requirements are unknown",
            "pip install -e FOLDER with the folder of its clone",
        )
    wrong = list(lacking(here))
    if not wrong:
        libraries = ("diffusers", "transformers", "accelerate", "huggingface-hub")
        shown = (f"{name} {here.packages[name]}" for name in libraries if name in here.packages)
        return ok(", ".join(shown))
    found = ", ".join(f"{need} (here: {have or 'none'})" for need, have in wrong)
    names = " ".join(f'"{need}"' for need, _ in wrong)
    return failure(f"missing or too old: {found}", f"pip install {names}")


def lacking(here: Surroundings, extra: str = "") -> Iterator[tuple[str, str]]:
    """The requirements that are not met, each with the version that is installed.

    Args:
        here: with the requirements and the packages.
        extra: the extra whose requirements count; empty for those of cogmagic itself.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    for text in here.requirements:
        try:
            need = Requirement(text)
        except InvalidRequirement:
            continue
        of_extra = "extra ==" in text.replace("extra==", "extra ==")
        if of_extra != bool(extra) or (need.marker and not need.marker.evaluate({"extra": extra})):
            continue
        have = here.packages.get(need.name.lower().replace("_", "-"), "")
        if not have or not need.specifier.contains(have, prereleases=True):
            yield f"{need.name}{need.specifier}", have
