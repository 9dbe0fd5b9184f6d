"""What a checkpoint's configurations say, and what of it decides over memory and work."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.json_files import read_json

__all__ = ["TABLE", "Configs", "configs_of", "decisive", "same", "table", "tokens_of"]


Configs = dict[str, dict[str, Any]]
"""What each component's ``config.json`` says, by component."""


TABLE = Path(__file__).parent / "footprints.json"


# What of a configuration decides over memory and work; the rest (scaling factors, dropout, the
# sizes that rotary positions do not look at) may differ between checkpoints of one model.
_DECISIVE = {
    "text_encoder": (
        "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "feed_forward_proj", "vocab_size",
        "relative_attention_num_buckets",
    ),
    "transformer": (
        "num_attention_heads", "attention_head_dim", "in_channels", "out_channels",
        "time_embed_dim", "ofs_embed_dim", "text_embed_dim", "num_layers", "attention_bias",
        "patch_size", "patch_size_t", "temporal_compression_ratio", "max_text_seq_length",
        "activation_fn", "norm_elementwise_affine", "use_rotary_positional_embeddings",
        "use_learned_positional_embeddings",
    ),
    "vae": (
        "in_channels", "out_channels", "block_out_channels", "latent_channels",
        "layers_per_block", "norm_num_groups", "temporal_compression_ratio", "sample_height",
        "sample_width", "use_quant_conv", "use_post_quant_conv",
    ),
}  # fmt: skip


_BLOCKS, _WIDEST = 256, 2**20


_POSITIONS = ("sample_height", "sample_width", "sample_frames")  # of a stored grid of positions


def configs_of(folder: Path) -> Configs:
    """The configurations of a checkpoint, with the classes' defaults for what they leave out."""
    found = {}
    for part, defaults in table()["defaults"].items():
        path = folder / part / "config.json"
        found[part] = defaults | read_json(path)
        for key in _DECISIVE[part]:
            _check_size(path, key, found[part].get(key))
    return found


def _check_size(path: Path, key: str, value: object) -> None:
    """Refuse what would take for ever to build."""
    many = isinstance(value, list) and len(value) > _BLOCKS
    deep = key in ("num_layers", "layers_per_block") and type(value) is int and value > _BLOCKS
    if many or deep or (type(value) is int and abs(value) > _WIDEST):
        raise CheckpointError(
            f"{path} says {key} {value!r:.40}, more than any CogVideoX. Download or copy it again."
        )


def decisive(configs: Configs) -> Configs:
    """What of the configurations decides over memory and work."""
    found = {part: {key: configs[part][key] for key in keys} for part, keys in _DECISIVE.items()}
    transformer = configs["transformer"]
    if (
        transformer["use_learned_positional_embeddings"]
        or not transformer["use_rotary_positional_embeddings"]
    ):
        found["transformer"] |= {key: transformer[key] for key in _POSITIONS}
    return found


def same(configs: Configs) -> str | None:
    """The name of the kept model whose configurations decide the same, if there is one."""
    wanted = decisive(configs)
    for name, model in table()["models"].items():
        if model["configs"] == wanted:
            return str(name)
    return None


def tokens_of(config: dict[str, Any], clip: tuple[int, int, int]) -> int:
    """Patches of a latent clip (frames, height, width) in a transformer of that configuration."""
    frames, height, width = clip
    patch = config["patch_size"]
    across: int = (height // patch) * (width // patch)
    return frames // (config["patch_size_t"] or 1) * across


@cache
def table() -> dict[str, Any]:
    """The kept profiles and configurations by model, and what configurations leave out."""
    loaded: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return loaded
