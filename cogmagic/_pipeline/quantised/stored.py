"""Components whose files hold quantised layers, with layers of plain tensors.

The libraries' own loaders would make tensors of their own classes, and diffusers takes
bitsandbytes' only on a GPU. The files hold the same numbers, so they are read as they are: what
needs no conversion stays a memory-mapped file, as with plain weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.packed_layers import (
    PackedLayer,
    fp8_layers,
    packed_layers,
    plain_part,
)
from cogmagic._models.checkpoints.weights import StoredTensor
from cogmagic._models.model import Dtype
from cogmagic._pipeline.bitsandbytes import import_bitsandbytes
from cogmagic._pipeline.empty import built, empty_component
from cogmagic._pipeline.quantised.layers import make_blockwise, make_scaled
from cogmagic._pipeline.quantised.state import quant_state

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["empty_stored", "is_stored", "read_stored"]


def is_stored(folder: Path, name: str, *, widen: bool = False) -> bool:
    """Whether a component has layers to be read as they are.

    Args:
        folder: the checkpoint.
        name: the component.
        widen: whether plain fp8 is to be widened, so that it does not count.
    """
    return bool(packed_layers(folder, name) if widen else _layers(folder, name))


def _layers(folder: Path, name: str) -> dict[str, PackedLayer]:
    """The quantised layers of a component, or those in plain fp8."""
    return packed_layers(folder, name) or fp8_layers(folder, name)


def empty_stored(folder: Path, name: str, dtype: Dtype) -> Any:
    """The component without weights, on the meta device."""
    import torch

    module = empty_component(name, _config(folder, name), dtype)
    _convert(folder, name, module, torch.device("meta"))
    return module


def read_stored(folder: Path, name: str, dtype: Dtype, device: torch.device) -> Any:
    """The component on `device`, all that is not quantised in `dtype`.

    Raises:
        CheckpointError: for a quantised layer whose numbers cannot be used as they are.
    """
    from accelerate import init_empty_weights

    with suppress(ImportError):  # without which a run of 4-bit weights is refused before
        import_bitsandbytes()
    module = empty_component(name, _config(folder, name), dtype)
    with init_empty_weights():  # parameters only: buffers that no file holds get their values
        buffers = dict(built(name, _config(folder, name)).named_buffers())
    _convert(folder, name, module, device)
    with _tensors(device) as read:
        plain = plain_part(folder, name).tensors
        prefix = getattr(module, "base_model_prefix", "") + "."
        by_name = {key.removeprefix(prefix): t for key, t in plain.items()} | dict(plain)
        _fill_parameters(module, by_name, read)
        for owner, leaf, path in _places(module, "_buffers"):
            old: Any = owner._buffers[leaf]
            new = read(by_name[path]) if path in by_name else buffers[path].to(device)
            owner._buffers[leaf] = new.to(old.dtype)
    return module.eval()


def _config(folder: Path, name: str) -> dict[str, Any]:
    """The configuration of the component as if its weights were plain."""
    config = read_json(folder / name / "config.json")
    return {key: value for key, value in config.items() if key != "quantization_config"}


def _places(module: nn.Module, kind: str) -> Iterator[tuple[nn.Module, str, str]]:
    """Each parameter or buffer: its module, its name in it, and its name in `module`."""
    for path, owner in module.named_modules(remove_duplicate=False):
        for leaf, tensor in getattr(owner, kind).items():
            if tensor is not None:
                yield owner, leaf, f"{path}.{leaf}" if path else leaf


def _fill_parameters(module: Any, stored: Mapping[str, StoredTensor], read: Any) -> None:
    """Give the parameters on the meta device their stored values; tied ones become one."""
    import torch

    ties: dict[str, str] = getattr(module, "all_tied_weights_keys", None) or {}
    other = ties | {source: target for target, source in ties.items()}
    values: dict[str, nn.Parameter] = {}
    for owner, leaf, path in list(_places(module, "_parameters")):
        old: Any = owner._parameters[leaf]
        if not old.is_meta:
            continue
        tensor = stored[path if path in stored else other[path]]
        if tensor.name not in values:
            value = read(tensor).to(old.dtype)
            values[tensor.name] = torch.nn.Parameter(value, requires_grad=False)
        owner._parameters[leaf] = values[tensor.name]


@contextmanager
def _tensors(device: torch.device) -> Iterator[Any]:
    """A reader of stored tensors onto `device`; each file is opened once."""
    from safetensors import safe_open

    with ExitStack() as stack:
        files: dict[Path, Any] = {}

        def read(tensor: StoredTensor) -> torch.Tensor:
            if tensor.file not in files:
                opened = safe_open(tensor.file, framework="pt", device=str(device))
                files[tensor.file] = stack.enter_context(opened)
            values: torch.Tensor = files[tensor.file].get_tensor(tensor.name)
            return values

        yield read


def _convert(folder: Path, name: str, module: nn.Module, device: torch.device) -> None:
    """Make the component's quantised layers layers of plain tensors, with their numbers."""
    import torch

    empty = device.type == "meta"
    with _tensors(torch.device("cpu") if empty else device) as read:
        for path, layer in _layers(folder, name).items():
            linear = module.get_submodule(path)
            beside = {key: read(layer.beside[key]) for key in layer.beside}
            packed = _empty_like(layer) if empty else read(layer.packed)
            if empty:
                beside = {k: v if k.startswith("quant_state") else v.to("meta") for k, v in
                          beside.items()}  # fmt: skip
            if layer.form in ("int8", "fp8"):
                zero = beside.get("zero_point")
                if zero is not None and not zero.is_meta and bool(zero.any()):
                    raise CheckpointError(
                        f"{folder}: {path} is quantised by torchao with a zero point, which"
                        " cogmagic does not load. Quantise it with Int8WeightOnlyConfig()."
                    )
                scale = beside.get("scale")
                make_scaled(linear, packed, None if scale is None else scale.reshape(-1, 1))
            else:
                _make_blockwise(linear, layer, packed, beside)


def _make_blockwise(
    linear: Any, layer: PackedLayer, packed: torch.Tensor, beside: Mapping[str, torch.Tensor]
) -> None:
    """Make a layer in 4 bits of bitsandbytes' tensors and the state in JSON beside them."""
    import torch

    (key,) = (k for k in beside if k.startswith("quant_state"))
    state = quant_state(
        layer,
        bytes(beside[key].cpu().tolist()),
        (linear.out_features, linear.in_features),
        {name: tensor.numel() for name, tensor in beside.items()},
    )
    nested: tuple[torch.Tensor, ...] = ()
    if state.nested_block:
        offset = torch.tensor(state.nested_offset, device=packed.device)
        nested = beside["nested_absmax"], beside["nested_quant_map"], offset
    make_blockwise(linear, packed, beside["absmax"], nested, layer.form, state.block)
    if nested:
        linear.nested_block = state.nested_block


def _empty_like(layer: PackedLayer) -> torch.Tensor:
    """The layer's numbers on the meta device."""
    import torch

    kinds = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
    kind = kinds.get(layer.form, torch.uint8)
    return torch.empty(layer.packed.shape, dtype=kind, device="meta")
