"""torch, where this process has imported it."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["imported_torch"]


def imported_torch() -> Any:
    """The module, or None before it is imported, and while another thread is importing it.

    Python marks a module that is being imported at its ``__spec__``; half of its names are missing.
    """
    torch = sys.modules.get("torch")
    spec = getattr(torch, "__spec__", None)
    return None if getattr(spec, "_initializing", False) else torch
