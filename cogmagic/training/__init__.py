"""Videos from a model while it trains, in any accelerate loop, with DeepSpeed or without.

    from cogmagic.training import validation

    with validation(pipe, accelerator, folder="validation") as v:
        videos = v.generate(["a red circle moves to the right"], step=step)

Call it in every process. Afterwards everything that training relies on is as it was: devices,
dtypes, flags, modes, random states.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._files import typed_path
from cogmagic._models.choices import choice_hint
from cogmagic._models.model import DTYPES, Dtype
from cogmagic._progress import OnProgress, silent
from cogmagic.training.borrowed import BorrowedPipeline, describe
from cogmagic.training.make_video import VideoMaker
from cogmagic.training.plan import check_training_tier
from cogmagic.training.preserved import evaluation_mode, restored_random_state
from cogmagic.training.training_run import check_pipeline, raw_transformer, training_run_of
from cogmagic.training.validation_run import Validation

__all__ = ["validation"]


@contextmanager
def validation(
    pipe: Any,
    accelerator: Any,
    *,
    folder: str | Path = "validation",
    tier: str | None = None,
    dtype: Dtype | None = None,
    timeout: float = 120.0,
    on_progress: OnProgress | None = None,
) -> Iterator[Validation]:
    """Make videos with a pipeline whose transformer is being trained.

    Args:
        pipe: a CogVideoX pipeline of the components that you train with; nothing is loaded, and
            none of its components is freed.
        accelerator: the training loop's.
        folder: where the videos are written; created if missing.
        tier: ``model``, with the whole text encoder on the device while it encodes, or
            ``sequential``, layer by layer; by default, the first that fits. None under DeepSpeed.
        dtype: the precision to compute in; by default that of mixed precision, or else the
            transformer's own.
        timeout: seconds to wait for the other processes.
        on_progress: called with a `Progress` at every step of this process.

    Raises:
        TrainingError: for what would harm the training, before anything moves.
        TierError: for a tier that a validation does not have.
        RequestError: for an unknown dtype.
    """
    run = training_run_of(accelerator)
    check_pipeline(pipe)
    check_training_tier(tier, deepspeed=run.deepspeed)
    if dtype is not None and dtype not in DTYPES:
        raise RequestError(f"Unknown dtype {dtype!r}.{choice_hint('dtype', str(dtype), DTYPES)}")
    transformer = raw_transformer(pipe, accelerator, run)
    compute: Any = dtype or run.dtype or str(transformer.dtype).removeprefix("torch.")
    borrowed = BorrowedPipeline(pipe, transformer, run, compute)
    with ExitStack() as around:
        configs = Path(around.enter_context(tempfile.TemporaryDirectory()))
        model = describe(pipe, transformer, configs)
        maker = VideoMaker(pipe, accelerator, run, on_progress or silent)
        v = Validation(
            borrowed, maker, accelerator, model, configs, typed_path(folder), tier, timeout
        )
        around.callback(v.close)
        around.enter_context(restored_random_state())
        around.enter_context(evaluation_mode(borrowed.modules()))
        yield v
