"""Components without weights, on the meta device: to trace, to measure, or to fill later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._models.catalog import Dtype
from cogmagic._models.json_files import read_json
from cogmagic._pipeline.libraries import component_class, quiet_libraries, torch_dtype

if TYPE_CHECKING:
    from torch import nn

__all__ = ["empty_component", "empty_component_of", "module_bytes"]


def empty_component_of(folder: Path, name: str, dtype: Dtype) -> Any:
    """The component `name` of a checkpoint's folder, without weights."""
    return empty_component(name, read_json(folder / name / "config.json"), dtype)


def empty_component(name: str, config: dict[str, Any], dtype: Dtype) -> Any:
    """The component `name` of that configuration, with the dtypes that its loader would give it.

    In float16 a T5 keeps some weights in float32 (``_keep_in_fp32_modules``), and buffers that are
    not stored keep the dtype in which they are built.
    """
    import torch

    cls, kind = component_class(name), torch_dtype(dtype)
    with torch.device("meta"), quiet_libraries():
        if hasattr(cls, "config_class"):  # transformers' classes take a configuration object
            module = cls(cls.config_class.from_dict(config))
        else:
            module = cls.from_config(config)
    in_float32 = set(module._keep_in_fp32_modules or ()) if kind == torch.float16 else set()
    for path, parameter in module.named_parameters():
        wide = not in_float32.isdisjoint(path.split("."))
        parameter.data = parameter.data.to(torch.float32 if wide else kind)
    for part in module.modules():
        for path, buffer in part._buffers.items():
            if path not in part._non_persistent_buffers_set:
                part._buffers[path] = buffer.to(kind)
    return module.eval()


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    return sum(t.nbytes for t in (*module.parameters(), *module.buffers()))
