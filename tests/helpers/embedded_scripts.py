"""The scripts of ``docs/embedded-model`` as modules, for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

__all__ = ["SCRIPTS", "TINY", "embedded_script"]

SCRIPTS = Path(__file__).parents[2] / "docs" / "embedded-model"
TINY = Path(__file__).parents[2] / "cogmagic" / "models" / "tiny"


@contextmanager
def embedded_script(name: str) -> Iterator[ModuleType]:
    """A script; the modules beside it have common names and are forgotten afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(SCRIPTS))
    yield import_module(name)
    sys.path.remove(str(SCRIPTS))
    for known, module in list(sys.modules.items()):
        if known not in before and Path(getattr(module, "__file__", "") or "").parent == SCRIPTS:
            del sys.modules[known]
