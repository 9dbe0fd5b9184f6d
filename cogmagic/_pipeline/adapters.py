"""LoRA adapters on a transformer: low-rank updates of its layers, computed beside the weights.

A layer with an adapter stays the module that it was, under its own name and with its own weight; it
gets the adapter's two matrices as further parameters, and a class whose ``forward`` adds their
product. So whatever moves a module's parameters (offload hooks, copies in host memory, streaming)
moves the adapter's as well, weight storages and ``torch.compile`` work as without, and removing an
adapter leaves the weights as they were, bit for bit. PEFT would rename every weight, and diffusers'
loader would remove the offload hooks and enable them again without their arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import CheckpointError, first_line
from cogmagic._machine.failures import is_host_shortage
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.adapters.local import file_stamp

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["active", "attach", "attached", "check_finite", "detach", "identity"]

_FINITE: dict[Path, tuple[int, int] | None] = {}
"""Size and time of each file that passed `check_finite`."""


def active(adapters: Iterable[Adapter]) -> tuple[Adapter, ...]:
    """The adapters that change anything: a weight of 0 is the model without the adapter."""
    return tuple(adapter for adapter in adapters if adapter.weight)


def identity(adapters: Iterable[Adapter]) -> tuple[object, ...]:
    """A value that is the same for the same adapters with the same weights and files."""
    return tuple((_file(a), a.stamp, a.weight, a.layers) for a in active(adapters))


def check_finite(adapters: Iterable[Adapter]) -> None:
    """Refuse adapters with NaN or infinity; reads each file once a kernel.

    Raises:
        CheckpointError: with the file and the tensor; for a file that has changed meanwhile, too.
    """
    for adapter in active(adapters):
        file = _file(adapter)
        if _FINITE.get(file) != adapter.stamp:
            for name, tensor in _tensors(adapter):
                if not tensor.isfinite().all():
                    raise CheckpointError(
                        f"{adapter.name}: {name:.120} has NaN or infinity. The adapter's training"
                        " failed, or the file is damaged: use an earlier checkpoint of it, or"
                        " download it again."
                    )
            _FINITE[file] = adapter.stamp


def attach(transformer: nn.Module, adapters: Sequence[Adapter], dtype: torch.dtype) -> None:
    """Add the adapters to a transformer without adapters, and without hooks of a tier.

    Each layer computes ``W x + sum(weight * scale * up(down(x)))`` with the products, their order
    and their roundings of PEFT's LoRA layers, so its outputs equal theirs.

    Args:
        transformer: as loaded; on the meta device the parameters have no values.
        adapters: those to add, in this order.
        dtype: the precision of their parameters, as of the transformer's.

    Raises:
        CheckpointError: for a file that has changed since its layers were read.
    """
    from torch import nn

    for adapter in active(adapters):
        tensors = dict(_tensors(adapter))
        for layer in adapter.layers:
            module: Any = transformer.get_submodule(layer.module)
            if not hasattr(module, "lora_scales"):
                with _without_hook(module):
                    module.lora_scales = ()
                    module.__class__ = _with_adapters(type(module))
            index = len(module.lora_scales)
            for part, tensor in ("down", tensors[layer.down]), ("up", tensors[layer.up]):
                # A copy: a mapped file may be written over while the adapter is attached.
                values = tensor.to(next(module.parameters()).device, dtype, copy=True)
                parameter = nn.Parameter(values, requires_grad=False)
                module.register_parameter(f"lora_{part}_{index}", parameter)
            module.lora_scales = (*module.lora_scales, adapter.weight * layer.scale)


def attached(transformer: nn.Module) -> list[nn.Parameter]:
    """The parameters of the attached adapters."""
    return [p for name, p in transformer.named_parameters() if ".lora_" in name]


def detach(transformer: nn.Module) -> None:
    """Remove all adapters from a transformer without hooks; its own weights are untouched."""
    modules: Iterable[Any] = transformer.modules()
    for module in modules:
        if hasattr(module, "lora_scales"):
            for name in [n for n in module._parameters if n.startswith("lora_")]:
                del module._parameters[name]
            del module.lora_scales
            if type(module) in _CLASSES.values():  # not where attaching was interrupted
                module.__class__ = type(module).__bases__[0]


@contextmanager
def _without_hook(module: nn.Module) -> Iterator[None]:
    """The module without the hook of a loader that has placed it (``device_map``).

    The hook calls the ``forward`` of the class that the module had when it was added.
    """
    from accelerate.hooks import add_hook_to_module, remove_hook_from_module

    hook = getattr(module, "_hf_hook", None)
    if hook is not None:
        remove_hook_from_module(module)
        module.__dict__.pop("forward", None)
    yield
    if hook is not None:
        add_hook_to_module(module, hook)


_CLASSES: dict[type[Any], type[Any]] = {}
"""The classes of layers with adapters, by the class without."""


def _with_adapters(base: type[Any]) -> type[Any]:
    """The class of `base` layers with adapters."""
    if base not in _CLASSES:
        _CLASSES[base] = _subclass(base)
    return _CLASSES[base]


def _subclass(base: type[Any]) -> type[Any]:
    """A class of layers with adapters, for linear layers and 2-D convolutions."""
    from torch import nn
    from torch.nn.functional import conv2d, linear

    def product(module: Any, inputs: Any, down: Any, up: Any) -> Any:
        if isinstance(module, nn.Conv2d):
            return conv2d(conv2d(inputs, down, None, module.stride, module.padding), up)
        return linear(linear(inputs, down), up)

    class WithAdapters(base):  # type: ignore[misc]  # the base is known at run time only
        """A layer with LoRA adapters."""

        lora_scales: tuple[float, ...]

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            """The layer's product, and each adapter's on top; in place, which rounds alike."""
            outputs: torch.Tensor = base.forward(self, inputs)
            for index, scale in enumerate(self.lora_scales):
                down, up = (getattr(self, f"lora_{part}_{index}") for part in ("down", "up"))
                outputs = outputs.add_(product(self, inputs, down, up).mul_(scale))
            return outputs

    WithAdapters.__name__ = f"{base.__name__}WithAdapters"
    return WithAdapters


def _tensors(adapter: Adapter) -> Iterator[tuple[str, torch.Tensor]]:
    """The adapter's matrices by name, mapped from its file."""
    from safetensors import SafetensorError, safe_open

    file = _file(adapter)
    if file_stamp(file) != adapter.stamp:
        raise CheckpointError(
            f"{adapter.name} has changed since the request was made. Run it again."
        )
    try:
        with safe_open(file, framework="pt") as opened:
            for layer in adapter.layers:
                for name in (layer.down, layer.up):
                    yield name, opened.get_tensor(name)
    except (OSError, SafetensorError) as error:
        if is_host_shortage(error):
            raise
        raise CheckpointError(
            f"{adapter.name} could not be read: {first_line(error)}."
            " Check that its disk is still connected."
        ) from None


def _file(adapter: Adapter) -> Path:
    assert adapter.file is not None, "a run downloads it first"  # noqa: S101
    return adapter.file
