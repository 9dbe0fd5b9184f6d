"""A checkpoint's configurations: read once, checked value by value and against one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.config_table import CONFIG_VALUES
from cogmagic._models.checkpoints.config_values import Value, check_values
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.makes import check_channels, check_make
from cogmagic._models.checkpoints.quantised import check_not_quantised
from cogmagic._models.family import Configs, config_file

__all__ = ["read_configs"]


_CHANNELS = {
    part: {key: CONFIG_VALUES[part][key]}
    for part, key in (("transformer", "in_channels"), ("vae", "latent_channels"))
}
"""The keys that tell one make from another."""


_MOST_POSITIONS = 2**29
"""The most values in a table of positions, which is computed in float32. 5b-i2v has a tenth."""


def read_configs(
    folder: Path, label: str, index: Mapping[str, Any], *, in_memory: bool = False
) -> Configs:
    """The configurations of the components, with the classes' defaults for missing keys.

    Args:
        folder: the checkpoint, or its configurations alone.
        label: its name in messages.
        index: its ``model_index.json``, checked.
        in_memory: whether the components are loaded already: they may then be quantised, and the
            text encoder may be missing.

    Raises:
        CheckpointError: for a configuration that is missing or damaged, for a quantised component,
            for one of another make, and for values that no CogVideoX has.
    """
    raw = {}
    for component in CONFIG_VALUES:
        file = config_file(component)
        if (folder / file).is_file():
            raw[component] = read_json(folder / file)
        elif component != "text_encoder" or not in_memory:
            raise CheckpointError(
                f"{label} is incomplete: {file} is missing. Download or copy it again."
            )
    for component, config in raw.items():
        if not in_memory:
            check_not_quantised(folder, label, component, config)
        check_make(label, component, config)
    _check_values(label, raw, _CHANNELS)  # only these: another make may have other values, too
    configs = {
        component: {key: kind.default for key, kind in CONFIG_VALUES[component].items()} | config
        for component, config in raw.items()
    }
    check_channels(label, str(index["_class_name"]), configs)
    _check_values(label, raw, CONFIG_VALUES)
    for reason in _misfits(configs, raw):
        raise CheckpointError(f"{label}: {reason}. Download or copy it again.")
    return configs


def _check_values(label: str, configs: Configs, tables: Mapping[str, Mapping[str, Value]]) -> None:
    for component, config in configs.items():
        file = f"{label}: {config_file(component)}"
        check_values(file, config, tables.get(component, {}))


def _misfits(configs: Configs, raw: Configs) -> Iterator[str]:
    """Why values that are allowed one by one do not fit one another."""
    transformer = configs["transformer"]
    yield from _transformer_misfits(transformer)
    yield from _vae_misfits(configs["vae"], transformer)
    if "text_encoder" in configs:
        yield from _text_encoder_misfits(configs["text_encoder"], raw["text_encoder"])
        width, text_width = transformer["text_embed_dim"], configs["text_encoder"]["d_model"]
        if width != text_width:
            yield (
                f"transformer/config.json sets text_embed_dim to {width:,}, but"
                f" text_encoder/config.json sets d_model to {text_width:,}; they must be equal"
            )
    yield from _scheduler_misfits(configs["scheduler"])


def _transformer_misfits(c: Mapping[str, Any]) -> Iterator[str]:
    file = "transformer/config.json"
    heads, width = c["num_attention_heads"], c["attention_head_dim"]
    rotary, learned = (f"use_{kind}_positional_embeddings" for kind in ("rotary", "learned"))
    if c[rotary] and width % 16:
        yield f"{file} sets attention_head_dim to {width}, which must be a multiple of 16"
    if not c[rotary] and heads * width % 16:
        yield (
            f"{file} sets num_attention_heads to {heads} and attention_head_dim to {width}, but"
            " their product must be a multiple of 16 for its positions"
        )
    if c[learned] and not c[rotary]:
        yield f"{file} sets {learned} without {rotary}, which no CogVideoX has"
    if c["patch_size_t"] and (c[learned] or not c[rotary]):
        yield (
            f"{file} sets patch_size_t to {c['patch_size_t']}, but must set it to null with a table"
            f" of positions ({learned} true or {rotary} false), which has one per latent frame"
        )
    if c["ofs_embed_dim"] not in (None, c["time_embed_dim"]):
        yield (
            f"{file} sets ofs_embed_dim to {c['ofs_embed_dim']:,} and time_embed_dim to"
            f" {c['time_embed_dim']:,}, which are added to each other and must be equal"
        )
    if c["ofs_embed_dim"] and c["in_channels"] == c["out_channels"]:
        yield (
            f"{file} sets ofs_embed_dim to {c['ofs_embed_dim']:,}, which only image-to-video models"
            f" have, but in_channels to {c['in_channels']} as text-to-video models do"
        )
    for side in ("sample_height", "sample_width"):
        if c[side] % c["patch_size"]:
            yield f"{file} sets {side} to {c[side]}, which must be even for patches of 2"
    frames = (c["sample_frames"] - 1) // 4 + 1
    patches = c["sample_height"] // 2 * (c["sample_width"] // 2) * frames
    positions = (c["max_text_seq_length"] + patches) * heads * width
    if (c[learned] or not c[rotary]) and positions > _MOST_POSITIONS:
        yield (
            f"{file} sets sample_height, sample_width and sample_frames to {c['sample_height']},"
            f" {c['sample_width']} and {c['sample_frames']}: a table of positions with"
            f" {positions:,} values, but CogVideoX models have up to 54,607,872 (allowed: up to"
            f" {_MOST_POSITIONS:,})"
        )


def _vae_misfits(c: Mapping[str, Any], transformer: Mapping[str, Any]) -> Iterator[str]:
    file, groups = "vae/config.json", c["norm_num_groups"]
    odd = [n for n in c["block_out_channels"] if n % groups]
    if odd:
        yield (
            f"{file} sets norm_num_groups to {groups}, but block_out_channels has {odd[0]}, which"
            f" is not a multiple of {groups}"
        )
    for side in ("sample_height", "sample_width"):
        if c[side] % 16:
            yield (
                f"{file} sets {side} to {c[side]}, which must be a multiple of 16, because the"
                " VAE's tiles are half as large"
            )
    if transformer["out_channels"] != c["latent_channels"]:
        yield (
            f"transformer/config.json sets out_channels to {transformer['out_channels']}, but"
            f" {file} sets latent_channels to {c['latent_channels']}; they must be equal"
        )


_T5_ALIASES = {
    "hidden_size": "d_model",
    "head_dim": "d_kv",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
}
"""``T5Config.attribute_map``: the aliases, which take precedence over the keys."""


def _text_encoder_misfits(c: Mapping[str, Any], raw: Mapping[str, Any]) -> Iterator[str]:
    file = "text_encoder/config.json"
    for alias, key in _T5_ALIASES.items():
        if alias in raw and raw[alias] != c[key]:
            yield f"{file} sets {key} to {c[key]:,}, but its alias {alias} to {raw[alias]:,}"
    buckets, distance = (c[f"relative_attention_{n}"] for n in ("num_buckets", "max_distance"))
    if buckets % 4 or distance <= buckets // 4:
        yield (
            f"{file} sets relative_attention_num_buckets to {buckets} and"
            f" relative_attention_max_distance to {distance}, but the first must be a multiple of 4"
            " and the second more than a quarter of it; CogVideoX models have 32 and 128"
        )
    projection = c["feed_forward_proj"]
    activation = "gelu_new" if projection == "gated-gelu" else projection.removeprefix("gated-")
    expected = {"dense_act_fn": activation, "is_gated_act": projection.startswith("gated-")}
    for key, value in expected.items():
        if c[key] not in (None, value):
            yield f"{file} sets {key} to {c[key]}, but feed_forward_proj to {projection}"
    for key in ("pad_token_id", "eos_token_id"):
        if c[key] is not None and c[key] >= c["vocab_size"]:
            yield f"{file} sets {key} to {c[key]:,}, but vocab_size to {c['vocab_size']:,}"


def _scheduler_misfits(c: Mapping[str, Any]) -> Iterator[str]:
    file = "scheduler/scheduler_config.json"
    steps, betas = c["num_train_timesteps"], c["trained_betas"]
    if c["beta_start"] > c["beta_end"]:
        yield f"{file} sets beta_start to {c['beta_start']:g}, above beta_end {c['beta_end']:g}"
    if betas is not None and len(betas) != steps:
        yield f"{file} lists {len(betas):,} trained_betas for {steps:,} num_train_timesteps"
