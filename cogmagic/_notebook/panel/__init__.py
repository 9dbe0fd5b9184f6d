"""The panel, an ipywidget."""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

from cogmagic._errors import RequestError

__all__ = ["panel"]


def panel(
    names: MutableMapping[str, Any] | None = None, defaults: Mapping[str, Any] | None = None
) -> Any:
    """The kernel's panel, an ipywidget: live memory, the recommendation, a request and its runs.

    Args:
        names: the variables that may be named as a first frame, and that an uploaded one becomes
            one of; those of ``__main__`` by default.
        defaults: the first values of a new panel's fields, of ``model``, ``tier``, ``policy``,
            ``vram_limit`` (bytes), ``gpus``, ``keep`` and ``save``; ``presets``, the TOML file
            whose presets it offers; ``embed_limit``, the bytes of videos that the notebook may
            store; and ``endpoint`` and ``endpoint_model``, the server that enhances prompts.

    Raises:
        RequestError: where the packages that the panel needs are not installed.
    """
    try:
        from cogmagic._notebook.panel.widget import the_panel
    except ModuleNotFoundError as missing:
        raise RequestError(
            f"The panel needs {missing.name}. Type %pip install anywidget ipywidgets, then restart"
            " the kernel."
        ) from None
    return the_panel(vars(sys.modules["__main__"]) if names is None else names, defaults).view
