"""The models, adapters and presets that the form names, each looked up once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cogmagic._errors import CogMagicError
from cogmagic._models.adapters.adapter import Adapter, as_adapters
from cogmagic._models.find import find_model
from cogmagic._models.model import Model
from cogmagic._models.presets import Preset
from cogmagic._models.presets_file import find_preset
from cogmagic._notebook.panel.form.lookup import Lookup

__all__ = ["Named"]


class Named:
    """Look-ups that remember their last result: the form is checked at every key."""

    def __init__(self) -> None:
        self.model = Lookup[str, Model](lambda name: find_model(name))
        self._loras = Lookup[tuple[Any, ...], tuple[Adapter, ...]](as_adapters)
        self._preset_loras = Lookup[tuple[Any, ...], tuple[Adapter, ...]](as_adapters)

    def read(
        self, options: Mapping[str, Any], model: Model | None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """The options with their adapters read, and the errors of those that failed, by option."""
        read, errors = dict(options), dict[str, str]()
        reads = {"lora": self._read_loras, "preset": self._read_preset}
        for name, look_up in reads.items():
            try:
                read[name] = look_up(options, model)
            except CogMagicError as error:
                read[name], errors[name] = None, str(error)
        return read, errors

    def _read_loras(
        self, options: Mapping[str, Any], _: Model | None
    ) -> tuple[Adapter, ...] | None:
        return self._loras(tuple(options["lora"])) if options["lora"] else None

    def _read_preset(self, options: Mapping[str, Any], model: Model | None) -> Preset | None:
        preset = find_preset(options["preset"]) if options["preset"] else None
        if preset is None:
            return None
        if model:
            preset.check(model, options)  # before the hub is asked
        return replace(preset, lora=self._preset_loras(preset.lora))
