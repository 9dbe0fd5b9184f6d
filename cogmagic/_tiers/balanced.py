"""Which GPU gets which component in `balanced`, worked out from each phase's peaks.

diffusers' own assignment leaves no room for activations, gives what does not fit to the CPU and
can lose a component. It goes by sizes and by the memory that it is told of alone, so it is told
what makes it give the map that is wanted, tried out without loading, and held to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

from cogmagic._errors import TierError
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype, Task
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._pipeline.empty import empty_component_of
from cogmagic._pipeline.libraries import pipeline_class, quiet_libraries, torch_dtype
from cogmagic._pipeline.load import prepared
from cogmagic._units import GIB

__all__ = [
    "Orders",
    "check_balanced",
    "check_map",
    "load_balanced",
    "offloaded",
    "orders",
    "told_memory",
    "usable",
]


Orders = Sequence[tuple[int, ...]]


def usable(machine: Machine, dtype: Dtype) -> tuple[Gpu, ...]:
    """The GPUs that can compute in `dtype`."""
    return tuple(
        g
        for g in machine.gpus
        if dtype != "bfloat16" or g.capability is None or g.capability >= (8, 0)
    )


def orders(machine: Machine, dtype: Dtype, count: int) -> Orders:
    """Every way to give the largest component to one GPU, the next to another and so on.

    Of the roomiest alone: less room would do no better.
    """
    roomy = sorted(usable(machine, dtype), key=lambda g: -(g.room or 0))
    return list(permutations([g.index for g in roomy[:count]], count))


def told_memory(sizes: dict[str, int], order: tuple[int, ...]) -> dict[int, int]:
    """What diffusers is to be told of each GPU's memory, so that it fills them in this order."""
    whole = sum(sizes.values())
    return {index: whole * (len(order) - i) for i, index in enumerate(order)}


def check_map(
    sizes: dict[str, int],
    order: tuple[int, ...],
    machine: Machine,
    assign: Callable[..., dict[Any, list[str]]],
) -> dict[str, int]:
    """Component → GPU, if diffusers' own assignment gives it and each GPU has room for the weights.

    Args:
        sizes: bytes of each component, as diffusers counts them.
        order: GPUs, the largest component's first.
        machine: with what is available on each.
        assign: diffusers' ``_assign_components_to_devices``.

    Raises:
        TierError: with the numbers, when a component would land elsewhere or not fit.
    """
    largest = dict(sorted(sizes.items(), key=lambda item: item[1], reverse=True))
    wanted = {name: order[min(i, len(order) - 1)] for i, name in enumerate(largest)}
    found = assign(largest, told_memory(sizes, order), device_mapping_strategy="balanced")
    where = {name: device for device, names in found.items() for name in names}
    if where != wanted:
        raise TierError(
            f"Tier 'balanced' should give {_said(wanted)}, but this diffusers would give"
            f" {_said(where)}. Use another tier."
        )
    for gpu in machine.gpus:
        held = sum(size for name, size in sizes.items() if where[name] == gpu.index)
        if gpu.available is not None and held > gpu.available:
            parts = " and the ".join(name for name in largest if where[name] == gpu.index)
            raise TierError(
                f"Tier 'balanced' cannot place the {parts} ({held / GIB:.1f} GiB) on GPU"
                f" {gpu.index}, where {gpu.available / GIB:.1f} GiB are available."
                " Use --tier auto, which takes what fits."
            )
    return wanted


def offloaded(pipe: Any, wanted: dict[str, int]) -> str:
    """What is wrong with a pipeline loaded so: a component elsewhere, or an offload hook."""
    where = dict(pipe.hf_device_map or {})
    if where != wanted:
        return f"diffusers placed {_said(where)} instead of {_said(wanted)}"
    for name in wanted:
        for part in getattr(pipe, name).modules():
            hook = getattr(part, "_hf_hook", None)
            if getattr(hook, "offload", False):
                return f"diffusers offloads the {name}"
    return ""


def _said(where: dict[str, Any]) -> str:
    return ", ".join(f"{name} to {device}" for name, device in where.items()) or "nothing"


def load_balanced(
    folder: Path, task: Task, dtype: Dtype, machine: Machine, order: tuple[int, ...]
) -> Any:
    """The pipeline of `folder` spread over the GPUs by diffusers' ``device_map="balanced"``.

    Args:
        folder: the checkpoint.
        task: which pipeline it is for.
        dtype: what the components are loaded in.
        machine: with what is available on each GPU.
        order: GPUs by torch's index, the largest component's first.

    Raises:
        TierError: when a component would land on the CPU, elsewhere than planned, or not fit.
    """
    with quiet_libraries():
        wanted = check_balanced(folder, dtype, machine, order)
        pipe = pipeline_class(task).from_pretrained(
            folder,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map="balanced",
            max_memory=told_memory(_module_bytes(folder, dtype), order),
        )
    if wrong := offloaded(pipe, wanted):
        pipe.reset_device_map()
        raise TierError(f"Tier 'balanced' failed: {wrong}. Use another tier.")
    return prepared(pipe)


def check_balanced(
    folder: Path, dtype: Dtype, machine: Machine, order: tuple[int, ...]
) -> dict[str, int]:
    """Component → GPU, from a dry run of diffusers' own assignment; nothing is loaded.

    Raises:
        TierError: when diffusers would place otherwise, or a GPU is too full.
    """
    from diffusers.pipelines.pipeline_loading_utils import _assign_components_to_devices

    with quiet_libraries():
        sizes = _module_bytes(folder, dtype)
    return check_map(sizes, order, machine, _assign_components_to_devices)


def _module_bytes(folder: Path, dtype: Dtype) -> dict[str, int]:
    """Bytes of each component as diffusers' assignment counts them, from empty modules."""
    from accelerate.utils import compute_module_sizes

    kind = torch_dtype(dtype)
    sizes = {}
    for name in WEIGHTED_COMPONENTS:
        module = empty_component_of(folder, name, dtype)
        sizes[name] = int(compute_module_sizes(module, dtype=kind)[""])
    return sizes
