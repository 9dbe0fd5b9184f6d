"""What all models of the CogVideoX family share: components, classes, patches and latents.

Another family would start here, with rows in the catalogue and its passes in ``_footprint``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "COMPONENT_CLASSES",
    "FIXED_CONFIG",
    "PIPELINES",
    "POSITION_SIZES",
    "WEIGHTED_COMPONENTS",
    "Configs",
    "config_file",
    "encoded_frames",
    "latent_frames",
    "padded_frames",
    "spatial_scale",
    "video_tokens",
]


Configs = dict[str, dict[str, Any]]
"""The content of each weighted component's ``config.json``, by component."""


WEIGHTED_COMPONENTS = {
    "text_encoder": ("transformers", "T5EncoderModel"),
    "transformer": ("diffusers", "CogVideoXTransformer3DModel"),
    "vae": ("diffusers", "AutoencoderKLCogVideoX"),
}
"""The components that have weights: name → library and class."""


COMPONENT_CLASSES = {
    "text_encoder": {WEIGHTED_COMPONENTS["text_encoder"][1]},
    "tokenizer": {"T5Tokenizer", "T5TokenizerFast"},
    "transformer": {WEIGHTED_COMPONENTS["transformer"][1]},
    "vae": {WEIGHTED_COMPONENTS["vae"][1]},
    "scheduler": {"CogVideoXDDIMScheduler", "CogVideoXDPMScheduler"},
}
"""The components of a CogVideoX pipeline, with the classes that each may have."""


PIPELINES = {"t2v": "CogVideoXPipeline", "i2v": "CogVideoXImageToVideoPipeline"}
"""diffusers' pipeline class by task."""


FIXED_CONFIG = {
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
"""The configuration keys that determine memory and work; the rest (scaling factors, dropout, sizes
that rotary positions do not depend on) may differ between checkpoints of one model."""


POSITION_SIZES = ("sample_height", "sample_width", "sample_frames")
"""Keys that determine memory, too, where the transformer stores a table of positions."""


def config_file(component: str) -> str:
    """The path of a component's configuration in a checkpoint."""
    return f"{component}/{'scheduler_' * (component == 'scheduler')}config.json"


def latent_frames(num_frames: int) -> int:
    """Latent frames of a clip: the VAE takes the first frame alone and then four at a time."""
    return (num_frames - 1) // 4 + 1


def padded_frames(frames: int, patch_size_t: int | None) -> int:
    """Latent frames padded to whole temporal patches, as CogVideoX 1.5 denoises them."""
    patch = patch_size_t or 1
    return -(-frames // patch) * patch


def encoded_frames(frames: int, patch_size_t: int | None) -> int:
    """Frames of a clip that is encoded to be denoised, CogVideoX 1.5's padding included."""
    return 4 * padded_frames(latent_frames(frames), patch_size_t) - 3


def spatial_scale(vae: Mapping[str, Any]) -> int:
    """Pixels per latent, each way, of a VAE of that configuration: 8 in the published models."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))


def video_tokens(
    latents: tuple[int, int, int], patch_size: int = 2, patch_size_t: int | None = None
) -> int:
    """Patches of a latent clip of (frames, height, width)."""
    frames, height, width = latents
    return frames // (patch_size_t or 1) * (height // patch_size) * (width // patch_size)
