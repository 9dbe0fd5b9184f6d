"""What all models of the CogVideoX family share: components, classes, patches and latents.

Another family would start here, with rows in the catalogue and its passes in ``_footprint``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "COMPONENT_CLASSES",
    "FIXED_CONFIG",
    "INPAINTING",
    "PIPELINES",
    "POSITION_SIZES",
    "VOID_LONGEST",
    "VOID_MOST",
    "VOID_OVERLAP",
    "VOID_WINDOW",
    "WEIGHTED_COMPONENTS",
    "Configs",
    "config_file",
    "encoded_frames",
    "latent_frames",
    "padded_frames",
    "seen_frames",
    "spatial_scale",
    "task_of",
    "video_tokens",
    "window_spans",
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
"""diffusers' pipeline class by task; for the other tasks it has none."""


INPAINTING = {"inp": "CogVideoX-Fun InP", "void": "VOID (object removal)"}
"""The makes of the tasks that inpaint."""


def task_of(in_channels: object, latent_channels: int) -> str | None:
    """The task of a transformer by its input channels, beside the noise of `latent_channels`.

    Image to video sees the latents of a frame, CogVideoX-Fun InP one channel of mask and the
    latents of the masked video, VOID those of the mask and of the video.
    """
    latent = latent_channels
    tasks: dict[object, str] = {
        latent: "t2v",
        2 * latent: "i2v",
        2 * latent + 1: "inp",
        3 * latent: "void",
    }
    return tasks.get(in_channels)


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
    """Latent frames of a clip: the VAE takes the first frame alone and then four at a time.

    The last four may be fewer.
    """
    return (num_frames + 2) // 4 + 1


def padded_frames(frames: int, patch_size_t: int | None) -> int:
    """Latent frames padded to whole temporal patches, as CogVideoX 1.5 denoises them."""
    patch = patch_size_t or 1
    return -(-frames // patch) * patch


def encoded_frames(frames: int, patch_size_t: int | None) -> int:
    """Frames of a clip that is encoded to be denoised, CogVideoX 1.5's padding included."""
    return 4 * padded_frames(latent_frames(frames), patch_size_t) - 3


def seen_frames(frames: int, patch_size_t: int | None, task: str) -> int:
    """Frames of the video that an inpainting model sees for `frames` new ones.

    CogVideoX 1.5's latent frames come in pairs, and VOID was trained with 85 frames and more.
    """
    least = 4 * VOID_WINDOW - 3 if task == "void" else 0
    return max(encoded_frames(frames, patch_size_t), least)


VOID_WINDOW, VOID_OVERLAP = 22, 4
"""Latent frames that VOID denoises at once, of 85 frames, and how many two windows share
(``temporal_window_size`` and ``temporal_multidiffusion_stride`` of its authors' configuration)."""


VOID_MOST, VOID_LONGEST = 197, 3600
"""The most frames that VOID makes at once, as in its authors' configuration, and of a clip that it
makes in chunks: five minutes at its rate, which take 9 GiB of host memory at 672×384."""


def window_spans(frames: int, window: int = VOID_WINDOW) -> list[tuple[int, int]]:
    """First latent frame of each of VOID's windows, and the one after its last."""
    starts = range(0, max(frames - VOID_OVERLAP, 1), window - VOID_OVERLAP)
    return [(start, min(start + window, frames)) for start in starts]


def spatial_scale(vae: Mapping[str, Any]) -> int:
    """Pixels per latent, each way, of a VAE of that configuration: 8 in the published models."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))


def video_tokens(
    latents: tuple[int, int, int], patch_size: int = 2, patch_size_t: int | None = None
) -> int:
    """Patches of a latent clip of (frames, height, width)."""
    frames, height, width = latents
    return frames // (patch_size_t or 1) * (height // patch_size) * (width // patch_size)
