"""Guidance one prompt after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec


def test_every_step_runs_in_halves_although_diffusers_restores_forward(toy: Path) -> None:
    """As its prefetching does after the first step (`LazyPrefetchGroupOffloadingHook`)."""
    from diffusers.hooks import HookRegistry, ModelHook

    class Once(ModelHook):  # type: ignore[misc]
        def post_forward(self, module: Any, output: Any) -> Any:
            module._diffusers_hook.remove_hook("once", recurse=False)
            return output

    transformer = load(PipelineSpec(toy, "t2v", "float32")).transformer
    HookRegistry.check_if_exists_or_initialize(transformer).register_hook(Once(), "once")
    batches: list[int] = []

    def count(_: Any, given: tuple[Any, ...], __: Any) -> None:
        batches.append(len(given[1]))

    transformer.patch_embed.register_forward_hook(count)
    config = transformer.config
    given = {
        "hidden_states": torch.zeros(2, 3, config.in_channels, 8, 8),
        "encoder_hidden_states": torch.zeros(2, config.max_text_seq_length, config.text_embed_dim),
        "timestep": torch.tensor([5, 5]),
    }
    kind = type(transformer)
    with guidance_halves(transformer), torch.no_grad():
        for _ in range(3):
            assert len(transformer(**given)[0]) == 2
    assert batches == [1] * 6
    assert type(transformer) is kind
