"""The original tensors of modules, from which a device gets copies that are dropped later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["HostCopy"]


class HostCopy:
    """Each parameter and buffer of some modules, as it is in host memory."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._parameters: list[tuple[nn.Module, str, nn.Parameter, torch.Tensor]] = []
        self._buffers: list[tuple[nn.Module, str, torch.Tensor, torch.Tensor]] = []
        for module in modules:
            for sub in module.modules():
                for name, parameter in sub._parameters.items():
                    if parameter is not None:
                        self._parameters.append((sub, name, parameter, parameter.data))
                for name, buffer in sub._buffers.items():
                    if buffer is not None:
                        self._buffers.append((sub, name, buffer, buffer.data))

    @property
    def nbytes(self) -> int:
        """Bytes of all distinct tensors."""
        tensors = [host for *_, host in self._parameters] + [host for *_, host in self._buffers]
        return sum({t.data_ptr(): t.nbytes for t in tensors}.values())

    def onload(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        """Give `device` a copy of everything, floating point in `dtype` if one is given."""
        copied: set[int] = set()  # tied weights are one parameter in two places
        for _, _, parameter, host in self._parameters:
            if id(parameter) not in copied:
                parameter.data = _to(host, device, dtype)
                copied.add(id(parameter))
        for sub, name, _, host in self._buffers:
            sub._buffers[name] = _to(host, device, dtype)

    def restore(self, module: Any = None) -> Any:
        """Give the modules their host tensors back, dropping what they have instead.

        Takes and returns an ignored module, as accelerate's ``ModelHook.init_hook`` does.
        """
        for sub, name, parameter, host in self._parameters:
            parameter.data = host
            sub._parameters[name] = parameter
        for sub, name, buffer, host in self._buffers:
            buffer.data = host
            sub._buffers[name] = buffer
        return module


def _to(tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None) -> torch.Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)
