"""A validation in one process."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from cogmagic import NonFiniteError, Request
from cogmagic._models.find import find_model
from cogmagic._progress import silent
from cogmagic.training import validation
from cogmagic.training.make_video import VideoMaker
from cogmagic.training.plan import plan_validation
from cogmagic.training.training_run import TrainingRun
from tests.helpers.training import SMALL


def test_failure_keeps_no_tensor_alive(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(weakref.ref(kwargs["hidden_states"]))
        raise RuntimeError("injected")

    handle = pipe.transformer.register_forward_pre_hook(look, with_kwargs=True)
    gc.disable()
    try:
        with (
            validation(pipe, accelerator, folder=tmp_path) as v,
            pytest.raises(RuntimeError, match="injected"),
        ):
            v.generate([SMALL | {"prompt": "a red circle"}])
        assert seen[0]() is None
    finally:
        gc.enable()
        handle.remove()


def test_sample_with_nan_has_no_video_and_the_training_goes_on(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    calls: list[int] = []

    def overflow(_: Any, __: Any, outputs: tuple[torch.Tensor, ...]) -> Any:
        calls.append(1)
        return (outputs[0] * float("inf"), *outputs[1:]) if len(calls) == 1 else None

    handle = pipe.transformer.register_forward_hook(overflow)
    samples = [SMALL | {"prompt": "a red circle"}, SMALL | {"prompt": "a blue square"}]
    with validation(pipe, accelerator, folder=tmp_path) as v:
        message = r"^step-000003-0\.mp4 \(a red circle\): In step 1 of 2, .* may have diverged"
        with pytest.warns(UserWarning, match=message):
            (video,) = v.generate(samples, step=3)
        assert [path.name for path in tmp_path.iterdir()] == ["step-000003-1.mp4"]
        assert video.prompt == "a blue square"
        assert len(calls) == 3  # one step of the first, two of the second
        handle.remove()
        assert len(v.generate(samples, step=4)) == 2


def test_embeddings_that_are_not_finite_are_not_cached(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    weight = pipe.text_encoder.encoder.final_layer_norm.weight
    good = weight.detach().clone()
    with validation(pipe, accelerator, folder=tmp_path) as v:
        weight.data[0] = float("nan")
        with pytest.warns(UserWarning, match=r"step-000000-0\.mp4 .*: The text encoder computed"):
            assert v.generate([SMALL | {"prompt": "a red circle"}]) == []
        weight.data = good
        assert len(v.generate([SMALL | {"prompt": "a red circle"}])) == 1


def test_under_zero_3_a_sample_takes_all_its_steps_before_it_ends(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    """A process that stopped alone would leave the others waiting for its part of the weights."""
    model = find_model("tiny")
    request = Request.of("a red circle", model, seed=0, **SMALL)
    run = TrainingRun(torch.device("cpu"), zero_stage=3)
    plan = plan_validation(request, None, {}, dtype="float16", where="CPU", free=None, zero_stage=3)
    calls: list[int] = []

    def overflow(_: Any, __: Any, outputs: tuple[torch.Tensor, ...]) -> Any:
        calls.append(1)
        return (outputs[0] * float("nan"), *outputs[1:])

    pipe.transformer.register_forward_hook(overflow)
    pipe.set_progress_bar_config(disable=True)
    embeds = tuple(
        torch.ones(1, model.max_tokens, pipe.transformer.config.text_embed_dim) for _ in range(2)
    )
    maker = VideoMaker(pipe, accelerator, run, silent)
    with torch.no_grad(), pytest.raises(NonFiniteError, match="In step 1 of 2, the") as error:
        maker.make(request, embeds, plan, tmp_path / "a.mp4")
    assert "try validation(..., dtype='bfloat16')" in str(error.value)
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == []
