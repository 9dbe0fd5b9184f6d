"""The trainer's pipeline, borrowed and given back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from cogmagic import TrainingError
from cogmagic.training import validation
from tests.helpers.training import SMALL


def test_mixed_precision_keeps_no_copy_of_the_weights(pipe: Any, tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    model = accelerator.prepare(pipe.transformer)
    casts: list[int] = []
    wrapped = model.forward

    def look(progress: Any) -> None:
        if progress.phase == "denoise" and progress.done == 1:
            casts.append(torch.is_autocast_cache_enabled())
            assert "forward" in pipe.transformer.__dict__
            assert pipe.transformer.forward is not wrapped

    with validation(pipe, accelerator, folder=tmp_path, on_progress=look) as v:
        v.generate([SMALL | {"prompt": "a red circle"}])
    assert casts == [False]
    assert model.forward is wrapped
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


def test_an_adapter_that_is_being_trained_shows_and_stays(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    from peft import LoraConfig

    torch.manual_seed(0)
    modules = ["to_q", "to_k", "to_v", "to_out.0"]
    config = LoraConfig(r=4, lora_alpha=4, target_modules=modules, init_lora_weights=False)
    pipe.transformer.add_adapter(config)
    before = {name: p.clone() for name, p in pipe.transformer.named_parameters()}
    sample = SMALL | {"prompt": "a red circle", "seed": 1}
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (video,) = v.generate([sample])
    after = dict(pipe.transformer.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], p) for name, p in before.items())
    pipe.transformer.disable_adapters()
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (without,) = v.generate([sample], step=1)
    assert without.report.frames_sha256 != video.report.frames_sha256


def test_pipeline_with_offload_hooks_is_refused(accelerator: Any, pipe: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(pipe.text_encoder, torch.device("cpu"))
    with pytest.raises(
        TrainingError, match=r"The text_encoder is offloaded.*Call pipe\.remove_all_hooks\(\)"
    ):
        validation(pipe, accelerator).__enter__()


def test_other_objects_than_pipelines_are_refused(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(TrainingError, match="is no CogVideoX pipeline"):
        validation(pipe.transformer, accelerator).__enter__()


def test_prompts_are_encoded_once(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    pipe.text_encoder.requires_grad_(False)
    calls = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for step in range(2):
        with validation(pipe, accelerator, folder=tmp_path) as v:
            v.generate([SMALL | {"prompt": "a red circle"}], step=step)
    handle.remove()
    assert len(calls) == 2  # the prompt and the empty one


def test_encoding_layer_by_layer_gives_the_same_embeddings(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    embeddings = []
    for layerwise in (False, True):
        with validation(pipe, accelerator, folder=tmp_path) as v:
            samples = v._samples([SMALL | {"prompt": "a blue square"}])
            with v._borrowed.encoding(layerwise=layerwise), torch.no_grad():
                v._prompts.cache.clear()
                embeddings.append(v._prompts.encode(samples[0].request)[0])
        assert not any(hasattr(m, "_hf_hook") for m in pipe.text_encoder.modules())
    assert torch.equal(*embeddings)
