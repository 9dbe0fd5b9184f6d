"""The scale of a LoRA's layers, from the configuration that its trainer stored: alpha and rank."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cogmagic._errors import CheckpointError, first_line

__all__ = ["LoraConfig", "as_config", "stored_config"]


_KEY = "lora_adapter_metadata"
"""Where diffusers stores the configuration in a file's metadata (`LORA_ADAPTER_METADATA_KEY`)."""


_PEFT_DEFAULT = 8
"""Rank and alpha of PEFT's ``LoraConfig`` where they are not given."""


_CHANGES_BASE = re.compile(r"pissa|olora|corda|loftq|lora_ga")
"""Values of ``init_lora_weights`` with which PEFT changes the base's weights before training."""


_PLAIN_PATTERN = re.compile(r"(?!.*[)\]][*+{?])[\w.^$*|()\[\]\\]{1,200}")
"""Patterns of module names that are matched; others could take for ever."""


@dataclass(frozen=True)
class LoraConfig:
    """Ranks and alphas of a LoRA as PEFT's ``LoraConfig`` stores them."""

    origin: str
    """Where it is stored, for messages."""
    rank: int
    alpha: float
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Ranks of modules by pattern (``rank_pattern``)."""
    alphas: Mapping[str, float] = field(default_factory=dict)
    rslora: bool = False
    """Whether alpha is divided by the root of the rank."""

    def scale(self, module: str, rank: int) -> float:
        """Alpha / rank of a module whose factors have that rank.

        Raises:
            CheckpointError: when the configuration has another rank.
        """
        expected = _by_pattern(self.ranks, module, self.rank)
        if expected != rank:
            raise CheckpointError(
                f"{self.origin} has rank {expected} for {module}, but its tensors have {rank}:"
                " they do not belong together. Correct the configuration, or save both again."
            )
        alpha: float = _by_pattern(self.alphas, module, self.alpha)
        return alpha / (math.sqrt(rank) if self.rslora else rank)


def stored_config(metadata: Mapping[str, str], label: str) -> LoraConfig | None:
    """The configuration that diffusers stored in a file's metadata; None without one.

    Raises:
        CheckpointError: for one that is malformed, or of another kind of adapter.
    """
    if _KEY not in metadata:
        return None
    origin = f"{label} ({_KEY})"
    try:
        loaded = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{origin} is not JSON ({first_line(error)}). Download or save it again."
        ) from None
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{origin} is not a JSON object. Download or save it again.")
    prefix = "transformer."
    own = {k.removeprefix(prefix): v for k, v in loaded.items() if k.startswith(prefix)}
    if not own and not any("." in key for key in loaded):
        own = loaded
    return as_config(own, origin) if own else None


def as_config(stored: Mapping[str, Any], origin: str) -> LoraConfig:
    """The ranks and alphas of a stored ``LoraConfig``.

    Raises:
        CheckpointError: for values of the wrong type, and for kinds that are no plain LoRA.
    """
    _check_kind(stored, origin)
    rank, alpha = stored.get("r", _PEFT_DEFAULT), stored.get("lora_alpha", _PEFT_DEFAULT)
    ranks, alphas = (stored.get(f"{name}_pattern") or {} for name in ("rank", "alpha"))
    for name, patterns in (("rank_pattern", ranks), ("alpha_pattern", alphas)):
        if not isinstance(patterns, dict):
            raise _malformed(origin, name, patterns)
        for pattern in patterns:
            if not _PLAIN_PATTERN.fullmatch(pattern) or not _compiles(pattern):
                raise _malformed(origin, name, pattern)
    for name, value in (("r", rank), *(("rank_pattern", r) for r in ranks.values())):
        if type(value) is not int or value < 1:
            raise _malformed(origin, name, value)
    for name, value in (("lora_alpha", alpha), *(("alpha_pattern", a) for a in alphas.values())):
        if type(value) not in (int, float) or not math.isfinite(value):
            raise _malformed(origin, name, value)
    return LoraConfig(origin, rank, alpha, ranks, alphas, bool(stored.get("use_rslora")))


def _check_kind(stored: Mapping[str, Any], origin: str) -> None:
    """Refuse the configuration of an adapter that is not a plain LoRA."""
    kind = stored.get("peft_type") or "LORA"
    if kind != "LORA":
        raise CheckpointError(
            f"{origin} describes {kind!s:.40}, but cogmagic applies LoRA only. Train a plain LoRA."
        )
    if stored.get("use_dora"):
        raise CheckpointError(
            f"{origin} describes DoRA, but cogmagic applies plain LoRA only. Train with"
            " use_dora=False."
        )
    start = stored.get("init_lora_weights")
    if isinstance(start, str) and _CHANGES_BASE.match(start):
        raise CheckpointError(
            f"{origin} has init_lora_weights {start:.40}, which changed the base's weights before"
            " training. Save it with path_initial_model_for_weight_conversion (PEFT)."
        )


def _by_pattern(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that ends a module's name, as PEFT matches them."""
    matching = (v for p, v in patterns.items() if re.match(rf"(.*\.)?({p})$", module))
    return next(matching, default)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError):
        return False
    return True


def _malformed(origin: str, name: str, value: object) -> CheckpointError:
    return CheckpointError(
        f"{origin} has {name} {value!r:.60}, from which no scale can be computed. Correct it, or"
        " save the adapter again."
    )
