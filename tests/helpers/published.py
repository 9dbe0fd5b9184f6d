"""The configurations of the published models, in full, as their hub repositories have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cogmagic import CheckpointError
from cogmagic._models.catalog import MODELS
from cogmagic._models.checkpoints.identify import identify

PUBLISHED = tuple(m.name for m in MODELS if not m.embedded)

_V1_5B = {
    "num_attention_heads": 48,
    "num_layers": 42,
    "use_learned_positional_embeddings": False,
    "use_rotary_positional_embeddings": True,
}

_V15 = _V1_5B | {
    "ofs_embed_dim": None,
    "patch_bias": False,
    "patch_size_t": 2,
    "sample_frames": 81,
    "sample_height": 300,  # as first published; 96 × 170 since spring 2025
    "sample_width": 300,
}

_V15_INP = _V15 | {
    "add_noise_in_inpaint_model": True,
    "sample_frames": 85,
    "sample_height": 384,
    "sample_width": 680,
}

_TRANSFORMERS: dict[str, dict[str, Any]] = {
    "2b": {},
    "5b": _V1_5B,
    "5b-i2v": _V1_5B | {"in_channels": 32, "use_learned_positional_embeddings": True},
    "1.5-5b": _V15,
    "1.5-5b-i2v": _V15 | {"in_channels": 32, "ofs_embed_dim": 512},
    "2b-inp": {"in_channels": 33},
    "5b-inp": _V1_5B | {"in_channels": 33},
    "1.5-5b-inp": _V15_INP | {"in_channels": 33},
    "void": _V15_INP | {"in_channels": 48},
}


def published(name: str) -> dict[str, dict[str, Any]]:
    """The JSON files of a published model, by path."""
    i2v, v15 = name.endswith("i2v"), name.startswith("1.5")
    return {
        "model_index.json": {
            "_class_name": "CogVideoXImageToVideoPipeline" if i2v else "CogVideoXPipeline",
            "_diffusers_version": "0.30.3",
            "scheduler": ["diffusers", "CogVideoXDDIMScheduler"],
            "text_encoder": ["transformers", "T5EncoderModel"],
            "tokenizer": ["transformers", "T5Tokenizer"],
            "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
            "vae": ["diffusers", "AutoencoderKLCogVideoX"],
        },
        "transformer/config.json": {
            "_class_name": "CogVideoXTransformer3DModel",
            "_diffusers_version": "0.30.3",
            "activation_fn": "gelu-approximate",
            "attention_bias": True,
            "attention_head_dim": 64,
            "dropout": 0.0,
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "in_channels": 16,
            "max_text_seq_length": 226,
            "norm_elementwise_affine": True,
            "norm_eps": 1e-05,
            "num_attention_heads": 30,
            "num_layers": 30,
            "out_channels": 16,
            "patch_size": 2,
            "sample_frames": 49,
            "sample_height": 60,
            "sample_width": 90,
            "spatial_interpolation_scale": 1.875,
            "temporal_compression_ratio": 4,
            "temporal_interpolation_scale": 1.0,
            "text_embed_dim": 4096,
            "time_embed_dim": 512,
            "timestep_activation_fn": "silu",
            "use_rotary_positional_embeddings": False,
        }
        | _TRANSFORMERS[name],
        "vae/config.json": {
            "_class_name": "AutoencoderKLCogVideoX",
            "_diffusers_version": "0.30.3",
            "act_fn": "silu",
            "block_out_channels": [128, 256, 256, 512],
            "down_block_types": ["CogVideoXDownBlock3D"] * 4,
            "force_upcast": True,
            "in_channels": 3,
            "invert_scale_latents": v15,
            "latent_channels": 16,
            "latents_mean": None,
            "latents_std": None,
            "layers_per_block": 3,
            "norm_eps": 1e-06,
            "norm_num_groups": 32,
            "out_channels": 3,
            "sample_height": 480,
            "sample_width": 720,
            "scaling_factor": 1.15258426 if name == "2b" else 0.7,
            "shift_factor": None,
            "temporal_compression_ratio": 4,
            "up_block_types": ["CogVideoXUpBlock3D"] * 4,
            "use_post_quant_conv": False,
            "use_quant_conv": False,
        },
        "text_encoder/config.json": {
            "_name_or_path": "google/t5-v1_1-xxl",
            "architectures": ["T5EncoderModel"],
            "classifier_dropout": 0.0,
            "d_ff": 10240,
            "d_kv": 64,
            "d_model": 4096,
            "decoder_start_token_id": 0,
            "dense_act_fn": "gelu_new",
            "dropout_rate": 0.1,
            "eos_token_id": 1,
            "feed_forward_proj": "gated-gelu",
            "initializer_factor": 1.0,
            "is_encoder_decoder": True,
            "is_gated_act": True,
            "layer_norm_epsilon": 1e-06,
            "model_type": "t5",
            "num_decoder_layers": 24,
            "num_heads": 64,
            "num_layers": 24,
            "output_past": True,
            "pad_token_id": 0,
            "relative_attention_max_distance": 128,
            "relative_attention_num_buckets": 32,
            "tie_word_embeddings": False,
            "torch_dtype": "float32" if v15 else "bfloat16",
            "transformers_version": "4.46.2",
            "use_cache": True,
            "vocab_size": 32128,
        },
        "scheduler/scheduler_config.json": {
            "_class_name": "CogVideoXDDIMScheduler",
            "_diffusers_version": "0.30.3",
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "beta_start": 0.00085,
            "clip_sample": False,
            "clip_sample_range": 1.0,
            "num_train_timesteps": 1000,
            "prediction_type": "v_prediction",
            "rescale_betas_zero_snr": True,
            "sample_max_value": 1.0,
            "set_alpha_to_one": True,
            "snr_shift_scale": 3.0 if name == "2b" else 1.0,
            "steps_offset": 0,
            "timestep_spacing": "trailing",
            "trained_betas": None,
        },
        "tokenizer/tokenizer_config.json": {
            "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)],
            "clean_up_tokenization_spaces": True,
            "eos_token": "</s>",
            "extra_ids": 100,
            "legacy": True,
            "model_max_length": 226,
            "pad_token": "<pad>",
            "sp_model_kwargs": {},
            "tokenizer_class": "T5Tokenizer",
            "unk_token": "<unk>",
        },
    }


def write_published(folder: Path, name: str, **changes: dict[str, Any]) -> Path:
    """Write a published model's JSON files, without weights and vocabulary.

    Args:
        folder: where to write them.
        name: the model's short name.
        changes: keys to change, by component (``model_index`` for the pipeline's own file).
    """
    for path, content in published(name).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        component = path.partition("/")[0].removesuffix(".json")
        file.write_text(json.dumps(content | changes.get(component, {})))
    return folder


def refusal(folder: Path) -> str:
    """The one line with which the configurations in a folder are refused."""
    with pytest.raises(CheckpointError) as error:
        identify(folder, "someone/model", has_weights=False)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message
