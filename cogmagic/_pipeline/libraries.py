"""Importing torch, diffusers and transformers, without requests, progress bars and warnings."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_deferred
from cogmagic._models.family import INPAINTING, PIPELINES, WEIGHTED_COMPONENTS
from cogmagic._models.hub.switches import offline
from cogmagic._models.model import Dtype, Task
from cogmagic._pipeline.bitsandbytes import import_bitsandbytes

if TYPE_CHECKING:
    import torch

__all__ = [
    "component_class",
    "import_libraries",
    "pipeline_class",
    "quiet_libraries",
    "torch_dtype",
]


def import_libraries(task: Task) -> None:
    """Import all that a run of `task` needs, which takes seconds; an interrupt waits for it."""
    with interrupts_deferred(), _no_collections(), quiet_libraries():
        with suppress(ImportError):  # before the others import it
            import_bitsandbytes()
        import accelerate.hooks  # noqa: F401
        import torch  # noqa: F401
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler  # noqa: F401
        from transformers import T5EncoderModel, T5Tokenizer  # noqa: F401

        pipeline_class(task)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Import without collections of garbage: a sixth of the time, for half a million live objects.

    One that is switched off already stays so.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """The torch dtype of that name."""
    import torch

    kind = getattr(torch, dtype)
    assert isinstance(kind, torch.dtype)  # noqa: S101 - tells mypy what Dtype already says
    return kind


def pipeline_class(task: Task) -> Any:
    """The pipeline class for `task`: diffusers', or for inpainting, for which it has none, ours."""
    if task in INPAINTING:
        from cogmagic._pipeline.inpainting.pipeline import CogVideoXFunInpaintPipeline

        return CogVideoXFunInpaintPipeline
    import diffusers

    return getattr(diffusers, PIPELINES[task])


def component_class(name: str) -> Any:
    """The class of a component that has weights."""
    from importlib import import_module

    library, cls = WEIGHTED_COMPONENTS[name]
    return getattr(import_module(library), cls)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Suppress the loaders' own requests, progress bars and warnings; errors are still raised.

    All that they load is on disk. A loader that asks the hub nevertheless (for a file that the
    folder lacks, or because a configuration names a repository) gets an error instead of an answer.
    """
    import warnings

    import diffusers.utils.logging as diffusers_logging
    import transformers.utils.logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    bars = (
        diffusers_logging.is_progress_bar_enabled(),
        transformers_logging.is_progress_bar_enabled(),
    )
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), offline():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging, level, shown in zip(
            (diffusers_logging, transformers_logging), levels, bars, strict=True
        ):
            logging.set_verbosity(level)
            if shown:
                logging.enable_progress_bar()
