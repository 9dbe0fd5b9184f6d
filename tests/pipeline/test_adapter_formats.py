"""LoRA layers on a transformer: every format of a file gives diffusers' output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.adapters import attach, detach
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from tests.helpers.adapters import ATTENTION, RANK, diffusers_keys, factors, named, sat_keys, write
from tests.helpers.lora_files import LINEARS
from tests.helpers.toy import PROMPT, QUICK
from tests.models.adapters.test_formats import FORMATS

MODULES = (*LINEARS, "patch_embed.text_proj", "time_embedding.linear_1", "time_embedding.linear_2")
"""Modules for which every format but SAT's has names."""


@pytest.fixture(scope="module")
def transformer() -> Any:
    return load(PipelineSpec(embedded_folder(), "t2v", "float32")).transformer


def output(transformer: Any) -> Any:
    """One pass of the embedded model's transformer."""
    draw = torch.Generator().manual_seed(0)
    config = transformer.config
    clip = (1, 3, config.in_channels, config.sample_height, config.sample_width)
    with torch.no_grad():
        return transformer(
            torch.randn(clip, generator=draw),
            torch.randn((1, config.max_text_seq_length, config.text_embed_dim), generator=draw),
            torch.tensor([500]),
            return_dict=False,
        )[0]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Any]:
    """The output with diffusers' own loader, of attention alone (SAT) and of more layers."""
    outputs = {}
    for sat, names in ((True, ATTENTION), (False, MODULES)):
        pipe = load(PipelineSpec(embedded_folder(), "t2v", "float32"))
        file = write(
            tmp_path_factory.mktemp("lora") / "a.safetensors", diffusers_keys(factors(names))
        )
        pipe.load_lora_weights(file.parent, weight_name=file.name)
        outputs[sat] = output(pipe.transformer)
    return outputs


@pytest.fixture
def restored(transformer: Any) -> Iterator[Any]:
    """The transformer, which a test must leave as it was."""
    before = output(transformer)
    yield transformer
    detach(transformer)
    assert torch.equal(output(transformer), before)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_output_of_diffusers(
    restored: Any, expected: dict[bool, Any], tmp_path: Path, name: str
) -> None:
    sat = name == "sat"
    keys = FORMATS[name][1](factors(ATTENTION if sat else MODULES))
    weight = RANK if sat else 1.0  # SAT's files are for alpha 1
    attach(restored, [Adapter.of((write(tmp_path / "b.safetensors", keys), weight))], torch.float32)
    assert torch.equal(output(restored), expected[sat])


@pytest.mark.slow
def test_formats_of_one_adapter_give_the_same_frames(cwd: Path, session: Session) -> None:
    layers = factors()
    kohya = named(layers, "lora_unet__{flat}.lora_{down}.weight")
    files = {
        "a.safetensors": diffusers_keys(layers),
        "b.safetensors": {**kohya, **alphas(kohya)},
        "c.safetensors": sat_keys(layers),
    }
    frames = set()
    for (name, keys), weight in zip(files.items(), (0.5, 1.0, 0.5 * RANK), strict=True):
        lora = write(cwd / name, keys), weight
        frames.add(cogmagic.generate(PROMPT, lora=lora, **QUICK).report.frames_sha256)
    assert len(frames) == 1
    assert cogmagic.generate(PROMPT, **QUICK).report.frames_sha256 not in frames


def alphas(kohya: dict[str, Any]) -> dict[str, Any]:
    """Half the rank, for every layer."""
    return {f"{name.partition('.')[0]}.alpha": torch.tensor(RANK / 2) for name in kohya}
