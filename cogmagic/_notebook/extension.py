"""Loading into IPython and leaving it as it was."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["load", "unload"]


_NAME = "_cogmagic_loaded"


def load(ipython: Any) -> None:
    """Register the magics, their configuration and their completion, once."""
    unload(ipython)
    from cogmagic._notebook.completion import matcher
    from cogmagic._notebook.magics import CogMagic

    magics = CogMagic(ipython)
    ipython.register_magics(magics)
    match = None
    completer = getattr(ipython, "Completer", None)
    if completer is not None and hasattr(completer, "custom_matchers"):
        match = matcher()
        completer.custom_matchers.append(match)
    setattr(ipython, _NAME, (magics, match))


def unload(ipython: Any) -> None:
    """Undo `load`, and let go of the pipeline."""
    if not hasattr(ipython, _NAME):
        return
    if "cogmagic._session.session" in sys.modules:
        sys.modules[
            "cogmagic._session.session"
        ].session().stop()  # or refuse, with nothing undone yet
    magics, match = getattr(ipython, _NAME)
    delattr(ipython, _NAME)
    for kind in ("line", "cell"):
        ipython.magics_manager.magics[kind].pop("cogvideo", None)
    ipython.magics_manager.registry.pop(type(magics).__name__, None)
    if magics in ipython.configurables:
        ipython.configurables.remove(magics)
    if match is not None and match in ipython.Completer.custom_matchers:
        ipython.Completer.custom_matchers.remove(match)
    if "cogmagic._notebook.panel.widget" in sys.modules:
        sys.modules["cogmagic._notebook.panel.widget"].close_panel()
    from cogmagic._api.kernel import release
    from cogmagic._session.session import session

    if session().loaded:
        release()
