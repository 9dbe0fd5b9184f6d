"""Videos from a model while it trains, in any loop of accelerate's, with DeepSpeed or without.

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
from cogmagic._models.catalog import DTYPES, Dtype
from cogmagic._progress import OnProgress, silent
from cogmagic.training.accelerate_run import check_pipeline, raw_transformer, training_run_of
from cogmagic.training.borrowed import BorrowedPipeline, describe
from cogmagic.training.plan import check_training_tier
from cogmagic.training.preserved import evaluation_mode, restored_random_state
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
        pipe: a CogVideoX pipeline around the parts that are trained with; nothing is loaded, and
            nothing of it is freed.
        accelerator: the loop's own.
        folder: where the videos go; made when it is not there.
        tier: ``model``, the text encoder whole on the device while it encodes, or ``sequential``,
            layer by layer; what fits when it is left out. None other than that under DeepSpeed.
        dtype: what to compute in; by default what mixed precision does, or the transformer's own.
        timeout: seconds to wait for the other processes.
        on_progress: called with a `Progress` at every step of this process.

    Raises:
        TrainingError: for what would harm the training, before anything moves.
        TierError: for a tier that is not to be had.
        RequestError: for a dtype that there is not.
    """
    engine = training_run_of(accelerator)
    check_pipeline(pipe)
    check_training_tier(tier, deepspeed=engine.deepspeed)
    if dtype is not None and dtype not in DTYPES:
        raise RequestError(f"Unknown dtype {dtype!r}. Choose from: {', '.join(DTYPES)}.")
    transformer = raw_transformer(pipe, accelerator, engine)
    wanted: Any = dtype or engine.dtype or str(transformer.dtype).removeprefix("torch.")
    adopted = BorrowedPipeline(pipe, transformer, engine.device, wanted, engine=engine.deepspeed)
    with ExitStack() as around:
        configs = Path(around.enter_context(tempfile.TemporaryDirectory()))
        model = describe(pipe, transformer, configs)
        v = Validation(
            adopted, accelerator, engine, model, configs, Path(folder).expanduser(), tier, wanted,
            timeout, on_progress or silent,
        )  # fmt: skip
        around.callback(v.let_go)
        around.enter_context(restored_random_state())
        around.enter_context(evaluation_mode(adopted.modules()))
        yield v
