"""Small transformers of every architecture of the family, and passes of them."""

from __future__ import annotations

from typing import Any

import torch

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "2b": {},
    "5b": {"use_rotary_positional_embeddings": True},
    "5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
        "in_channels": 8,
    },
    "1.5-5b": {"use_rotary_positional_embeddings": True, "patch_size_t": 2, "patch_bias": False},
    "1.5-5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "patch_bias": False,
        "in_channels": 8,
        "ofs_embed_dim": 8,
    },
}


def transformer(name: str) -> Any:
    """A transformer of six heads and two blocks, with random weights."""
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=16,
        num_layers=2,
        text_embed_dim=32,
        time_embed_dim=8,
        sample_width=14,
        sample_height=10,
        sample_frames=17 if "patch_size_t" in ARCHITECTURES[name] else 9,
        max_text_seq_length=7,
        **({"in_channels": 4, "out_channels": 4} | ARCHITECTURES[name]),
    ).eval()


def inputs(model: Any, *, scale: float = 1.0) -> dict[str, Any]:
    """A pass over 35 tokens for each (temporal) patch: 105 or 70, which 2 and 3 do not divide.

    In the model's dtype.
    """
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    config, generator = model.config, torch.Generator().manual_seed(1)
    frames = 4 if config.patch_size_t else 3

    def random(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=generator) * scale).to(model.dtype)

    given: dict[str, Any] = {
        "hidden_states": random(2, frames, config.in_channels, 10, 14),
        "encoder_hidden_states": random(2, 7, 32),
        "timestep": torch.tensor([5, 5]),
        "return_dict": False,
    }
    if config.use_rotary_positional_embeddings:
        given["image_rotary_emb"] = get_3d_rotary_pos_embed(
            embed_dim=16,
            crops_coords=((0, 0), (5, 7)),
            grid_size=(5, 7),
            temporal_size=frames // (config.patch_size_t or 1),
        )
    if config.ofs_embed_dim:
        given["ofs"] = torch.full((1,), 2.0, dtype=model.dtype)
    return given


def run(model: Any, given: dict[str, Any]) -> torch.Tensor:
    """The output of a pass, without gradients."""
    with torch.no_grad():
        out: torch.Tensor = model(**given)[0]
    return out
