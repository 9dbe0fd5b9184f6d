"""Errors of an actor, as they are sent to the driver."""

from __future__ import annotations

from cogmagic._cluster.messages import Failed
from cogmagic._errors import (
    BusyError,
    CheckpointError,
    CogMagicError,
    DeviceError,
    OutOfMemoryError,
    OutputError,
    TierError,
    reason_of,
    reworded,
)

__all__ = ["failure_of"]


def failure_of(error: Exception) -> Failed:
    """An error as it is sent to the driver, without what hangs on it."""
    if not isinstance(error, CogMagicError):
        return Failed(CogMagicError(reason_of(error)), "row")
    bare = reworded(error)
    match error:
        case TierError() | OutOfMemoryError():
            return Failed(bare, "misfit")
        case CheckpointError() | OutputError() | BusyError():
            return Failed(bare, "worker")
        case DeviceError():
            return Failed(bare, "device")
    return Failed(bare, "row")
