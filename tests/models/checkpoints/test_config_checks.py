"""Values of configurations that no CogVideoX has, and files that are not configurations."""

from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic import CheckpointError, Machine, plan
from cogmagic._models.checkpoints.config_table import CONFIG_VALUES
from cogmagic._models.checkpoints.config_values import Flag, Listed, Value
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.family import config_file
from cogmagic._models.find import find_model
from cogmagic._pipeline.empty import empty_component
from tests.helpers.published import refusal, write_published


def test_table_has_every_key_that_the_classes_read_with_its_default() -> None:
    import diffusers
    from transformers import T5Config

    classes = {
        "transformer": diffusers.CogVideoXTransformer3DModel,
        "vae": diffusers.AutoencoderKLCogVideoX,
        "scheduler": diffusers.CogVideoXDDIMScheduler,
    }
    for part, cls in classes.items():
        parameters = inspect.signature(cls.__init__).parameters
        defaults = {n: p.default for n, p in parameters.items() if n != "self"}
        assert {n: kind.default for n, kind in CONFIG_VALUES[part].items()} == defaults
    own = set(inspect.get_annotations(T5Config)) & T5Config().to_dict().keys()
    defaults = {n: getattr(T5Config, n) for n in own}
    assert {n: CONFIG_VALUES["text_encoder"][n].default for n in own} == defaults


NEVER: tuple[Any, ...] = (
    10**12, -1, -(10**30), 1e300, float("nan"), float("inf"), "nonsense", "1", [1], [[1]], 10**400,
    ["x"] * 4, [10**12] * 4, [True] * 4,
)  # fmt: skip


@pytest.mark.parametrize("part", CONFIG_VALUES)
def test_value_that_no_key_has_is_refused_for_every_key(part: str, tmp_path: Path) -> None:
    for key, kind in CONFIG_VALUES[part].items():
        assert not kind.problem(kind.default) or kind.default is None
        for value in NEVER:
            assert kind.problem(value), (key, value)
    folder = write_published(tmp_path, "5b")
    file = next((folder / part).glob("*config.json"))
    whole = json.loads(file.read_text())
    for key in CONFIG_VALUES[part]:
        file.write_text(json.dumps(whole | {key: "nonsense"}))
        message = refusal(folder)
        assert f"{part}/{file.name} sets {key} to 'nonsense', but CogVideoX models have" in message


ROTARY = "use_rotary_positional_embeddings"
HUGE = {ROTARY: False, "sample_frames": 1024, "sample_width": 512, "sample_height": 512}


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("scheduler", {"num_train_timesteps": 10**12}, "to 1000000000000, but .* have 1000 "),
        ("scheduler", {"num_train_timesteps": 999}, "a whole number from 1,000 to 10,000"),
        ("scheduler", {"beta_start": float("nan")}, "to NaN, but .* have 0.00085"),
        ("scheduler", {"beta_end": float("inf")}, "beta_end to inf"),
        ("scheduler", {"beta_start": 0.3}, "beta_start to 0.3, above beta_end 0.012"),
        ("scheduler", {"trained_betas": [0.1] * 7}, "lists 7 trained_betas for 1,000"),
        ("scheduler", {"trained_betas": [0.1] * 10**5}, "trained_betas to "),
        ("scheduler", {"prediction_type": "flow"}, "have v_prediction"),
        ("transformer", {"sample_width": 10**9}, "to 1000000000, but .* have 90 or 170"),
        ("transformer", {"num_layers": 10**6}, "have 30 or 42 .*from 1 to 256"),
        ("transformer", {"num_layers": 30.0}, "num_layers to 30.0, .*a whole number"),
        ("transformer", {"num_layers": None}, "num_layers to null"),
        ("transformer", {"num_layers": True}, "num_layers to true"),
        ("transformer", {"norm_eps": 0}, "norm_eps to 0, but CogVideoX models have 1e-05"),
        ("transformer", {"dropout": 2}, "dropout to 2"),
        ("transformer", {"attention_head_dim": 40}, "40, which must be a multiple of 16"),
        ("transformer", {"text_embed_dim": 2048}, "to 2,048, but text_.* sets d_model to 4,096"),
        ("transformer", {"out_channels": 32}, "to 32, but vae/.* sets latent_channels to 16"),
        ("transformer", {"patch_size": 4}, "patch_size to 4, but CogVideoX models have 2"),
        ("transformer", {"patch_size_t": 0}, "to 0, but CogVideoX models have null or 2"),
        ("transformer", {"ofs_embed_dim": 256}, "to 256 and time_embed_dim to 512"),
        ("transformer", {"ofs_embed_dim": 512}, "only image-to-video models have"),
        ("transformer", {"patch_size_t": 2, ROTARY: False}, "a table of positions"),
        ("transformer", {"sample_height": 61}, "which must be even"),
        ("transformer", HUGE, "a table of positions with .* values"),
        ("transformer", {ROTARY: False, "num_attention_heads": 1, "attention_head_dim": 24}, "16"),
        ("transformer", {ROTARY: False, ROTARY.replace("rotary", "learned"): True}, "without use_"),
        ("vae", {"block_out_channels": [128, 256, 512]}, r"to \[128, 256, 512\], .*a list of 4"),
        ("vae", {"down_block_types": ["CogVideoXDownBlock3D"] * 3}, "DownBlock3D four times"),
        ("vae", {"norm_num_groups": 48}, "has 128, which is not a multiple of 48"),
        ("vae", {"temporal_compression_ratio": 8}, "to 8, but CogVideoX models have 4"),
        ("vae", {"temporal_compression_ratio": 4.0}, "temporal_compression_ratio to 4.0"),
        ("vae", {"latent_channels": 4}, "feeds 4"),
        ("vae", {"scaling_factor": 0}, "have 0.7"),
        ("vae", {"sample_height": 488}, "a multiple of 16"),
        ("vae", {"latents_mean": [0.0] * 16}, "have null"),
        ("text_encoder", {"vocab_size": 10**12}, "have 32128"),
        ("text_encoder", {"vocab_size": 1}, "eos_token_id to 1, but vocab_size to 1"),
        ("text_encoder", {"num_labels": 10**9}, "num_labels to 1000000000"),
        ("text_encoder", {"hidden_size": 8192}, "its alias hidden_size to 8,192"),
        ("text_encoder", {"dense_act_fn": "relu"}, "relu, but feed_forward_proj to gated-gelu"),
        ("text_encoder", {"layer_norm_epsilon": 0}, "have 1e-06"),
        ("text_encoder", {"relative_attention_max_distance": 8}, "32 and 128"),
        ("text_encoder", {"attn_implementation": "flash_attention_2"}, "eager, sdpa or null"),
    ],
    ids=str,
)
def test_value_that_no_model_has_is_named(
    part: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    assert re.search(message, refusal(write_published(tmp_path, "5b", **{part: changes})))


def edges(kind: Value) -> list[Any]:
    """The outermost values that a key may have."""
    if isinstance(kind, Listed):
        return [[edge] * (kind.length or 1000) for edge in edges(kind.of)]
    ends = [getattr(kind, n) for n in ("least", "most") if hasattr(kind, n)]
    ends += getattr(kind, "choices", ()) or ([True, False] if isinstance(kind, Flag) else [])
    return ends + [None] * kind.optional


@pytest.mark.slow
@pytest.mark.parametrize("part", CONFIG_VALUES)
def test_classes_take_the_outermost_values_that_are_allowed(part: str, tmp_path: Path) -> None:
    import diffusers
    import torch

    few = {"num_layers": 1, "layers_per_block": 1} if part != "scheduler" else {}
    built = 0
    for key, kind in CONFIG_VALUES[part].items():
        for value in edges(kind):
            folder = write_published(tmp_path, "5b", **{part: few | {key: value}})
            try:
                identify(folder, "a/b", has_weights=False)
            except CheckpointError:  # it does not fit the other values
                continue
            config = json.loads((folder / config_file(part)).read_text())
            if part == "scheduler":
                scheduler = diffusers.CogVideoXDPMScheduler.from_config(config)
                scheduler.set_timesteps(1000)
                alphas = scheduler.alphas_cumprod
                assert torch.isfinite(alphas).all(), key
                assert alphas.min() >= 0, key
                assert alphas.max() <= 1, key
            else:
                empty_component(part, config, "bfloat16")
            built += 1
    assert built > len(CONFIG_VALUES[part])


def test_keys_that_savers_add_pass(tmp_path: Path) -> None:
    index = {"_ignore_files": ["README.md"], "_name_or_path": "a", "image_encoder": [None, None]}
    folder = write_published(
        tmp_path, "5b", model_index=index, text_encoder={"dtype": "float8_e4m3fn"}
    )
    assert identify(folder, "a/b", has_weights=False).name == "5b"


def test_unknown_keys_and_missing_ones_pass(tmp_path: Path) -> None:
    folder = write_published(tmp_path, "5b", transformer={"note": [float("nan")], "rope": 10**12})
    assert identify(folder, "a/b", has_weights=False).name == "5b"
    (folder / "vae" / "config.json").write_text("{}")
    (folder / "transformer" / "config.json").write_text("{}")
    assert identify(folder, "a/b", has_weights=False).name == "2b"  # the classes' defaults


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"[]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
        ('{"num_layers": 30}'.encode("utf-16"), "can't decode byte 0xff"),
        (b'{"num_layers": 30, "num_layers": 31}', "the key 'num_layers' is repeated"),
        (b"[" * 10**6, "maximum recursion depth"),
        (b'{"num_layers": ' + b"[" * 900 + b"]" * 900 + b"}", r"num_layers to \[\[\[|recursion"),
        (b'{"num_layers": ' + b"9" * 10**5 + b"}", "Exceeds the limit"),
        (b'{"a": "' + b"a" * 5 * 2**20 + b'"}', "has 5,242,889 bytes, but CogVideoX models have"),
    ],
    ids=["empty", "list", "text", "BOM", "UTF-16", "twice", "deep", "nested", "long", "big"],
)
def test_unreadable_configuration_is_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    folder = write_published(tmp_path, "5b")
    (folder / "transformer" / "config.json").write_bytes(content)
    assert re.search(message, refusal(folder))


def test_configuration_of_a_terabyte_or_of_no_end_is_not_read(tmp_path: Path) -> None:
    folder = write_published(tmp_path, "5b")
    file = folder / "vae" / "config.json"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    assert "has 1,099,511,627,776 bytes" in refusal(folder)
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "vae/config.json is missing" in refusal(folder)


@given(
    st.sampled_from(sorted(CONFIG_VALUES)),
    st.dictionaries(
        st.sampled_from(sorted({k for keys in CONFIG_VALUES.values() for k in keys})),
        st.one_of(
            st.none(), st.booleans(), st.integers(-1, 10**4), st.floats(), st.text(max_size=3),
            st.lists(st.integers(0, 600), max_size=5),
        ),
        max_size=3,
    ),
)  # fmt: skip
def test_any_values_give_a_model_or_one_line(part: str, changes: dict[str, Any]) -> None:
    with TemporaryDirectory() as name:
        folder = write_published(Path(name), "5b", **{part: changes})
        try:
            model = identify(folder, "a/b", has_weights=False)
        except CheckpointError:
            refusal(folder)
        else:
            assert model.width % 16 == model.height % 16 == 0
            assert model.frames.default in model.frames.legal()


def test_native_frame_count_between_the_legal_ones_is_rounded_down(tmp_path: Path) -> None:
    odd = {"num_layers": 7, "sample_frames": 85}
    for name, count in ("5b", 81), ("1.5-5b", 81):
        folder = write_published(tmp_path / name, name, transformer=odd)
        frames = identify(folder, "a/b", has_weights=False).frames
        assert (frames.default, frames.most) == (count, count)


def test_tokenizer_of_another_model_is_refused(toy: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(toy, tmp_path / "copy"))
    file = folder / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(file.read_text())

    def refused(message: str, **changes: Any) -> None:
        file.write_text(json.dumps(settings | changes))
        with pytest.raises(CheckpointError, match=message):
            plan(model=str(folder), machine=Machine.of("RTX 3060"))

    refused("extra_ids to 1000000000000", extra_ids=10**12)
    refused("the id 'x' in added_tokens_decoder", added_tokens_decoder={"x": {}})
    refused("has 100 tokens, but", added_tokens_decoder={"99": {"content": "fox"}})
    (file.parent / "added_tokens.json").write_text('{"<extra_id_0>": 99, "fox": 70}')
    refused("has 71 tokens, but")
    (file.parent / "added_tokens.json").write_text("[]")
    refused("added_tokens.json is not a JSON object")
    (file.parent / "added_tokens.json").unlink()
    (file.parent / "._tokenizer_config.json").write_bytes(b"\0\x05\x16\x07Mac OS X")
    (file.parent / "chat_template.json").write_text("[]")  # two files that no loader reads
    file.write_text(json.dumps(settings | {"model_max_length": 10**30}))
    assert find_model(str(folder)).name == "copy"
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"vocab_size": 9}))
    refused(r"has 18 tokens, but text_encoder/config.json sets vocab_size to 9:")
    (folder / "tokenizer" / "tokenizer.json").write_text('{"model": {}}')
    refused("tokenizer.json has no vocabulary")
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "spiece.model").write_bytes(b"\x0a\xff\xff")
    refused("is not a SentencePiece vocabulary")
