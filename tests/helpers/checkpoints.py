"""CogVideoX checkpoints for tests: random ones of toy size, through the real classes, and edits."""

from __future__ import annotations

import json
from collections.abc import Callable
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
    folder: Path,
    *,
    i2v: bool = False,
    inp: bool = False,
    void: bool = False,
    v15: bool = False,
    layers: int = 2,
    channels: int = 4,
    **config: Any,
) -> Path:
    """Write a pipeline with random float16 weights: 96×96, 17 frames, tiles of 96×120.

    Inpainting ones make 17 frames and fewer. The transformer's `config` can be given in part.
    """
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
    if v15 or void:
        config["patch_size_t"] = 2
    config = {"use_rotary_positional_embeddings": True} | config
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=layers,
        in_channels=8 if i2v else 9 if inp else 12 if void else 4,
        out_channels=4,
        text_embed_dim=32,
        time_embed_dim=8,
        sample_width=12,
        sample_height=12,
        sample_frames=17,
        max_text_seq_length=MAX_TOKENS,
        **config,
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
    if inp or void:
        edit_config(folder, "transformer", add_noise_in_inpaint_model=True)
    return folder


def tokenizer() -> Any:
    """A word-level T5 tokenizer."""
    from transformers import T5Tokenizer

    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"▁{word}", -1.0) for word in WORDS] + [(".", -2.0)]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=MAX_TOKENS)


Tensors = dict[str, Any]
"""The tensors of a component by name."""


def weights_file(folder: Path, component: str) -> Path:
    """The file of a component's weights."""
    name = "model" if component == "text_encoder" else "diffusion_pytorch_model"
    return folder / component / f"{name}.safetensors"


def edit_weights(
    folder: Path,
    component: str,
    edit: Callable[[Tensors], Tensors | None],
    metadata: dict[str, str] | None = None,
) -> None:
    """Rewrite a component's weights: `edit` changes the tensors or returns others."""
    from safetensors.torch import load_file, save_file

    file = weights_file(folder, component)
    tensors = load_file(file)
    tensors = edit(tensors) or tensors
    save_file({k: t.contiguous() for k, t in tensors.items()}, file, metadata or {"format": "pt"})


def edit_config(folder: Path, component: str, **changes: Any) -> None:
    """Set keys of a component's ``config.json``."""
    file = folder / component / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def shard_weights(
    folder: Path,
    component: str,
    edit: Callable[[list[Tensors], dict[str, str]], None] | None = None,
    *,
    keep: bool = False,
) -> None:
    """Split a component's weights into two files and an index.

    Args:
        folder: the checkpoint.
        component: whose weights.
        edit: changes the tensors of the two files and the index's file of each tensor.
        keep: leave the single file beside them.
    """
    from safetensors.torch import load_file, save_file

    file = weights_file(folder, component)
    tensors = load_file(file)
    names = [file.with_stem(f"{file.stem}-0000{i}-of-00002") for i in (1, 2)]
    shards = [{k: tensors[k] for k in sorted(tensors)[i::2]} for i in (0, 1)]
    listed = {k: name.name for name, shard in zip(names, shards, strict=True) for k in shard}
    if edit:
        edit(shards, listed)
    for name, shard in zip(names, shards, strict=True):
        save_file(shard, name, {"format": "pt"})
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index | {"weight_map": listed}))
    if not keep:
        file.unlink()
