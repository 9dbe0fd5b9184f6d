"""Comparison of a checkpoint's stored tensors with those that its classes expect.

For a missing tensor, transformers fills in random weights and diffusers loads nothing. Both drop
surplus tensors, and only warn. So the names and shapes in the files' headers are first compared
with a module that is built from the configuration on the meta device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.checkpoints.folder import fingerprint
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.packed_layers import packed_layers, plain_part
from cogmagic._models.checkpoints.plain_weights import examples
from cogmagic._models.checkpoints.weights import StoredTensor
from cogmagic._models.family import WEIGHTED_COMPONENTS
from cogmagic._pipeline.empty import buildable, built, empty_component

__all__ = ["check_tensors"]


_UNUSED = {"text_encoder": (r"^lm_head\.weight$",)}
"""Tensors of a larger model for which the class has no use, as patterns, besides the class's own
list: the output layer of a full T5 (``T5ForConditionalGeneration``)."""


_CHECKED: dict[Path, tuple[tuple[str, int, int], ...]] = {}
"""The files of each checkpoint that passed."""


_ROWS = 4096
"""How many rows are compared at once: 64 MiB in float32 of T5-XXL's embedding."""


def check_tensors(folder: Path) -> None:
    """Refuse a checkpoint whose tensors are not those of its classes and configurations.

    It takes 0.2 s of a core the first time, and less than 1 ms while the files stay the same.

    Raises:
        CheckpointError: naming some of the tensors that are missing, unexpected or misshapen.
    """
    files = fingerprint(folder)
    if _CHECKED.get(folder) != files:
        for name in WEIGHTED_COMPONENTS:
            _check(folder, name)
        _CHECKED[folder] = files


def _check(folder: Path, name: str) -> None:
    """Refuse any difference that the class of the component `name` does not ignore."""
    config = read_json(folder / name / "config.json")
    with buildable(str(folder)):
        module = empty_component(name, config, "float32")
    expected = {key: tuple(t.shape) for key, t in module.state_dict().items()}
    stored = _by_parameter(folder, name, module, expected)
    ties: dict[str, str] = getattr(module, "all_tied_weights_keys", None) or {}
    tied = {key for pair in ties.items() if not stored.keys().isdisjoint(pair) for key in pair}
    missing = expected.keys() - stored.keys() - tied
    missing -= _matching(missing, getattr(module, "_keys_to_ignore_on_load_missing", None))
    surplus = stored.keys() - expected.keys()
    surplus -= _matching(surplus, getattr(module, "_keys_to_ignore_on_load_unexpected", None))
    surplus -= _matching(surplus, _UNUSED.get(name))
    surplus -= {k for k in surplus if _is_computed(k, stored[k], name, config, module)}
    wrong = {
        f"{key} is {_shape(stored[key].shape)}, not {_shape(shape)}"
        for key, shape in expected.items()
        if key in stored and stored[key].shape != shape
    }
    if missing or surplus or wrong:
        raise CheckpointError(
            f"{folder}: the weights of its {name} do not fit its config.json"
            f" ({type(module).__name__}): {_counted(len(expected), missing, surplus, wrong)}."
            f" {_advice(missing, surplus)}"
        )
    _check_ties(folder, ties, stored)


def _by_parameter(
    folder: Path, name: str, module: Any, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, StoredTensor]:
    """The stored tensors by the names under which the loader looks for them in the module.

    transformers takes names with and without the prefix that the class has within larger models.
    """
    prefix = getattr(module, "base_model_prefix", "") + "."
    stored: dict[str, StoredTensor] = {}
    for key, tensor in _logical(folder, name, expected).items():
        short = key.removeprefix(prefix)
        parameter = short if short in expected else key
        if parameter in stored:
            raise CheckpointError(
                f"{folder}: its {name} stores {parameter} twice, with and without the prefix"
                f" {prefix!r}. Download or copy it again."
            )
        stored[parameter] = tensor
    return stored


def _logical(
    folder: Path, name: str, expected: Mapping[str, tuple[int, ...]]
) -> dict[str, StoredTensor]:
    """The stored tensors, with one for the weight of each quantised layer."""
    tensors = dict(plain_part(folder, name).tensors)
    for path, layer in packed_layers(folder, name).items():
        key, shape = f"{path}.weight", layer.packed.shape
        fits = prod(expected.get(key, ())) in (layer.numel, layer.numel - 1)
        if layer.form in ("nf4", "fp4") and key in expected and fits:
            shape = expected[key]  # the files hold no shape outside the layer's state
        tensors[key] = StoredTensor(key, layer.form, shape, layer.packed.file)
    return tensors


def _matching(keys: Iterable[str], patterns: Iterable[str] | None) -> set[str]:
    return {key for key in keys if any(re.search(pattern, key) for pattern in patterns or ())}


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"


def _counted(total: int, missing: set[str], surplus: set[str], wrong: set[str]) -> str:
    """The differences for the message, with a few names of each kind."""
    kinds = {
        f"{len(missing):,} of {total:,} tensors missing": missing,
        f"{len(surplus):,} unexpected": surplus,
        f"{len(wrong):,} of another shape": wrong,
    }
    return ", ".join(f"{words} ({examples(keys)})" for words, keys in kinds.items() if keys)


def _advice(missing: set[str], surplus: set[str]) -> str:
    """What to do next: remove a LoRA; rename the tensors if they differ only by a prefix."""
    if any(".base_layer." in name for name in surplus):
        return (
            "They were saved with a LoRA attached. Save them after pipe.unload_lora_weights(), and"
            " give the LoRA's own file with --lora."
        )
    first = min(surplus, default="")
    for name in missing:
        prefix = first.removesuffix(name)
        if prefix != first and len({prefix + k for k in missing} & surplus) > len(missing) // 2:
            return f"Their names begin with {prefix!r:.60}: save them without it."
    return "Download or copy the weights and the config.json of one model again."


def _is_computed(
    key: str, stored: StoredTensor, name: str, config: dict[str, Any], module: Any
) -> bool:
    """Whether a stored tensor is the buffer that the module computes itself and does not load.

    An example is the position table of CogVideoX-2b, which is not learned.
    """
    if key not in dict(module.named_buffers()):
        return False
    from accelerate import init_empty_weights

    with init_empty_weights():  # parameters only: buffers get their values
        buffer = dict(built(name, config).named_buffers())[key]
    return tuple(buffer.shape) == stored.shape and _alike(stored, buffer, rtol=0.1, atol=0.01)


def _check_ties(folder: Path, ties: Mapping[str, str], stored: Mapping[str, StoredTensor]) -> None:
    """Refuse two tensors for one parameter: transformers would load both, silently untied."""
    from safetensors import safe_open

    for pair in ties.items():
        if not stored.keys() >= set(pair):
            continue
        first, second = (stored[key] for key in pair)
        # A copy in another precision is rounded; e4m3 has the fewest digits.
        tolerance = 0.0 if first.dtype == second.dtype else 2**-4
        with safe_open(second.file, framework="pt") as weights:
            values = weights.get_slice(second.name)
            if not _alike(first, values, rtol=tolerance, atol=tolerance / 16):
                raise CheckpointError(
                    f"{folder}: {pair[0]} and {pair[1]} are one parameter, but are stored with"
                    " different values. Download or copy it again."
                )


def _alike(stored: StoredTensor, values: Any, *, rtol: float, atol: float) -> bool:
    """Whether a stored tensor has the values of a tensor or slice of the same shape."""
    import torch
    from safetensors import safe_open

    with safe_open(stored.file, framework="pt") as weights:
        rows = weights.get_slice(stored.name)
        parts = (slice(i, i + _ROWS) for i in range(0, stored.shape[0], _ROWS))
        return all(
            torch.allclose(rows[p].float(), values[p].float(), rtol, atol, equal_nan=True)
            for p in parts
        )
