"""Components without weights, on the meta device: to trace, to measure, or to fill later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import CheckpointError, error_line
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.model import Dtype
from cogmagic._pipeline.libraries import component_class, quiet_libraries, torch_dtype

if TYPE_CHECKING:
    from torch import nn

__all__ = ["buildable", "built", "empty_component", "empty_component_of", "module_bytes"]


def empty_component_of(folder: Path, name: str, dtype: Dtype) -> Any:
    """The component `name` of a checkpoint's folder, without weights."""
    return empty_component(name, read_json(folder / name / "config.json"), dtype)


def empty_component(name: str, config: dict[str, Any], dtype: Dtype) -> Any:
    """The component `name` of that configuration, with the dtypes that its loader would give it.

    In float16 a T5 keeps some weights in float32 (``_keep_in_fp32_modules``), and buffers that are
    not stored keep the dtype in which they are built.
    """
    import torch

    kind = torch_dtype(dtype)
    with torch.device("meta"):
        module = built(name, config)
    in_float32 = set(module._keep_in_fp32_modules or ()) if kind == torch.float16 else set()
    for path, parameter in module.named_parameters():
        wide = not in_float32.isdisjoint(path.split("."))
        parameter.data = parameter.data.to(torch.float32 if wide else kind)
    for part in module.modules():
        for path, buffer in part._buffers.items():
            if path not in part._non_persistent_buffers_set:
                part._buffers[path] = buffer.to(kind)
    return module.eval()


def built(name: str, config: dict[str, Any]) -> Any:
    """The component `name` with that configuration, on the current device."""
    cls = component_class(name)
    with quiet_libraries():
        if hasattr(cls, "config_class"):  # transformers' classes take a configuration object
            return cls(cls.config_class.from_dict(config))
        return cls.from_config(config)


@contextmanager
def buildable(source: str) -> Iterator[None]:
    """Report in one line what torch and diffusers raise for inconsistent configurations.

    Raises:
        CheckpointError: naming the model's `source` and the cause.
    """
    try:
        yield
    except Exception as error:
        cause = error_line(error)
        raise CheckpointError(
            f"{source}: no CogVideoX can be built from its configurations ({cause})."
            " Download or copy it again."
        ) from None


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
