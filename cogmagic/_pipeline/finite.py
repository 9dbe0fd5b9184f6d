"""Checks for NaN and infinity in a run's tensors, computed on the device and read without a wait.

Overflow in float16 and damaged weights produce numbers that are not finite. One such number spreads
to all later ones, and the video would be black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._errors import NonFiniteError

if TYPE_CHECKING:
    import torch

__all__ = ["FiniteCheck"]


class FiniteCheck:
    """The check of one run: a flag for each tensor, read when the next one is written, or before.

    Args:
        advice: what to change, in sentences, for the error.
        deferred: whether errors wait for `settle`, for runs that several processes must finish
            together.
    """

    def __init__(self, advice: str, *, deferred: bool = False) -> None:
        self._advice, self._deferred = advice, deferred
        self._flag: torch.Tensor | None = None
        self._event: Any = None
        self._source = self._failed = ""

    def __call__(self, tensor: torch.Tensor, source: str) -> None:
        """Read the flag of the tensor before, and write that of `tensor`.

        A flag is one byte; on CUDA it is copied to page-locked memory behind the work that is
        queued already.

        Args:
            tensor: of any shape.
            source: the beginning of the error's sentence, such as ``The text encoder computed``.

        Raises:
            NonFiniteError: if the tensor before was not finite.
        """
        import torch

        self.read()
        flag = torch.isfinite(tensor).all()
        self._flag, self._source = flag.to("cpu", non_blocking=flag.is_cuda), source
        if flag.is_cuda:
            self._event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._event.record(torch.cuda.current_stream(flag.device))

    def read(self) -> None:
        """Read the flag of the last tensor, if it has not been read.

        Raises:
            NonFiniteError: if that tensor was not finite.
        """
        flag, event = self._flag, self._event
        self._flag = self._event = None
        if flag is None:
            return
        if event is not None:
            event.synchronize()
        if not flag and not self._failed:
            self._failed = self._source
        if self._failed and not self._deferred:
            raise self._error()

    def defer(self) -> None:
        """Have errors wait for `settle`, which other processes need to finish first."""
        self.read()
        self._deferred = True

    def settle(self) -> None:
        """Read the last flag, and raise from now on.

        Raises:
            NonFiniteError: if any tensor so far was not finite.
        """
        self.read()
        self._deferred = False
        if self._failed:
            raise self._error()

    def _error(self) -> NonFiniteError:
        return NonFiniteError(
            f"{self._failed} numbers that are not finite (NaN or infinity), so no video was saved."
            f" {self._advice}"
        )
