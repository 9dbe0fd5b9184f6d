"""Stored tensors that are not those of the classes: refused before loading, on real parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import CheckpointError
from cogmagic._models.find import embedded_folder
from cogmagic._pipeline import tensors
from cogmagic._pipeline.libraries import component_class, quiet_libraries
from cogmagic._pipeline.load import load, load_component
from cogmagic._pipeline.quantised.layers import quantised_layers
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.tensors import check_tensors
from tests.helpers.checkpoints import Tensors, edit_config, edit_weights, shard_weights
from tests.helpers.lora_files import write_lora

COMPONENTS = ("text_encoder", "transformer", "vae")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the embedded model that a test may damage."""
    return Path(shutil.copytree(embedded_folder(), tmp_path / "copy"))


def loaded(folder: Path, component: str, dtype: str = "float16") -> Tensors:
    """The weights of a component as its loader leaves them, and plain fp8 as it is widened."""
    module = load_component(folder, component, dtype, torch.device("cpu"))
    weights = dict(module.state_dict())
    for path, layer in quantised_layers(module):
        wide = torch.float32 if layer.wide else getattr(torch, dtype)
        weights[f"{path}.weight"] = weights.pop(f"{path}.packed").to(wide)  # type: ignore[arg-type]
    return weights


def assert_loads(folder: Path, component: str, expected: Tensors | None = None) -> None:
    """The component passes the check and has the embedded model's weights, bit for bit."""
    check_tensors(folder)
    actual = loaded(folder, component)
    expected = expected or loaded(embedded_folder(), component)
    assert actual.keys() == expected.keys()
    for key, tensor in actual.items():
        assert tensor.dtype == expected[key].dtype, key
        assert torch.equal(tensor, expected[key]), key


def first(weights: Tensors, *, oblong: bool = False) -> str:
    """The first matrix or kernel by name; with `oblong` one whose transpose has another shape."""
    shapes = {k: t.shape for k, t in weights.items() if t.dim() > 1}
    return min(k for k, s in shapes.items() if not oblong or s[0] != s[1])


def drop(weights: Tensors) -> None:
    del weights[first(weights)]


def transpose(weights: Tensors) -> None:
    key = first(weights, oblong=True)
    weights[key] = weights[key].transpose(0, 1)


def widen(weights: Tensors) -> None:
    key = first(weights)
    weights[key] = torch.cat([weights[key]] * 2, 1)


def flatten(weights: Tensors) -> None:
    key = first(weights)
    weights[key] = weights[key].flatten()


def add(weights: Tensors) -> None:
    weights["blocks.99.weight"] = torch.zeros(3)


def rename(weights: Tensors) -> None:
    weights["renamed"] = weights.pop(first(weights))


DIFFERENCES: dict[str, tuple[Callable[[Tensors], Any], str]] = {
    "dropped": (drop, r": 1 of \d+ tensors missing \([a-z][\w.]+\)\. Download or copy"),
    "transposed": (
        transpose,
        r": 1 of another shape \([\w.]+ is [\d×]+, not [\d×]+\)\. Download or copy",
    ),
    "wide": (widen, r": 1 of another shape"),
    "flat": (flatten, r": 1 of another shape \([\w.]+ is \d+, not [\d×]+\)"),
    "surplus": (add, r": 1 unexpected \(blocks\.99\.weight\)"),
    "renamed": (rename, r": 1 of \d+ tensors missing \(.*\), 1 unexpected \(renamed\)"),
}


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_tensors_that_do_not_fit_the_class_are_refused(
    copy: Path, component: str, name: str
) -> None:
    edit, message = DIFFERENCES[name]
    edit_weights(copy, component, edit)
    with pytest.raises(CheckpointError, match=message) as error:
        check_tensors(copy)
    assert f"{copy}: the weights of its {component} do not fit its config.json" in str(error.value)


def test_weights_that_were_saved_with_a_lora_attached_are_refused(copy: Path) -> None:
    pipe = load(PipelineSpec(copy, "t2v", "float32"))
    file = write_lora(copy.parent / "red.safetensors", pipe.transformer)
    pipe.load_lora_weights(file.parent, weight_name=file.name)
    pipe.transformer.save_pretrained(copy / "transformer")
    with pytest.raises(CheckpointError, match=r"Save them after pipe\.unload_lora_weights\(\)"):
        check_tensors(copy)


@pytest.mark.parametrize(
    ("component", "prefix"),
    [
        ("text_encoder", "model."),
        ("text_encoder", "base_model."),
        ("text_encoder", "transformer."),
        ("transformer", "module."),
        ("transformer", "transformer."),
        ("transformer", "_orig_mod."),
        ("vae", "module."),
        ("vae", "vae."),
    ],
)
def test_prefix_is_refused_where_the_loader_does_not_strip_it(
    copy: Path, component: str, prefix: str
) -> None:
    edit_weights(copy, component, lambda weights: {prefix + k: t for k, t in weights.items()})
    if (component, prefix) == ("text_encoder", "transformer."):  # of T5 within larger models
        return assert_loads(copy, component)
    with pytest.raises(CheckpointError, match=f"begin with '{prefix}': save them without it"):
        check_tensors(copy)
    return None


@pytest.mark.parametrize("component", ["text_encoder", "transformer"])
@pytest.mark.parametrize("name", ["dropped", "transposed", "surplus", "as it is"])
def test_check_agrees_with_the_report_that_the_loaders_hide(
    copy: Path, component: str, name: str
) -> None:
    if name in DIFFERENCES:
        edit_weights(copy, component, DIFFERENCES[name][0])
    with quiet_libraries():
        try:
            _, report = component_class(component).from_pretrained(
                copy, subfolder=component, output_loading_info=True
            )
        except (RuntimeError, ValueError) as error:
            report = {"mismatched_keys": str(error)}
    differs = any(report[k] for k in report if k.endswith("keys"))
    assert differs == (name != "as it is")
    if differs:
        with pytest.raises(CheckpointError):
            check_tensors(copy)
    else:
        check_tensors(copy)


def test_names_are_few_and_plain(copy: Path) -> None:
    def spoil(weights: Tensors) -> Tensors:
        return {f"\x1b[31m{'x' * 500}{k}": t for k, t in weights.items()}

    edit_weights(copy, "vae", spoil)
    with pytest.raises(CheckpointError) as error:
        check_tensors(copy)
    message = str(error.value)
    assert message.isprintable()
    assert message.endswith("save them without it.")  # not cut off


def full_t5(weights: Tensors) -> None:
    """The tensors that T5ForConditionalGeneration stores besides the encoder's."""
    embedding = weights["shared.weight"]
    weights["encoder.embed_tokens.weight"] = embedding.clone()
    weights["decoder.embed_tokens.weight"] = embedding.clone()
    weights["lm_head.weight"] = embedding * 3
    for layer in ("layer.0.SelfAttention", "layer.1.EncDecAttention"):
        weights[f"decoder.block.0.{layer}.q.weight"] = torch.ones(128, 128)
    weights["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.ones(
        32, 4
    )


def embedding_twice(weights: Tensors) -> None:
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"].clone()


def other_embedding_only(weights: Tensors) -> None:
    weights["encoder.embed_tokens.weight"] = weights.pop("shared.weight")


def wider_copy(weights: Tensors) -> None:
    weights["encoder.embed_tokens.weight"] = weights["shared.weight"].float()


@pytest.mark.parametrize(
    "edit", [full_t5, embedding_twice, other_embedding_only, wider_copy], ids=lambda e: e.__name__
)
def test_usual_text_encoders_load_as_they_are(copy: Path, edit: Callable[[Tensors], None]) -> None:
    edit_weights(copy, "text_encoder", edit)
    assert_loads(copy, "text_encoder")


def test_full_t5_of_the_library_loads_its_encoder(copy: Path) -> None:
    from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration

    config = T5Config.from_pretrained(embedded_folder() / "text_encoder")
    full = T5ForConditionalGeneration(config).half()
    full.save_pretrained(copy / "text_encoder")
    check_tensors(copy)
    actual = loaded(copy, "text_encoder")
    for key, tensor in full.encoder.state_dict().items():
        assert torch.equal(actual[f"encoder.{key}"].half(), tensor), key
    assert set(actual) == set(T5EncoderModel(config).state_dict())


def test_embeddings_of_different_values_are_refused(copy: Path) -> None:
    def spoil(weights: Tensors) -> None:
        weights["encoder.embed_tokens.weight"] = weights["shared.weight"] * 2

    edit_weights(copy, "text_encoder", spoil)
    with pytest.raises(CheckpointError, match="one parameter, but are stored with different"):
        check_tensors(copy)


def test_text_encoder_without_an_embedding_is_refused(copy: Path) -> None:
    edit_weights(copy, "text_encoder", lambda w: {k: w[k] for k in w if k != "shared.weight"})
    with pytest.raises(CheckpointError, match=r"2 of 22 tensors missing .*shared\.weight"):
        check_tensors(copy)


@pytest.mark.parametrize("component", COMPONENTS)
def test_mixed_and_wider_precisions_load_as_they_are(copy: Path, component: str) -> None:
    def widen_some(weights: Tensors) -> Tensors:
        kinds = (torch.float16, torch.float32, torch.float64)
        return {k: weights[k].to(kinds[i % 3]) for i, k in enumerate(sorted(weights))}

    edit_weights(copy, component, widen_some)
    assert_loads(copy, component)


@pytest.mark.parametrize("component", COMPONENTS)
@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2"])
def test_plain_fp8_loads_with_the_stored_values(copy: Path, component: str, kind: str) -> None:
    fp8 = getattr(torch, kind)
    expected = {
        k: t.to(torch.float16).to(fp8).to(t.dtype)
        for k, t in loaded(embedded_folder(), component).items()
    }
    edit_weights(copy, component, lambda weights: {k: t.to(fp8) for k, t in weights.items()})
    assert_loads(copy, component, expected)
    assert max(t.float().abs().max() for t in expected.values()) > 0


@pytest.mark.parametrize("component", COMPONENTS)
def test_shards_load_where_each_tensor_is_stored_once(copy: Path, component: str) -> None:
    def unlist_and_swap(shards: list[Tensors], listed: dict[str, str]) -> None:
        unlisted, swapped, *_ = sorted(shards[0])
        del listed[unlisted]
        listed[swapped] = listed[min(shards[1])]

    shard_weights(copy, component, unlist_and_swap)
    stray = next((copy / component).glob("*-00001-of-*.safetensors"))
    shutil.copy(stray, stray.with_name("old-00001-of-00002.safetensors"))  # not in the index
    assert_loads(copy, component)


@pytest.mark.parametrize("component", COMPONENTS)
def test_files_that_are_checked_are_those_that_are_loaded(copy: Path, component: str) -> None:
    def double(shards: list[Tensors], listed: dict[str, str]) -> None:
        for shard in shards:
            for key, tensor in shard.items():
                shard[key] = tensor * 2

    shard_weights(copy, component, double, keep=True)
    original = loaded(embedded_folder(), component)
    shards = {k: (t.half() * 2).to(t.dtype) for k, t in original.items()}
    assert_loads(copy, component, original if component == "text_encoder" else shards)
    index = next((copy / component).glob("*.index.json"))
    index.rename(index.with_name("model.fp16.safetensors.index.json"))  # of a variant
    assert_loads(copy, component, original)


@pytest.mark.parametrize(("learned", "factor"), [(False, 1), (False, 2), (True, 1), (True, 2)])
def test_stored_position_table_counts_only_where_it_is_learned(
    copy: Path, learned: bool, factor: int
) -> None:
    """A table that the class computes may be stored unchanged; a learned one must be stored."""
    edit_config(
        copy,
        "transformer",
        use_rotary_positional_embeddings=learned,
        use_learned_positional_embeddings=learned,
    )
    module = component_class("transformer").from_config(
        component_class("transformer").load_config(copy / "transformer")
    )
    if learned:
        with pytest.raises(CheckpointError, match=r"missing \(patch_embed\.pos_embedding\)"):
            check_tensors(copy)
    else:
        check_tensors(copy)
    table = module.patch_embed.pos_embedding * factor
    edit_weights(copy, "transformer", lambda w: w | {"patch_embed.pos_embedding": table.half()})
    if factor == 1 or learned:
        check_tensors(copy)
        module = load_component(copy, "transformer", "float32", torch.device("cpu"))
        assert torch.allclose(module.patch_embed.pos_embedding.float(), table.float(), atol=1e-3)
    else:
        with pytest.raises(CheckpointError, match="1 unexpected"):
            check_tensors(copy)


@pytest.mark.parametrize(
    ("component", "changes", "message"),
    [
        ("transformer", {"num_attention_heads": 5}, r"\d+ of another shape"),
        ("transformer", {"num_layers": 7}, r"24 unexpected \(transformer_blocks\.7\."),
        ("transformer", {"num_layers": 9}, r"24 of \d+ tensors missing \(transformer_blocks\.8\."),
        ("transformer", {"in_channels": 32}, r"1 of another shape \(patch_embed\.proj\.weight is"),
        ("transformer", {"ofs_embed_dim": 64}, r"4 of \d+ tensors missing \(ofs_embedding\."),
        ("text_encoder", {"d_ff": 128}, r"\d+ of another shape"),
        ("text_encoder", {"is_gated_act": False}, r"2 of \d+ tensors missing .*wi\.weight"),
        ("vae", {"layers_per_block": 2}, r"\d+ of \d+ tensors missing"),
        ("vae", {"use_quant_conv": True}, r"2 of \d+ tensors missing \(quant_conv\."),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_config_of_another_model_is_refused(
    copy: Path, component: str, changes: dict[str, Any], message: str
) -> None:
    edit_config(copy, component, **changes)
    with pytest.raises(CheckpointError, match=f"{component} do not fit its config.*{message}"):
        check_tensors(copy)


def test_config_without_a_model_is_one_line(copy: Path) -> None:
    edit_config(copy, "vae", norm_num_groups=7)
    with pytest.raises(CheckpointError, match="no CogVideoX can be built"):
        check_tensors(copy)


@pytest.mark.parametrize(
    "options", [{}, {"tier": "staged"}, {"fp8": True}, {"dtype": "float32"}], ids=str
)
def test_run_is_refused_before_loading(
    copy: Path, cwd: Path, session: Any, options: dict[str, Any]
) -> None:
    edit_weights(copy, "transformer", drop)
    with pytest.raises(CheckpointError, match=r"1 of \d+ tensors missing"):
        cogmagic.generate("a red circle", model=str(copy), **options)
    assert session.loaded is None
    assert not list(cwd.glob("*.mp4"))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"tier": "staged"}, {"fp8": True}], ids=str)
def test_plain_fp8_makes_the_video_of_its_values(
    copy: Path, cwd: Path, session: Any, options: dict[str, Any]
) -> None:
    frames = []
    for kind in (torch.float8_e4m3fn, torch.float16):
        for component in COMPONENTS:
            edit_weights(copy, component, lambda w, kind=kind: {k: w[k].to(kind) for k in w})
        video = cogmagic.generate(
            "a red circle", model=str(copy), size="64x64", frames=9, steps=1, seed=1, **options
        )
        frames.append(video.frames())
    assert (frames[0] == frames[1]).all()


def test_unchanged_files_are_compared_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    build = tensors.empty_component

    def counting(name: str, config: dict[str, Any], dtype: Any) -> Any:
        names.append(name)
        return build(name, config, dtype)

    monkeypatch.setattr(tensors, "empty_component", counting)
    check_tensors(copy)
    check_tensors(copy)
    assert names == list(COMPONENTS)
    edit_weights(copy, "vae", drop)
    with pytest.raises(CheckpointError):
        check_tensors(copy)
    with pytest.raises(CheckpointError):
        check_tensors(copy)
