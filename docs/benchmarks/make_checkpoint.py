"""Write a CogVideoX checkpoint of real size with random weights: memory and time are the real ones.

    python docs/benchmarks/make_checkpoint.py 5b --out /scratch/5b
    python docs/benchmarks/make_checkpoint.py 5b-i2v --out /scratch/5b-i2v --share /scratch/5b

The architectures are those of the published configurations; the weights are drawn on the GPU, in
the dtypes of the published files (transformer and text encoder 16-bit, VAE float32; the text
encoder of 1.5 float32; all of the inpainting models' 16-bit). `void` is a folder of its own here,
though on the hub its transformer is one file. The tokenizer is the embedded model's, so prompts
mean nothing here.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

TRANSFORMER: dict[str, Any] = {
    "attention_head_dim": 64,
    "in_channels": 16,
    "out_channels": 16,
    "text_embed_dim": 4096,
    "time_embed_dim": 512,
    "max_text_seq_length": 226,
    "spatial_interpolation_scale": 1.875,
    "sample_height": 60,
    "sample_width": 90,
    "sample_frames": 49,
}
V1_5B = {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True}
V15 = {
    **V1_5B,
    "sample_height": 96,
    "sample_width": 170,
    "sample_frames": 81,
    "patch_size_t": 2,
    "patch_bias": False,
}
V15_INP = {**V15, "sample_height": 384, "sample_width": 680, "sample_frames": 85}
MODELS: dict[str, dict[str, Any]] = {
    "2b": {
        "num_attention_heads": 30,
        "num_layers": 30,
        "use_rotary_positional_embeddings": False,
    },
    "5b": V1_5B,
    "5b-i2v": {**V1_5B, "in_channels": 32, "use_learned_positional_embeddings": True},
    "1.5-5b": V15,
    "1.5-5b-i2v": {**V15, "in_channels": 32, "ofs_embed_dim": 512},
    "2b-inp": {
        "num_attention_heads": 30,
        "num_layers": 30,
        "use_rotary_positional_embeddings": False,
        "in_channels": 33,
    },
    "5b-inp": {**V1_5B, "in_channels": 33},
    "1.5-5b-inp": {**V15_INP, "in_channels": 33},
    "void": {**V15_INP, "in_channels": 48},
}
VAE: dict[str, Any] = {
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
    "block_out_channels": (128, 256, 256, 512),
    "layers_per_block": 3,
    "latent_channels": 16,
    "sample_height": 480,
    "sample_width": 720,
}
T5: dict[str, Any] = {
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "vocab_size": 32128,
    "is_encoder_decoder": False,
    "use_cache": False,
}
SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=Path, help="link text encoder and VAE from this checkpoint")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--layers", type=int, help="fewer, of transformer and text encoder")
    args = parser.parse_args()
    started = time.monotonic()
    if args.share:
        for part in ("text_encoder", "vae", "tokenizer"):
            link_folder(args.share / part, args.out / part)
    device = torch.device(args.device)
    write(args.model, args.out, device, shared=bool(args.share), layers=args.layers)
    size = sum(f.stat().st_size for f in args.out.rglob("*") if f.is_file())
    print(f"{args.out}: {size / 1e9:.1f} GB in {time.monotonic() - started:.0f} s")


def write(
    name: str, folder: Path, device: torch.device, *, shared: bool, layers: int | None = None
) -> None:
    """Build each part on `device`, save it, and let it go before the next."""
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXTransformer3DModel,
    )
    from transformers import T5Config, T5EncoderModel

    inp = MODELS[name].get("in_channels") in (33, 48)
    v15, i2v = name.startswith("1.5") and not inp, name.endswith("i2v")
    half = torch.float16 if name == "2b" else torch.bfloat16
    config, t5 = {**TRANSFORMER, **MODELS[name]}, dict(T5)
    if layers:
        config["num_layers"] = t5["num_layers"] = layers
    save(lambda: CogVideoXTransformer3DModel(**config), half, folder / "transformer", device)
    if inp:
        add_to_config(folder / "transformer" / "config.json", add_noise_in_inpaint_model=True)
    if not shared:
        t5_dtype = torch.float32 if v15 else half
        save(lambda: T5EncoderModel(T5Config(**t5)), t5_dtype, folder / "text_encoder", device)
        vae = {
            **VAE,
            "scaling_factor": 1.15258426 if name == "2b" else 0.7,
            "invert_scale_latents": v15,
        }
        vae_dtype = half if inp else torch.float32
        save(lambda: AutoencoderKLCogVideoX(**vae), vae_dtype, folder / "vae", device)
        save_tokenizer(folder / "tokenizer")
    snr = 3.0 if name == "2b" else 1.0
    CogVideoXDDIMScheduler(**SCHEDULER, snr_shift_scale=snr).save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "CogVideoXImageToVideoPipeline" if i2v else "CogVideoXPipeline",
        "scheduler": ["diffusers", "CogVideoXDDIMScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLCogVideoX"],
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2))


def save(build: Any, dtype: torch.dtype, folder: Path, device: torch.device) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            module = build()
    finally:
        torch.set_default_dtype(torch.float32)
    module.to("cpu", dtype).save_pretrained(folder, max_shard_size="5GB")


def add_to_config(file: Path, **keys: Any) -> None:
    """Add what the authors' class writes and diffusers' does not know."""
    file.write_text(json.dumps(json.loads(file.read_text()) | keys, indent=2))


def save_tokenizer(folder: Path) -> None:
    import cogmagic

    source = Path(cogmagic.__file__).parent / "models" / "tiny" / "tokenizer"
    folder.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        text = file.read_text(encoding="utf-8")
        if file.name == "tokenizer_config.json":
            text = json.dumps({**json.loads(text), "model_max_length": 226})
        (folder / file.name).write_text(text, encoding="utf-8")


def link_folder(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        if not (target / file.name).exists():
            os.link(file, target / file.name)


if __name__ == "__main__":
    main()
