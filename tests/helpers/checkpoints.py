"""Random CogVideoX checkpoints of toy size, through the real classes, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = [
    "a",
    "A",
    "red",
    "blue",
    "circle",
    "square",
    "moves",
    "right",
    "left",
    "to",
    "the",
    "on",
    "black",
    "background",
]
MAX_TOKENS = 16


def save_checkpoint(
    folder: Path, *, i2v: bool = False, v15: bool = False, layers: int = 2, channels: int = 4
) -> Path:
    """Write a pipeline with random float16 weights: 96×96, 17 frames, tiles of 96×120."""
    import torch
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXPipeline,
        CogVideoXTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    patches: dict[str, Any] = {"patch_size_t": 2} if v15 else {}
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=layers,
        in_channels=8 if i2v else 4,
        out_channels=4,
        text_embed_dim=32,
        time_embed_dim=8,
        sample_width=12,
        sample_height=12,
        sample_frames=17,
        max_text_seq_length=MAX_TOKENS,
        use_rotary_positional_embeddings=True,
        **patches,
    )
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(channels,) * 4,
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        sample_height=192,
        sample_width=240,
    )
    text_encoder = T5EncoderModel(
        T5Config(d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=64)
    )
    pipeline = CogVideoXImageToVideoPipeline if i2v else CogVideoXPipeline
    pipe = pipeline(
        tokenizer=tokenizer(),
        text_encoder=text_encoder,
        vae=vae,
        transformer=transformer,
        scheduler=CogVideoXDDIMScheduler(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
        ),
    )
    for module in (transformer, vae, text_encoder):
        module.to(torch.float16)
    pipe.save_pretrained(folder)
    return folder


def tokenizer() -> Any:
    """A word-level T5 tokenizer."""
    from transformers import T5Tokenizer

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"▁{word}", -1.0) for word in WORDS] + [(".", -2.0)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=MAX_TOKENS)
