"""Training of the embedded image-to-video model: what it conditions on, and what it never sees."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from tests.helpers.embedded_scripts import SCRIPTS, TINY, embedded_script


@pytest.fixture(scope="module")
def train() -> Iterator[ModuleType]:
    with embedded_script("train_i2v") as module:
        yield module


@pytest.fixture(scope="module")
def pipe(train: ModuleType) -> Any:
    from diffusers import CogVideoXTransformer3DModel

    base = CogVideoXTransformer3DModel.from_pretrained(TINY, subfolder="transformer").float()
    return train.load(TINY, import_module("finetune").widened(base, train.CHANNELS))


def test_pairs_are_held_out_of_the_text_to_video_training() -> None:
    table = json.loads((SCRIPTS / "heldout_i2v.json").read_text())
    combinations = json.loads((SCRIPTS / "heldout.json").read_text())["combinations"]
    assert table["combinations"] == combinations
    assert len(table["agreeing"]) >= 60
    for pair in table["agreeing"]:
        assert pair["named"] == [pair["colour"], pair["shape"], pair["direction"]]
        assert pair["named"] in combinations
    for pair in table["contradicting"]:
        colour, shape, direction = pair["named"]
        assert colour != pair["colour"]
        assert shape != pair["shape"]
        assert direction == pair["direction"]


@pytest.mark.slow
def test_widened_transformer_begins_as_the_text_to_video_one(train: ModuleType, pipe: Any) -> None:
    import torch
    from diffusers import CogVideoXPipeline

    native = import_module("batches").NATIVE
    batches = train.PicturedBatches(pipe, 2, 2, torch.device("cpu"), seed=3, kinds=(native,))
    *batch, picture = batches.draw(native)
    assert picture.abs().max() > 0
    old = import_module("train_transformer").Denoising(
        CogVideoXPipeline.from_pretrained(TINY, dtype=torch.float32), *native[:2]
    )
    with torch.no_grad():
        expected = old(*batch)
        loss = import_module("finetune").Denoising(pipe, *native[:2])(*batch, picture)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("inverted", [True, False])  # the last one is the embedded VAE's own
def test_pictures_are_encoded_as_the_pipeline_does(
    train: ModuleType, pipe: Any, *, inverted: bool
) -> None:
    import torch

    pipe.vae.register_to_config(invert_scale_latents=inverted)
    picture = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    generator = torch.Generator().manual_seed(5)
    _, expected = pipe.prepare_latents(
        picture, 1, 16, 17, 96, 96, torch.float32, torch.device("cpu"), generator
    )
    encode = import_module("pictures").encode_pictures
    with torch.no_grad():
        largest = pipe.vae.encode(picture[:, :, None]).latent_dist.mode().abs().max().item()
        ours = encode(pipe, picture[:, :, None], torch.Generator().manual_seed(5))
    assert torch.equal(ours, expected[:, :1].detach())
    assert not expected[:, 1:].any()
    factor = pipe.vae.config.scaling_factor
    scale = 1 / factor if inverted else factor
    assert ours.abs().max().item() == pytest.approx(scale * largest, rel=0.05)
