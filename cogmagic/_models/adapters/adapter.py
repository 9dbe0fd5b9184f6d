"""LoRA adapters of a request: found, read by their headers and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._models.adapters.layers import LoraLayer, alpha_names, read_layers
from cogmagic._models.adapters.local import (
    CONFIG,
    CONVENTIONAL,
    local_file,
    missing,
    read_file,
    scalars,
)
from cogmagic._models.adapters.scales import as_config, stored_config
from cogmagic._models.adapters.typed import Typed, as_typed, checked_weight
from cogmagic._models.json_files import read_json

__all__ = ["Adapter", "LoraLayer", "as_adapters"]


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter, whose layers are known from its file's header."""

    name: str
    """For messages, reports and metadata: ``red.safetensors``, ``owner/name/file.safetensors``."""
    weight: float
    """The user's factor, 1.0 by default; each layer's scale comes on top."""
    layers: tuple[LoraLayer, ...] = field(repr=False)
    source: str
    """As it was typed, without the weight."""
    format: str
    """``diffusers``, ``PEFT``, ``ComfyUI``, ``kohya``, ``SAT`` or ``DiffSynth``."""
    file: Path | None
    """None until it is downloaded."""
    download: int = 0
    """Bytes to download."""
    licence: str = ""

    @classmethod
    def of(cls, value: object) -> Adapter:
        """The adapter of ``PATH-or-REPO[/FILE][@WEIGHT]``, of a path, or of a pair with a weight.

        Raises:
            RequestError: for a weight that is not a finite number, or another kind of value.
            CheckpointError: for a file that is missing, damaged, or no plain LoRA of CogVideoX.
        """
        if isinstance(value, Adapter):
            return replace(value, weight=checked_weight(value.weight, value.name))
        typed = as_typed(value)
        file = local_file(typed.source)
        if file is None:
            raise missing(typed.source)
        return _of_file(file, typed)

    @property
    def scales(self) -> tuple[float, ...]:
        """The different scales of the layers, in ascending order: mostly a single one."""
        return tuple(sorted({layer.scale for layer in self.layers}))


def _of_file(file: Path, typed: Typed) -> Adapter:
    """The adapter of a file on this machine."""
    shown = f"{file.parent.name}/{file.name}" if file.name in CONVENTIONAL else file.name
    weights = read_file(file, str(file))
    config = stored_config(weights.metadata, str(file))
    beside = file.with_name(CONFIG)
    if config is None and beside.is_file():
        config = as_config(read_json(beside), str(beside))
    alphas = scalars(file, alpha_names(weights))
    layers, format_ = read_layers(str(file), weights, alphas, config)
    return Adapter(
        name=shown.lstrip("/"),
        weight=typed.weight,
        layers=layers,
        source=typed.source,
        format=format_,
        file=file.absolute(),
    )


def as_adapters(value: Any) -> tuple[Adapter, ...]:
    """The adapters of a request: of one LoRA as `Adapter.of` takes it, or of several.

    Raises:
        RequestError: for an adapter that is given twice, and as `Adapter.of`.
        CheckpointError: as `Adapter.of`.
    """
    if value is None or value == "":
        return ()
    pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)
    several = isinstance(value, Iterable) and not isinstance(value, str | bytes | dict) and not pair
    adapters = tuple(Adapter.of(one) for one in (value if several else (value,)))
    seen: dict[Path | str, Adapter] = {}
    for adapter in adapters:
        place = adapter.file.resolve() if adapter.file else adapter.name
        if place in seen:
            raise RequestError(
                f"{adapter.name} is given twice, with weights {seen[place].weight:g} and"
                f" {adapter.weight:g}. Give it once: --lora {adapter.source}@"
                f"{seen[place].weight + adapter.weight:g}."
            )
        seen[place] = adapter
    return adapters
