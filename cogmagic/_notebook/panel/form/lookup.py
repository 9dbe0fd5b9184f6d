"""What is looked up for a field, once for each text, because that may ask the hub."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cogmagic._errors import CogMagicError

__all__ = ["Lookup"]

Key = TypeVar("Key")
Value = TypeVar("Value")


_RETRY_SECONDS = 10.0
"""Seconds after which a failed look-up is tried again."""


class Lookup(Generic[Key, Value]):
    """A function that remembers its last result, an error as well.

    Args:
        find: the function.
    """

    def __init__(self, find: Callable[[Key], Value]) -> None:
        self._find = find
        self._last: tuple[Key, float, Value | CogMagicError] | None = None

    def __call__(self, key: Key) -> Value:
        """The result for `key`.

        Raises:
            CogMagicError: as the function raised it.
        """
        last = self._last
        if last is None or last[0] != key or self._is_due(last[1], last[2]):
            last = self._last = key, time.monotonic(), self._outcome(key)
        if isinstance(last[2], CogMagicError):
            raise last[2].with_traceback(None)
        return last[2]

    def _outcome(self, key: Key) -> Value | CogMagicError:
        try:
            return self._find(key)
        except CogMagicError as error:
            return error

    @staticmethod
    def _is_due(since: float, outcome: object) -> bool:
        return isinstance(outcome, CogMagicError) and time.monotonic() - since > _RETRY_SECONDS
