"""LoRA adapters of a request: looked up, read by their headers and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, RequestError
from cogmagic._models.adapters.hub import HubLora, fetch_lora, find_lora, hub_place
from cogmagic._models.adapters.layers import LoraLayer, alpha_names, read_layers
from cogmagic._models.adapters.local import (
    CONFIG,
    CONVENTIONAL,
    file_stamp,
    local_file,
    missing,
    read_file,
    scalars,
)
from cogmagic._models.adapters.scales import LoraConfig, as_config, stored_config
from cogmagic._models.adapters.typed import Typed, as_typed, checked_weight
from cogmagic._models.checkpoints.json_files import read_json
from cogmagic._models.checkpoints.weights import Weights
from cogmagic._models.other_tools import lora_option
from cogmagic._progress import OnProgress

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
    stamp: tuple[int, int] | None = field(default=None, repr=False, compare=False)
    """Size and time of the file from which the layers were read (`file_stamp`)."""

    @classmethod
    def of(cls, value: object) -> Adapter:
        """The adapter of ``PATH-or-REPO[/FILE][@WEIGHT]``, of a path, or of a pair with a weight.

        An `Adapter` whose file has changed since is read again.

        Raises:
            RequestError: for a weight that is not a finite number, or another kind of value.
            CheckpointError: for a file that is missing, damaged, or no plain LoRA of CogVideoX.
        """
        if isinstance(value, Adapter):
            return _up_to_date(replace(value, weight=checked_weight(value.weight, value.name)))
        typed = as_typed(value)
        file = local_file(typed.source)
        if file is not None:
            shown = f"{file.parent.name}/{file.name}" if file.name in CONVENTIONAL else file.name
            return _of_file(file.absolute(), typed, shown.lstrip("/"), str(file))
        place = hub_place(typed.source)
        if place is None:
            raise missing(typed.source)
        return _of_hub(find_lora(*place), typed)

    def downloaded(self, on_progress: OnProgress) -> Adapter:
        """This adapter with its file on this machine, which is fetched if it is not there yet.

        Raises:
            OutputError: when the disk has too little space.
            CheckpointError: when it cannot be fetched, or has other layers than its header had.
        """
        if self.file is not None:
            return self
        owner, repository, path = self.name.split("/", 2)
        file = fetch_lora(f"{owner}/{repository}", path, on_progress)
        typed = Typed(self.source, self.weight)
        adapter = _of_file(file, typed, self.name, self.name, self.licence)
        if [_unscaled(x) for x in adapter.layers] != [_unscaled(x) for x in self.layers]:
            raise CheckpointError(
                f"{self.name} has changed on the hub since the plan. Run it again."
            )
        return adapter

    @property
    def place(self) -> Path | str:
        """Where it is: equal for the same file under two names."""
        return self.file.resolve() if self.file else self.name

    @property
    def scales(self) -> tuple[float, ...]:
        """The different scales of the layers, in ascending order: mostly a single one."""
        return tuple(sorted({layer.scale for layer in self.layers}))


def _of_file(file: Path, typed: Typed, name: str, label: str, licence: str = "") -> Adapter:
    """The adapter of a file on this machine, which errors call `label`."""
    stamp = file_stamp(file)  # before reading, so that a change meanwhile shows
    weights = read_file(file, label)
    config = _config(weights, label, file.with_name(CONFIG))
    alphas = scalars(file, alpha_names(weights))
    layers, format_ = read_layers(label, weights, alphas, config)
    return Adapter(
        name, typed.weight, layers, typed.source, format_, file, licence=licence, stamp=stamp
    )


def _up_to_date(adapter: Adapter) -> Adapter:
    """The adapter, read again where its file is another by now."""
    file = adapter.file
    if file is None or file_stamp(file) == adapter.stamp:
        return adapter
    if not file.is_file():
        raise missing(str(file))
    typed = Typed(adapter.source, adapter.weight)
    return _of_file(file, typed, adapter.name, adapter.name, adapter.licence)


def _of_hub(lora: HubLora, typed: Typed) -> Adapter:
    """The adapter of a file of the hub; its alphas, which are data, are read once it is here."""
    if lora.weights is None:
        return _of_file(lora.file, typed, lora.name, lora.name, lora.licence)
    config = _config(lora.weights, lora.name, lora.file.with_name(CONFIG))
    layers, format_ = read_layers(lora.name, lora.weights, {}, config)
    return Adapter(
        lora.name,
        typed.weight,
        layers,
        typed.source,
        format_,
        None,
        download=lora.download,
        licence=lora.licence,
    )


def _config(weights: Weights, label: str, beside: Path) -> LoraConfig | None:
    """The configuration in a file's metadata, or the one beside the file."""
    config = stored_config(weights.metadata, label)
    if config is None and beside.is_file():
        config = as_config(read_json(beside), str(beside))
    return config


def _unscaled(layer: LoraLayer) -> LoraLayer:
    return replace(layer, scale=1.0)


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
        place = adapter.place
        if place in seen:
            weights = seen[place].weight, adapter.weight
            once = lora_option(adapter.source, f"{sum(weights):g}")
            raise RequestError(
                f"{adapter.name} is given twice, with weights {weights[0]:g} and {weights[1]:g}."
                f" Give it once: {once}."
            )
        seen[place] = adapter
    return adapters
