"""Models identified by their configurations, and other makes named, without weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from cogmagic import CheckpointError
from cogmagic._models.catalog import MODELS, catalogued, nearest
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import find_model
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.published import PUBLISHED, published, refusal, write_published


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_identified(name: str, tmp_path: Path) -> None:
    model = next(m for m in MODELS if m.name == name)
    copy = identify(write_published(tmp_path, name), "someone/copy", has_weights=False)
    for field in "name", "task", "width", "height", "sizes", "frames", "dtype", "scheduler":
        assert getattr(copy, field) == getattr(model, field)
    assert copy.source == "someone/copy"


@pytest.mark.parametrize("name", PUBLISHED)
def test_configurations_as_the_classes_save_them_are_identified(name: str, tmp_path: Path) -> None:
    import diffusers
    import torch
    from transformers import T5Config

    files = published(name)
    folder = write_published(tmp_path, name)
    classes = {"transformer": "CogVideoXTransformer3DModel", "vae": "AutoencoderKLCogVideoX"}
    with torch.device("meta"):
        for part, cls in classes.items():
            config = files[f"{part}/config.json"] | {"num_layers": 1, "layers_per_block": 1}
            getattr(diffusers, cls).from_config(config).save_config(folder / part)
    T5Config.from_dict(files["text_encoder/config.json"]).save_pretrained(folder / "text_encoder")
    for kind in "DDIM", "DPM":
        scheduler = getattr(diffusers, f"CogVideoX{kind}Scheduler")
        config = files["scheduler/scheduler_config.json"]
        scheduler.from_config(config).save_pretrained(folder / "scheduler")
        model = identify(folder, "someone/copy", has_weights=False)
        assert (model.task == "i2v") == name.endswith("i2v")


FUN = {"patch_size_t": 2, "sample_frames": 85, "sample_height": 384, "sample_width": 680}
NOISE = {"add_noise_in_inpaint_model": True}


@pytest.mark.parametrize(
    ("name", "transformer", "message"),
    [
        ("5b", {"in_channels": 32}, "Fun Control or Pose, which .* Use --model 5b "),
        ("5b", {"in_channels": 32}, "it is an image-to-video model, name CogVideoXImageToVideo"),
        ("2b", NOISE | {"in_channels": 32}, "Fun Control or Pose: .* Use --model 2b "),
        ("1.5-5b", {"in_channels": 32, "ofs_embed_dim": 512}, r"channels\). Use --model 1.5-5b .*"),
        ("5b-i2v", NOISE, "Fun Control or Pose"),
        ("1.5-5b", FUN | NOISE | {"in_channels": 34}, "in_channels 34. cogmagic does not run it"),
        ("1.5-5b", FUN | {"in_channels": 49}, "sets in_channels to 49, but its pipeline"),
        ("5b", {"in_channels": 24}, r"feeds 16 \(the VAE has 16 channels\). Use --model 5b "),
        ("5b-i2v", {"in_channels": 16}, "feeds 32 .*text-to-video model, name CogVideoXPipeline"),
        ("5b", {"_class_name": "ConsisIDTransformer3DModel"}, "seems to be ConsisID"),
        ("5b", {"_class_name": "WanTransformer3DModel"}, "its transformer is WanTransformer3D"),
    ],
    ids=str,
)
def test_other_make_is_named_by_its_transformer(
    name: str, transformer: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert re.search(message, refusal(write_published(tmp_path, name, transformer=transformer)))


@pytest.mark.parametrize(
    ("name", "transformer", "like"),
    [
        ("2b", NOISE | {"in_channels": 33}, "2b-inp"),
        ("5b", {"in_channels": 33}, "5b-inp"),
        ("1.5-5b", FUN | {"in_channels": 33}, "1.5-5b-inp"),
        ("1.5-5b-i2v", FUN | NOISE | {"in_channels": 33, "ofs_embed_dim": None}, "1.5-5b-inp"),
        ("1.5-5b", FUN | NOISE | {"in_channels": 48}, "void"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "pipeline", [None, "CogVideoX_Fun_Pipeline", "CogVideoXFunInpaintPipeline"]
)
def test_inpainting_models_are_known_by_their_channels(
    name: str, transformer: dict[str, Any], like: str, pipeline: str | None, tmp_path: Path
) -> None:
    index = {"_class_name": pipeline} if pipeline else {}
    write_published(tmp_path, name, transformer=transformer, model_index=index)
    model = identify(tmp_path, "someone/copy", has_weights=False)
    assert (model.task, model.frames) == (catalogued(like).task, catalogued(like).frames)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("CogVideoXFunControlPipeline", "Fun Control: its .* names CogVideoXFunControlPipeline"),
        ("CogVideoX_Fun_Pipeline_Control", "CogVideoX-Fun Control: "),
        ("ControlnetCogVideoXPipeline", "a ControlNet: "),
        ("CogVideoXImageToVideoPipelineTracking", "Diffusion as Shader"),
        ("ConsisIDPipeline", "ConsisID"),
        ("CogView4Pipeline", "CogView"),
        ("WanPipeline", "holds a WanPipeline, not a CogVideoX pipeline .*--model 2b, 5b"),
        ("CogVideoXNewPipeline", "holds a CogVideoXNewPipeline, not a CogVideoX pipeline"),
        (None, "holds a None"),
        (["CogVideoXPipeline"], "not a CogVideoX pipeline"),
        ("CogVideoXImageToVideoPipeline", "feeds 32"),
    ],
    ids=str,
)
def test_other_make_is_named_by_its_pipeline(
    pipeline: object, message: str, tmp_path: Path
) -> None:
    folder = write_published(tmp_path, "5b", model_index={"_class_name": pipeline})
    assert re.search(message, refusal(folder))


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("model_index", {"controlnet": ["my", "CogVideoXControlnet"]}, "the component controlnet"),
        (
            "model_index",
            {"vae": ["diffusers", "AutoencoderKLMochi"]},
            "AutoencoderKLCogVideoX. Use --model 5b.",
        ),
        ("vae", {"_class_name": "AutoencoderKLWan"}, "its vae is AutoencoderKLWan"),
        ("scheduler", {"_class_name": "DDIMScheduler"}, "its scheduler is DDIMScheduler"),
        ("text_encoder", {"architectures": ["UMT5EncoderModel"]}, "its text_encoder is UMT5"),
        ("text_encoder", {"model_type": "umt5"}, "its text_encoder is umt5"),
    ],
    ids=str,
)
def test_component_of_another_class_is_named(
    part: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert message in refusal(write_published(tmp_path, "5b", **{part: changes}))


def test_pipeline_with_empty_components_and_the_video_to_video_class_pass(tmp_path: Path) -> None:
    index = {"safety_checker": [None, None], "note": "x", "force": True, "sizes": [1, 2]}
    index |= {"_class_name": "CogVideoXVideoToVideoPipeline"}
    folder = write_published(
        tmp_path, "5b", model_index=index, text_encoder={"architectures": ["T5Model"]}
    )
    assert identify(folder, "a/b", has_weights=False).name == "5b"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            "pytorch_lora_weights.safetensors README.md",
            "a LoRA. Give it with --lora.* such as --model 5b ",
        ),
        ("adapter_config.json adapter_model.safetensors", "a LoRA"),
        ("orbit_left_lora_weights.safetensors", "a LoRA"),
        ("transformer_t2v/1/mp_rank_00_model_states.pt vae/3d-vae.pt", "SAT weights"),
        ("checkpoint-1/pytorch_model/zero_pp_rank_0_optim_states.pt", "a trainer's checkpoint"),
        ("finetrainers_step_10/.metadata finetrainers_step_10/__0_0.distcp", "a trainer's"),
        ("void_pass1.safetensors void_pass2.safetensors", "VOID"),
        ("CogVideoX_5b_I2V_GGUF_Q4_0.gguf", "GGUF"),
        ("CogVideoX_5b_fp8_4em.safetensors", "a single file"),
        ("transformer/config.json transformer/model.safetensors", "Copy the other components"),
        ("config.json diffusion_pytorch_model.safetensors", "a single component"),
        ("5b/model_index.json 5b/vae/config.json", "5b has one: give --model"),
        ("notes.txt", "Point --model at the folder that holds transformer/"),
        ("", "Point --model at the folder that holds transformer/"),
    ],
)
def test_folder_without_an_index_is_named(files: str, message: str, tmp_path: Path) -> None:
    for name in files.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(CheckpointError) as error:
        find_model(str(tmp_path))
    assert "it has no model_index.json" in str(error.value)
    assert re.search(message, str(error.value))


def test_component_or_file_in_place_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "whole", "5b")
    with pytest.raises(CheckpointError) as error:
        find_model(str(folder / "transformer"))
    assert f"The folder above has one: --model {folder}" in str(error.value)
    for file in "model_index.json", "vae/config.json":
        with pytest.raises(CheckpointError) as error:
            find_model(str(folder / file))
        assert f"is one file of a checkpoint. Give its folder: --model {folder}." in str(
            error.value
        )
    shutil.rmtree(folder)
    (tmp_path / "config.json").write_text('{"_class_name": "CogVideoXControlnet"}')
    with pytest.raises(CheckpointError, match="a ControlNet"):
        find_model(str(tmp_path))
    (tmp_path / "model.gguf").touch()
    with pytest.raises(CheckpointError, match="GGUF"):
        find_model(str(tmp_path / "model.gguf"))
    lora = write(tmp_path / "style.safetensors", diffusers_keys(factors()))
    with pytest.raises(CheckpointError, match=r"to be a LoRA\. Give it with --lora, and its base"):
        find_model(str(lora))


@pytest.mark.parametrize(
    ("name", "task", "model"),
    [
        ("alibaba-pai/CogVideoX-Fun-V1.5-5b-InP", None, "1.5-5b-inp"),
        ("someone/CogVideoX-2b-inpainting", None, "2b-inp"),
        ("someone/void-copy", None, "void"),
        ("alibaba-pai/CogVideoX-Fun-V1.1-2b-InP", "i2v", "5b-i2v"),
        ("alibaba-pai/CogVideoX-Fun-V1.1-2b-Control", "t2v", "2b"),
        ("zai-org/CogVideoX1.5-5B-SAT", None, "1.5-5b"),
        ("C:\\models\\my 2b\\tuned", None, "5b"),
        ("/home/1.5-5b/x-2b/", None, "2b"),
    ],
)
def test_nearest_model_is_taken_from_the_name(name: str, task: str | None, model: str) -> None:
    assert nearest(name, task).name == model
