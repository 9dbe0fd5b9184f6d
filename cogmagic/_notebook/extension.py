"""``%load_ext`` and ``%unload_ext``: what they register in IPython, and its removal."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["load", "unload"]


_ATTRIBUTE = "_cogmagic_loaded"
"""Where the shell carries what `load` registered."""


def load(ipython: Any) -> None:
    """Register the magics, their configuration, completion and cell transformer, once."""
    unload(ipython)
    from cogmagic._notebook.completion import matcher
    from cogmagic._notebook.magics import CogMagic
    from cogmagic._notebook.transformer import Transformer

    magics = CogMagic(ipython)
    ipython.register_magics(magics)
    match = None
    completer = getattr(ipython, "Completer", None)
    if completer is not None and hasattr(completer, "custom_matchers"):
        match = matcher(magics)
        completer.custom_matchers.append(match)
    transformer = Transformer(ipython)
    transformers = (transformer.at_once, transformer)
    ipython.input_transformers_cleanup.extend(transformers)
    setattr(ipython, _ATTRIBUTE, (magics, match, transformers))


def unload(ipython: Any) -> None:
    """Undo `load`, and release the pipeline."""
    if not hasattr(ipython, _ATTRIBUTE):
        return
    if "cogmagic._session.session" in sys.modules:
        # First, because it may refuse; then nothing has been undone.
        sys.modules["cogmagic._session.session"].session().stop()
    magics, match, transformers = getattr(ipython, _ATTRIBUTE)
    delattr(ipython, _ATTRIBUTE)
    for transformer in transformers:
        if transformer in ipython.input_transformers_cleanup:
            ipython.input_transformers_cleanup.remove(transformer)
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
