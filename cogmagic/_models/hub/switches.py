"""The hub client's own switches, turned on for cogmagic's calls only.

The client reads them from its module of constants at every call. During cogmagic's calls the
constant is an object that is true in the calling context only: other threads of the kernel see the
previous value, which is restored afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from threading import Lock

__all__ = ["offline", "without_telemetry"]


_on: ContextVar[frozenset[str]] = ContextVar("cogmagic_hub_switches", default=frozenset())
"""Names of the switches that are on in this context."""


_lock = Lock()


class _Switch:
    """A constant of the hub client that is true in some contexts, and elsewhere as it was."""

    def __init__(self, name: str, value: object) -> None:
        self.name = name
        self.value = value
        self.users = 0

    def __bool__(self) -> bool:
        return self.name in _on.get() or bool(self.value)


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Make calls that send no telemetry.

    Otherwise the client asks the hub for a list of AI agents, looks for one in the environment and
    sends its name and torch's version; ``hf_xet`` reports each transfer.
    """
    with _switched_on("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_XET"):
        yield


@contextmanager
def offline() -> Iterator[None]:
    """Make calls that send nothing: the client raises an error in place of any request."""
    with _switched_on("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        yield


@contextmanager
def _switched_on(*names: str) -> Iterator[None]:
    token = _on.set(_on.get().union(names))
    try:
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(_installed(name))
            yield
    finally:
        _on.reset(token)


@contextmanager
def _installed(name: str) -> Iterator[None]:
    """Put a `_Switch` in place of a constant, for as long as any thread needs it."""
    from huggingface_hub import constants

    with _lock:
        current = getattr(constants, name)
        switch = current if isinstance(current, _Switch) else _Switch(name, current)
        switch.users += 1
        setattr(constants, name, switch)
    try:
        yield
    finally:
        with _lock:
            switch.users -= 1
            # Unless the user has set the constant meanwhile.
            if not switch.users and getattr(constants, name) is switch:
                setattr(constants, name, switch.value)
