"""Names and shapes of modules, against those of diffusers' own transformer."""

from __future__ import annotations

from typing import Any

import pytest

from cogmagic._footprint.configs import table
from cogmagic._models.adapters.modules import from_kohya, is_module, module_shapes
from cogmagic._models.checkpoints.config_table import CONFIG_VALUES

DEFAULTS = {key: value.default for key, value in CONFIG_VALUES["transformer"].items()}

CONFIGS = {name: model["configs"]["transformer"] for name, model in table()["models"].items()} | {
    activation: {"num_layers": 1, "activation_fn": activation}
    for activation in ("gelu", "geglu", "geglu-approximate", "swiglu", "linear-silu")
}


@pytest.mark.parametrize("name", CONFIGS)
def test_modules_are_those_of_diffusers(name: str) -> None:
    import torch
    from diffusers import CogVideoXTransformer3DModel

    config: dict[str, Any] = DEFAULTS | CONFIGS[name]
    with torch.device("meta"):
        transformer = CogVideoXTransformer3DModel.from_config(config)
    expected = {
        module: tuple(part.weight.shape)
        for module, part in transformer.named_modules()
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)
    }
    assert module_shapes(config) == expected
    assert list(module_shapes(config))[-1] == "proj_out"
    assert all(map(is_module, expected))
    assert {from_kohya(module.replace(".", "_")) for module in expected} == expected.keys()


@pytest.mark.parametrize(
    "name", ["", "transformer_blocks.00.attn1.to_q", "transformer_blocks.0.attn1.norm_q", "proj"]
)
def test_other_names_are_not_modules(name: str) -> None:
    assert not is_module(name)
    assert from_kohya(name.replace(".", "_")) == ""
