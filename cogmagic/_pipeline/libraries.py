"""Bringing in torch, diffusers and transformers, and keeping them quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cogmagic._interrupts import interrupts_deferred
from cogmagic._models.catalog import Dtype, Task

if TYPE_CHECKING:
    import torch

__all__ = ["import_libraries", "torch_dtype"]


def import_libraries(task: Task) -> None:
    """Import all that a run of `task` needs, which takes seconds; an interrupt waits for it."""
    with interrupts_deferred(), quiet_libraries():
        import accelerate.hooks  # noqa: F401
        import torch  # noqa: F401
        from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler  # noqa: F401
        from transformers import T5EncoderModel, T5Tokenizer  # noqa: F401

        _pipeline_class(task)


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
