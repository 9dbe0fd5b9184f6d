"""Runs with LoRA adapters: the frames of diffusers' own pipeline, and nothing left afterwards."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import cogmagic
from cogmagic._models.adapters.adapter import as_adapters
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline.load import load, scheduler_for
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._session.session import Session
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.lora_files import ATTENTION, LINEARS, write_lora
from tests.helpers.toy import PROMPT, QUICK

TIERS = ("none", "model", "stream", "sequential", "staged")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two adapters for the embedded model: of its attention, and of all linear layers."""
    folder = tmp_path_factory.mktemp("loras")
    transformer = load(PipelineSpec(embedded_folder(), "t2v", "float32")).transformer
    first = write_lora(folder / "red.safetensors", transformer, kinds=ATTENTION)
    second = write_lora(
        folder / "soft.safetensors", transformer, rank=2, seed=1, kinds=LINEARS, strength=0.05
    )
    return first, second


@pytest.fixture(scope="module")
def expected(files: tuple[Path, Path]) -> dict[str, str]:
    """Digests of the frames of diffusers' pipeline: without adapters, with one, with both."""
    pipe = load(PipelineSpec(embedded_folder(), "t2v", "float32"))
    request = cogmagic.Request.of(PROMPT, "tiny", **QUICK)
    digests = {"without": digest(pipe, request)}
    for name, file in zip(("one", "two"), files, strict=True):
        pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
        pipe.set_adapters(["one", "two"][: len(digests)], [0.8, -0.5][: len(digests)])
        digests[name] = digest(pipe, request)
    return digests


def digest(pipe: Any, request: cogmagic.Request) -> str:
    pipe.scheduler = scheduler_for(pipe, request)
    image = {} if request.image is None else {"image": request.image}
    images = pipe(
        prompt=request.prompt, height=request.height, width=request.width,
        num_frames=request.num_frames,
        num_inference_steps=request.num_inference_steps, guidance_scale=request.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(request.seed), output_type="pil",
        max_sequence_length=request.model.max_tokens, **image,
    ).frames[0]  # fmt: skip
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


def made(*loras: Any, **options: Any) -> str:
    video = cogmagic.generate(PROMPT, lora=list(loras), overwrite=True, **QUICK, **options)
    return video.report.frames_sha256


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_frames_with_adapters_are_those_of_diffusers(
    files: tuple[Path, Path], expected: dict[str, str], cwd: Path, session: Session, tier: str
) -> None:
    one, two = (files[0], 0.8), (files[1], -0.5)
    assert len(set(expected.values())) == 3
    assert made(one, two, tier=tier) == expected["two"]
    if tier in ("none", "stream"):  # whose weights are files, and copies
        assert made(one, tier=tier) == expected["one"]
        assert made(tier=tier) == expected["without"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["i2v", "v15"])
def test_frames_of_other_models_are_those_of_diffusers(
    kind: str, toy_i2v: Path, cwd: Path, session: Session
) -> None:
    options: dict[str, Any] = QUICK | {"num_frames": 17}
    if kind == "i2v":
        folder = toy_i2v
        options["image"] = Image.new("RGB", (96, 96), (200, 30, 30))
    else:
        folder = save_checkpoint(cwd / "model", v15=True)
    pipe = load(PipelineSpec(folder, "i2v" if kind == "i2v" else "t2v", "float32"))
    kinds = (*LINEARS, "patch_embed.proj", "proj_out")
    # Of a rank above the layers' width.
    file = write_lora(cwd / "red.safetensors", pipe.transformer, rank=40, kinds=kinds)
    request = cogmagic.Request.of(PROMPT, str(folder), **options)
    without = digest(pipe, request)
    pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name="one")
    pipe.set_adapters(["one"], [-0.5])
    expected = digest(pipe, request)
    assert expected != without
    for lora, frames in (((file, -0.5), expected), (None, without)):
        with_lora = replace(request, loras=as_adapters(lora))
        video = cogmagic.generate(with_lora, tier="stream")
        assert video.report.frames_sha256 == frames


def test_weight_of_zero_is_the_model_without_the_adapter(
    files: tuple[Path, Path], expected: dict[str, str], cwd: Path, session: Session
) -> None:
    assert made((files[0], 0.0)) == expected["without"]


def test_adapters_come_and_go_with_the_model_in_memory(
    files: tuple[Path, Path], expected: dict[str, str], cwd: Path, session: Session
) -> None:
    made()
    loaded = session.loaded
    assert loaded is not None
    transformer = loaded.pipe.transformer
    before = {name: (id(p), p.data_ptr(), p.clone()) for name, p in transformer.named_parameters()}
    classes = [type(module) for module in transformer.modules()]
    assert made((files[0], 0.8)) == expected["one"]
    assert session.loaded is loaded
    assert len(list(transformer.parameters())) > len(before)
    made()
    after = dict(transformer.named_parameters())
    assert after.keys() == before.keys()
    for name, (identity, address, values) in before.items():
        assert (id(after[name]), after[name].data_ptr()) == (identity, address)
        assert torch.equal(after[name], values)
    assert [type(module) for module in transformer.modules()] == classes
