"""Checks of the kernel, the widgets and the front end, by installed packages alone."""

from __future__ import annotations

from cogmagic._doctor.check import Finding, ok, warning
from cogmagic._doctor.python import lacking
from cogmagic._doctor.surroundings import Surroundings

__all__ = ["check_front_end", "check_kernel", "check_widgets"]


_LAB = "pip install jupyterlab anywidget ipywidgets"


_LEAST_KERNEL = (6, 31)
"""The oldest ipykernel of the tests."""


def check_kernel(here: Surroundings) -> Finding:
    """Ipykernel, which runs the cells of notebooks."""
    version = here.packages.get("ipykernel")
    if version is None:
        return warning("ipykernel is not installed: no notebook can use this Python", _LAB)
    if _numbers(version) < _LEAST_KERNEL:
        least = ".".join(map(str, _LEAST_KERNEL))
        return warning(
            f"ipykernel {version} is older than those that are tested (from {least})",
            "pip install -U ipykernel, then restart the kernel",
        )
    return ok(f"ipykernel {version}, {'this kernel' if here.in_kernel else 'not in a kernel'}")


def check_widgets(here: Surroundings) -> Finding:
    """The packages of the panel."""
    needed = ("anywidget", "ipywidgets")
    wrong = [pair for pair in lacking(here, "lab") if pair[0].startswith(needed)]
    missing = [name for name in needed if name not in here.packages]
    if wrong or missing:
        shown = [f"{need} (here: {have or 'none'})" for need, have in wrong] or missing
        return warning(f"the panel lacks {', '.join(shown)}", f"{_LAB}, then restart the kernel")
    return ok(", ".join(f"{name} {here.packages[name]}" for name in needed))


def check_front_end(here: Surroundings) -> Finding:
    """The front end that shows cells and widgets."""
    version = here.packages.get("jupyterlab")
    if here.front_end in ("Colab", "Kaggle"):
        return ok(
            f"{here.front_end}: links to files do not work there, so videos are embedded up to"
            " %config CogMagic.embed_limit_mb"
        )
    if here.front_end == "VS Code":
        return warning(
            "VS Code loads the scripts of widgets from the internet, if its settings allow that",
            'in its settings, "jupyter.widgetScriptSources": ["jsdelivr.com", "unpkg.com"]',
        )
    if version is None:
        front_ends = [n for n in ("notebook", "nbclassic", "voila") if n in here.packages]
        if front_ends or here.in_kernel:
            return ok(f"{', '.join(front_ends) or 'unknown'}; JupyterLab 4 is the tested one")
        return warning("JupyterLab is not installed in this environment", _LAB)
    if _numbers(version) < (4,):
        return warning(f"JupyterLab {version}: only 4 is tested", "pip install -U jupyterlab")
    return ok(f"JupyterLab {version}")


def _numbers(version: str) -> tuple[int, ...]:
    """The first numbers of a version."""
    return tuple(int(n) for n in version.split(".")[:2] if n.isdecimal())
