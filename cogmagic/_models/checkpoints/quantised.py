"""Quantised components: recognised by their configurations, before any weights are read."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError
from cogmagic._models.catalog import nearest

__all__ = ["check_not_quantised", "is_loadable"]


_PACKAGES = {
    "auto-round": "auto-round",
    "aqlm": "aqlm",
    "awq": "autoawq",
    "bitnet": "transformers",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "eetq",
    "fbgemm_fp8": "fbgemm-gpu",
    "fp8": "transformers",
    "gguf": "gguf",
    "gptq": "gptqmodel",
    "higgs": "flute-kernel",
    "hqq": "hqq",
    "modelopt": "nvidia-modelopt",
    "mxfp4": "kernels",
    "nunchaku": "nunchaku",
    "quanto": "optimum-quanto",
    "quark": "amd-quark",
    "spqr": "spqr_quant",
    "svdquant": "nunchaku",
    "torchao": "torchao",
    "vptq": "vptq",
}
"""The package of each method that diffusers and transformers name in ``quant_method``."""


_KEYS = ("quantization_config", "compression_config", "quantization")


_LOAD_KEYS = ("load_in_4bit", "load_in_8bit")


_QUANTO_FILE = "quanto_qmap.json"
"""Written by optimum-quanto's own ``save_pretrained``, beside a configuration without a mark."""


_TORCHAO = ("Int8WeightOnlyConfig", "Float8WeightOnlyConfig")
"""torchao's configurations of weights alone, with 8 bits and a scale per row."""


_MARKS = {
    "load_in_4bit": "bitsandbytes",
    "load_in_8bit": "bitsandbytes",
    "_load_in_4bit": "bitsandbytes",
    "_load_in_8bit": "bitsandbytes",
    "bnb_4bit_quant_type": "bitsandbytes",
    "weights_dtype": "quanto",
    "quant_type": "torchao",
}
"""Keys that only one method's configuration has, for those that lack ``quant_method``."""


def check_not_quantised(
    folder: Path, label: str, component: str, config: Mapping[str, Any]
) -> None:
    """Refuse a component whose configuration says that its weights are quantised.

    Args:
        folder: the checkpoint.
        label: its name in the message.
        component: the component, or an empty string for the whole pipeline.
        config: its ``config.json``, or the pipeline's ``model_index.json``.

    Raises:
        CheckpointError: naming the component, the method, its package, and what to use instead.
    """
    if component in ("text_encoder", "transformer") and is_loadable(config):
        return
    file = f"{component}/config.json" if component else "model_index.json"
    key = next((k for k in _KEYS if config.get(k) not in (None, False)), None)
    if key is not None:
        method, reason = _method(config[key]), f"{key} in {file}"
    elif any(config.get(k) for k in _LOAD_KEYS):
        method, reason = "bitsandbytes", f"{' or '.join(_LOAD_KEYS)} in {file}"
    elif component and (folder / component / _QUANTO_FILE).is_file():
        method, reason = "quanto", f"{component}/{_QUANTO_FILE}"
    else:
        return
    package = _PACKAGES.get(method.partition("_")[0], _PACKAGES.get(method))
    by = f", from the package {package}" if package else ""
    instead = nearest(label)
    raise CheckpointError(
        f"{label}: its {component or 'pipeline'} is quantised with {method}{by} ({reason})."
        " cogmagic loads bitsandbytes' 4-bit weights (stored as uint8) and torchao's int8 and fp8"
        " ones (e4m3; a scale per row) of a text encoder or a transformer, and no other quantised"
        " ones. Use one that is not quantised,"
        f" such as --model {instead.name} ({instead.source}); --quantize or --fp8 narrows it."
    )


def is_loadable(config: Mapping[str, Any]) -> bool:
    """Whether a component's configuration names a form of quantisation that cogmagic loads."""
    settings = config.get("quantization_config")
    if not isinstance(settings, Mapping):
        return False
    if settings.get("quant_method") == "bitsandbytes":
        in_bytes = settings.get("bnb_4bit_quant_storage") in (None, "uint8")
        return (
            settings.get("load_in_4bit") is True and not settings.get("load_in_8bit") and in_bytes
        )
    kinds = settings.get("quant_type")
    kind = kinds.get("default") if isinstance(kinds, Mapping) and len(kinds) == 1 else None
    if settings.get("quant_method") != "torchao" or not isinstance(kind, Mapping):
        return False
    return kind.get("_type") in _TORCHAO and _is_by_rows(kind.get("_data"))


def _is_by_rows(options: object) -> bool:
    """Whether a torchao configuration's weights have a scale per row, and fp8 ones are e4m3."""
    if not isinstance(options, Mapping):
        return True  # the defaults

    def value(name: str, key: str) -> object:
        setting = options.get(name)
        return setting.get(key) if isinstance(setting, Mapping) else setting

    return (
        options.get("group_size") is None
        and value("granularity", "_type") in (None, "PerRow")
        and value("weight_dtype", "_data") in (None, "float8_e4m3fn")
    )


def _method(settings: object) -> str:
    """The name of a quantisation configuration's method, for the message."""
    if not isinstance(settings, Mapping):
        return f"{reprlib.repr(settings):.40}"
    method = settings.get("quant_method") or settings.get("quant_backend")
    if isinstance(method, str) and method:
        return f"{method:.40}"
    return next((_MARKS[key] for key in _MARKS if settings.get(key)), "an unnamed method")
