"""The untrained pipeline of the embedded model, and how a trained one is written."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from transformers import T5Config, T5EncoderModel

from clips import FRAMES, SIZE
from fast import Weights
from tokenizer import MAX_LENGTH, build_tokenizer

# Divides the schedule's signal-to-noise ratio. An object fills many redundant latent values, so it
# shows through at a ratio of 0.003 already; without a shift only the first few per cent of the time
# steps decide where it is, and generated frames do not agree with one another.
SNR_SHIFT = 6.0


def build_scheduler() -> CogVideoXDDIMScheduler:
    """CogVideoX's schedule: v-prediction, zero terminal SNR, trailing steps, shifted."""
    return CogVideoXDDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=SNR_SHIFT,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def build_text_encoder(vocabulary: int) -> T5EncoderModel:
    """A fresh text encoder for so many tokens."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=128,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
        )
    )


def build_transformer(
    channels: int, layers: int, time_embed_dim: int
) -> CogVideoXTransformer3DModel:
    """A fresh transformer for latents of so many channels."""
    return CogVideoXTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=32,
        in_channels=channels,
        out_channels=channels,
        time_embed_dim=time_embed_dim,
        text_embed_dim=128,
        num_layers=layers,
        sample_width=SIZE // 8,
        sample_height=SIZE // 8,
        sample_frames=FRAMES,
        max_text_seq_length=MAX_LENGTH,
        use_rotary_positional_embeddings=True,
    )


def build_pipeline(
    vae: AutoencoderKLCogVideoX, text: str, transformer: CogVideoXTransformer3DModel
) -> CogVideoXPipeline:
    """The pipeline around a transformer and the trained autoencoder and text encoder (a folder)."""
    text_encoder = T5EncoderModel.from_pretrained(text)
    pipe = CogVideoXPipeline(build_tokenizer(), text_encoder, vae, transformer, build_scheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save(pipe: CogVideoXPipeline, weights: Weights, out: Path) -> None:
    """Write the pipeline with the averaged weights in float16."""
    transformer = copy.deepcopy(pipe.transformer).float()
    with torch.no_grad():
        torch._foreach_copy_(list(transformer.parameters()), weights.average)
    vae = AutoencoderKLCogVideoX.from_pretrained(pipe.vae.config._name_or_path)
    text_encoder = T5EncoderModel.from_pretrained(pipe.text_encoder.config._name_or_path)
    finished = CogVideoXPipeline(
        pipe.tokenizer, text_encoder.half(), vae.half(), transformer.half(), pipe.scheduler
    )
    finished.save_pretrained(out)
    for config in out.glob("*/config.json"):  # say nothing of this machine's folders
        kept = json.loads(config.read_text())
        kept.pop("_name_or_path", None)
        config.write_text(json.dumps(kept, indent=2) + "\n")
