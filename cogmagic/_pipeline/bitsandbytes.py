"""Importing bitsandbytes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["import_bitsandbytes"]


def import_bitsandbytes() -> None:
    """Import bitsandbytes, which registers the operators of its layers.

    On some CPUs it downloads compiled code from the hub as it is imported, if the package
    ``kernels`` is installed. Nothing here computes with that code, so the package is hidden.

    Raises:
        ImportError: if it is not installed.
    """
    if "bitsandbytes" in sys.modules:
        return
    with _hidden("kernels"), _no_warnings("bitsandbytes"):
        import bitsandbytes  # noqa: F401


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Let the package look as if it were not installed."""
    absent: Any = object()
    before = sys.modules.get(name, absent)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is absent:
            del sys.modules[name]
        else:
            sys.modules[name] = before


@contextmanager
def _no_warnings(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
