"""The page of all public names, from their docstrings."""

from __future__ import annotations

import inspect

import cogmagic

HEAD = """# Python API

Every public name of `cogmagic`, from its docstring. `import cogmagic` brings in neither torch nor
diffusers; they are imported by the first run.
"""
SECTIONS = ("Functions", "Classes", "Errors")


def api_page() -> str:
    """Markdown with an autodoc directive for each public name."""
    sections: dict[str, list[str]] = {name: [] for name in SECTIONS}
    for name in cogmagic.__all__:
        value = getattr(cogmagic, name)
        if inspect.isclass(value) and issubclass(value, BaseException):
            sections["Errors"].append(_directive("autoexception", name))
        elif inspect.isclass(value):
            sections["Classes"].append(_directive("autoclass", name, members=True))
        elif callable(value):
            sections["Functions"].append(_directive("autofunction", name))
    training = [_directive("autofunction", f"training.{name}") for name in cogmagic.training.__all__
                if inspect.isfunction(getattr(cogmagic.training, name))]  # fmt: skip
    parts = [HEAD, *(f"## {title}\n\n" + "\n\n".join(sections[title]) for title in SECTIONS)]
    return "\n\n".join([*parts, "## Training", *training]) + "\n"


def _directive(kind: str, name: str, *, members: bool = False) -> str:
    option = "\n   :members:" if members else ""
    return f"```{{eval-rst}}\n.. {kind}:: cogmagic.{name}{option}\n```"
