"""The requests of a validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cogmagic import OutputError, RequestError, TrainingError
from cogmagic.training import validation
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.training import SMALL


def test_requests_are_checked_before_anything_is_written(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    red, presets = tmp_path / "red.safetensors", tmp_path / "presets.toml"
    write(red, diffusers_keys(factors()))
    presets.write_text('[quick]\nsteps = 4\nlora = "red.safetensors"')
    with validation(pipe, accelerator, folder=folder) as v:
        for requests, message in (
            ([], "has no request"),
            ("a fox", "list of requests"),
            ([{"prompt": "a fox", "num_frames": 10}], "Nearest: num_frames=9 or 17"),
            ([{"prompt": "a fox", "guidence_scale": 3}], "guidance_scale"),
            (["very " * 100 + "long"], "reads 64"),
            ([{"prompt_embeds": torch.zeros(1, 64, 64)}], "pass both, or guidance_scale=1"),
            (
                [{"prompt": "a fox", "negative_prompt_embeds": torch.zeros(1)}],
                "pass both, or neither",
            ),
            ([{"prompt_embeds": torch.zeros(2, 5), "guidance_scale": 1}], r"not \(2, 5\)"),
            ([{"prompt_embeds": [1], "guidance_scale": 1}], "not list"),
            ([{"prompt": "a fox", "dtype": "bfloat16"}], r"validation\(dtype=...\)"),
            ([{"prompt": "a fox", "lora": str(red)}], r"adds no LoRA adapters \(red.safetensors\)"),
            (
                [{"prompt": "a fox", "preset": f"{presets}:quick"}],
                "Leave out preset quick, or load",
            ),
            ([5], "Request 0 is 5"),
        ):
            with pytest.raises(RequestError, match=message) as error:
                v.generate(requests)
            assert "\n" not in str(error.value)
        with pytest.raises(RequestError, match="step='10' is not a whole number"):
            v.generate(["a fox"], step="10")
    assert not folder.exists()
    with pytest.raises(TrainingError, match="inside the with block"):
        v.generate(["a fox"])
    folder.write_text("")
    with (
        validation(pipe, accelerator, folder=folder) as v,
        pytest.raises(OutputError, match=r"cannot be made \(File exists\)"),
    ):
        v.generate(["a fox"])


def test_given_embeddings_need_no_text_encoder(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    to = {"max_sequence_length": 64, "dtype": torch.float32}
    with torch.no_grad():
        embeds = pipe.encode_prompt("a red circle", "", True, **to)
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (text,) = v.generate([SMALL | {"prompt": "a red circle", "seed": 5}])
    pipe.register_modules(text_encoder=None)
    named = dict(zip(("prompt_embeds", "negative_prompt_embeds"), embeds, strict=True))
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (given,) = v.generate([SMALL | named | {"seed": 5}], step=1)
        with pytest.raises(RequestError, match="no text encoder: pass prompt_embeds"):
            v.generate(["a red circle"])
    assert given.report.frames_sha256 == text.report.frames_sha256
