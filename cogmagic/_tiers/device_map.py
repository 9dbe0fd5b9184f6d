"""diffusers' ``device_map="balanced"``, made to give one map and checked that it does.

diffusers' own assignment leaves no headroom for activations, gives what does not fit to the CPU and
can lose a component. It goes by the components' sizes and by the memory limits that it is given.
So it gets limits that lead to the planned map; the assignment is tried out without loading, and the
loaded pipeline is checked against it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cogmagic._errors import TierError
from cogmagic._machine.machine import Machine
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._models.model import Dtype
from cogmagic._pipeline.empty import empty_component_of
from cogmagic._pipeline.libraries import pipeline_class, quiet_libraries, torch_dtype
from cogmagic._pipeline.load import prepared
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._units import GIB

__all__ = ["check_assignment", "check_map", "load_balanced", "memory_limits", "misplaced"]


def memory_limits(sizes: dict[str, int], order: tuple[int, ...]) -> dict[int, int]:
    """The limit of each GPU that makes diffusers fill them in this order."""
    whole = sum(sizes.values())
    return {index: whole * (len(order) - i) for i, index in enumerate(order)}


def check_map(
    sizes: dict[str, int],
    order: tuple[int, ...],
    machine: Machine,
    assign: Callable[..., dict[Any, list[str]]],
) -> dict[str, int]:
    """Component → GPU, if diffusers' own assignment gives it and the weights fit each GPU.

    Args:
        sizes: bytes of each component, as diffusers counts them.
        order: GPUs, the largest component's first.
        machine: with the available memory of each GPU.
        assign: diffusers' ``_assign_components_to_devices``.

    Raises:
        TierError: with the numbers, when a component would land elsewhere or not fit.
    """
    largest = dict(sorted(sizes.items(), key=lambda item: item[1], reverse=True))
    planned = {name: order[min(i, len(order) - 1)] for i, name in enumerate(largest)}
    assigned = assign(largest, memory_limits(sizes, order), device_mapping_strategy="balanced")
    actual = {name: device for device, names in assigned.items() for name in names}
    if actual != planned:
        raise TierError(
            f"Tier 'balanced' assigns {_in_words(planned)}, but this version of diffusers"
            f" would assign {_in_words(actual)}. Use another tier."
        )
    for gpu in machine.gpus:
        weights = sum(size for name, size in sizes.items() if actual[name] == gpu.index)
        if gpu.available is not None and weights > gpu.available:
            parts = " and the ".join(name for name in largest if actual[name] == gpu.index)
            raise TierError(
                f"Tier 'balanced' cannot place the {parts} ({weights / GIB:.1f} GiB) on GPU"
                f" {gpu.index}, where {gpu.available / GIB:.1f} GiB are available."
                " Use --tier auto, which takes what fits."
            )
    return planned


def misplaced(pipe: Any, planned: dict[str, int]) -> str:
    """How a loaded pipeline differs from the planned map, or an offload hook; empty if not."""
    actual = dict(pipe.hf_device_map or {})
    if actual != planned:
        return f"diffusers placed {_in_words(actual)} instead of {_in_words(planned)}"
    for name in planned:
        for part in getattr(pipe, name).modules():
            hook = getattr(part, "_hf_hook", None)
            if getattr(hook, "offload", False):
                return f"diffusers offloads the {name}"
    return ""


def _in_words(devices: dict[str, Any]) -> str:
    return ", ".join(f"{name} to {device}" for name, device in devices.items()) or "nothing"


def load_balanced(spec: PipelineSpec, machine: Machine, order: tuple[int, ...]) -> Any:
    """The pipeline of `spec` spread over the GPUs by diffusers' ``device_map="balanced"``.

    Args:
        spec: what to load.
        machine: with the available memory of each GPU.
        order: GPUs by torch's index, the largest component's first.

    Raises:
        TierError: when a component would land on the CPU, elsewhere than planned, or not fit.
    """
    with quiet_libraries():
        planned = check_assignment(spec.folder, spec.dtype, machine, order)
        pipe = pipeline_class(spec.task).from_pretrained(
            spec.folder,
            dtype=torch_dtype(spec.dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map="balanced",
            max_memory=memory_limits(_module_bytes(spec.folder, spec.dtype), order),
        )
    if problem := misplaced(pipe, planned):
        pipe.reset_device_map()
        raise TierError(f"Tier 'balanced' failed: {problem}. Use another tier.")
    return prepared(pipe)


def check_assignment(
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
