"""Out-of-memory errors, and a GPU in an unrecoverable state."""

from __future__ import annotations

import pytest
import torch

from cogmagic import DeviceError, OutOfMemoryError
from cogmagic._machine.failures import is_device_shortage, is_shortage, run_releasing_tensors
from tests.helpers.shortages import short


@pytest.mark.parametrize(
    ("failure", "device", "host"),
    [
        (short(), True, False),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True, False),
        (MemoryError(), False, True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), False, True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, False),
        (ValueError("out of memory"), False, False),
        (OutOfMemoryError("ours, explained already"), False, False),
    ],
)
def test_out_of_memory_errors_are_told_apart_by_device_and_host(
    failure: Exception, device: bool, host: bool
) -> None:
    assert is_device_shortage(failure) == device
    assert is_shortage(failure) == (device or host)


def test_unrecoverable_gpu_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", broken)
    monkeypatch.setattr(torch.cuda, "empty_cache", broken)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", broken, raising=False)
    with pytest.raises(DeviceError, match=r"memory access was encountered\)\. Restart the kernel"):
        run_releasing_tensors(broken)


def test_other_error_on_a_working_gpu_is_raised_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, raising=False)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run_releasing_tensors(wrong)


def test_out_of_memory_error_suggests_options() -> None:
    def short() -> None:
        raise MemoryError

    with pytest.raises(OutOfMemoryError, match="Memory ran out"):
        run_releasing_tensors(short)
