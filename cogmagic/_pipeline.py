"""Loading: one loader for the embedded model, a local folder and the hub's cache.

Safetensors only, no remote code, no network: by the time a pipeline is loaded, its files are here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._catalog import Dtype, Task
from cogmagic._errors import TierError
from cogmagic._interrupts import interrupts_deferred
from cogmagic._machine import Machine
from cogmagic._request import Request
from cogmagic._spread import check_map, offloaded, told_memory

if TYPE_CHECKING:
    import torch

__all__ = [
    "COMPONENTS",
    "check_balanced",
    "empty_component",
    "import_libraries",
    "load",
    "load_balanced",
    "load_component",
    "scheduler_for",
    "torch_dtype",
]

COMPONENTS = {
    "text_encoder": ("transformers", "T5EncoderModel"),
    "transformer": ("diffusers", "CogVideoXTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLCogVideoX"),
}
"""The components that have weights: name, library, class."""


def import_libraries(task: Task) -> None:
    """Import all that a run of `task` needs, which takes seconds; an interrupt waits for it."""
    with interrupts_deferred(), quiet_libraries():
        import accelerate.hooks  # noqa: F401
        import torch  # noqa: F401
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler  # noqa: F401
        from transformers import T5EncoderModel, T5Tokenizer  # noqa: F401

        _pipeline_class(task)


def load(folder: Path, task: Task, dtype: Dtype, *, empty: bool = False) -> Any:
    """The pipeline of `folder` in host memory, tiling on.

    The dtype rules are the loaders' own: T5 keeps parts in float32 when loaded in float16.

    Args:
        folder: the checkpoint.
        task: which pipeline it is for.
        dtype: what the components are loaded in.
        empty: leave the weights out.
    """
    with quiet_libraries():
        given = {n: empty_component(folder, n, dtype) for n in COMPONENTS} if empty else {}
        pipe = _pipeline_class(task).from_pretrained(
            folder, dtype=torch_dtype(dtype), use_safetensors=True, local_files_only=True, **given
        )
    return _prepared(pipe)


def load_component(folder: Path, name: str, dtype: Dtype, device: torch.device) -> Any:
    """One component of `folder`, loaded straight onto `device`."""
    with quiet_libraries():
        return _component_class(name).from_pretrained(
            folder,
            subfolder=name,
            dtype=torch_dtype(dtype),
            use_safetensors=True,
            local_files_only=True,
            device_map={"": device},
        )


def empty_component(folder: Path, name: str, dtype: Dtype) -> Any:
    """One component of `folder` on the meta device, without weights."""
    import torch

    cls = _component_class(name)
    with torch.device("meta"):
        if COMPONENTS[name][0] == "diffusers":
            module = cls.from_config(cls.load_config(folder, subfolder=name))
        else:
            module = cls(cls.config_class.from_pretrained(folder, subfolder=name))
    return module.to(torch_dtype(dtype)).eval()


def _component_class(name: str) -> Any:
    from importlib import import_module

    library, kind = COMPONENTS[name]
    return getattr(import_module(library), kind)


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
        pipe = _pipeline_class(task).from_pretrained(
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
    return _prepared(pipe)


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
    for name in COMPONENTS:
        module = empty_component(folder, name, dtype)
        sizes[name] = int(compute_module_sizes(module, dtype=kind)[""])
    return sizes


def scheduler_for(pipe: Any, request: Request) -> Any:
    """A fresh scheduler of the requested kind, on the checkpoint's own noise schedule.

    Always with trailing timesteps, as the authors' scripts set it (``inference/cli_demo.py``).
    """
    from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler

    kind = CogVideoXDPMScheduler if request.scheduler == "dpm" else CogVideoXDDIMScheduler
    return kind.from_config(pipe.scheduler.config, timestep_spacing="trailing")


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """The torch dtype of that name."""
    import torch

    found = getattr(torch, dtype)
    assert isinstance(found, torch.dtype)  # noqa: S101 - tells mypy what Dtype already says
    return found


def _pipeline_class(task: Task) -> Any:
    import diffusers

    name = "CogVideoXImageToVideoPipeline" if task == "i2v" else "CogVideoXPipeline"
    return getattr(diffusers, name)


class _NoBar:
    """In the place of diffusers' bar, which complains when an interrupt cuts it short."""

    def __init__(self, **_: Any) -> None:
        pass

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, _: int = 1) -> None:
        """Nobody is told."""


def _prepared(pipe: Any) -> Any:
    pipe.progress_bar = _NoBar
    pipe.vae.enable_slicing()
    pipe.vae.enable_tiling()
    return pipe


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hold back the loaders' own progress bars and remarks; errors are still raised."""
    import warnings

    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    bars = (
        diffusers_logging.is_progress_bar_enabled(),
        transformers_logging.is_progress_bar_enabled(),
    )
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging, level, shown in zip(
            (diffusers_logging, transformers_logging), before, bars, strict=True
        ):
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()
