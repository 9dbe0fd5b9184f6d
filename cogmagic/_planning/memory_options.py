"""What a person chooses about memory, and what is on this machine already: the planner's inputs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from cogmagic._errors import RequestError, TierError
from cogmagic._footprint.savings import NO_SAVINGS, SAVINGS, Savings
from cogmagic._machine.amounts import vram_limit_bytes
from cogmagic._machine.gpu import gpu_count, gpu_names
from cogmagic._models.choices import choice_hint
from cogmagic._pipeline.attention.registry import check_kernel_name
from cogmagic._pipeline.step_cache import StepCache
from cogmagic._pipeline.storage import storage_options
from cogmagic._planning.speeds import SPEEDS
from cogmagic._tiers.base import Tier, Variant
from cogmagic._tiers.registry import TIERS

__all__ = [
    "DEFAULTS",
    "KEEPS",
    "NOTHING_HERE",
    "POLICIES",
    "Available",
    "MemoryOptions",
    "Policy",
    "memory_options",
    "tier_names",
]

Policy = Literal["auto", "rule"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
KEEPS = ("hot", "warm", "cold")


def memory_options(options: dict[str, Any]) -> dict[str, Any]:
    """The options that `MemoryOptions.of` takes, taken out of `options`."""
    names = (*_field_names(), *SAVINGS, *storage_options(), "quantize")
    return {name: options.pop(name) for name in names if name in options}


def _field_names() -> tuple[str, ...]:
    """The fields of `MemoryOptions` that are options by their own names."""
    return tuple(f.name for f in fields(MemoryOptions) if f.name != "savings")


def tier_names() -> tuple[str, ...]:
    """What ``--tier`` takes: ``auto``, and the name of every tier."""
    return ("auto", *TIERS)


@dataclass(frozen=True)
class MemoryOptions:
    """What a person chooses about memory and speed; every name in it is a valid one.

    Raises:
        RequestError: for a `keep`, a speed, an attention kernel or a cache that does not exist.
        TierError: for a tier or a policy that does not exist.
    """

    tier: str | None = None
    """A tier to use whatever is predicted; None or ``auto`` to choose by `policy`."""
    policy: str = "auto"
    """``auto``, the fastest tier predicted to fit, or ``rule``, the published thresholds."""
    vram_limit: int | None = None
    """Bytes that this kernel may take of a GPU, its CUDA context and all its tensors included."""
    gpus: tuple[str, ...] = ()
    """Indices or UUIDs of the GPUs that may be used; empty for all."""
    parallel: int | Literal["all"] = 1
    """GPUs that make one video together: 1, more, or ``all`` for as many as help."""
    compile: bool = False
    """Whether the transformer's blocks are compiled, whatever the speed."""
    speed: str = "exact"
    """Name in `SPEEDS`: how far a run may depart from diffusers' own pipeline to be faster."""
    attention: str = ""
    """Name in `KERNELS` of an attention kernel; empty for the speed's."""
    cache: str = ""
    """Step cache, as ``NAME`` or ``NAME:THRESHOLD``; empty for none."""
    savings: Savings = NO_SAVINGS
    """Options that need less memory, each at a price."""
    keep: str = "warm"
    """Where the weights stay after the run: ``hot``, ``warm`` or ``cold``."""

    def __post_init__(self) -> None:
        _check_name("tier", "auto" if self.tier is None else self.tier, tier_names(), TierError)
        _check_name("policy", self.policy, POLICIES, TierError)
        _check_name("keep", self.keep, KEEPS, RequestError)
        _check_name("speed", self.speed, tuple(SPEEDS), RequestError)
        if SPEEDS[self.speed].products and (flag := self.savings.narrow_flag):
            raise RequestError(
                f"{flag} cannot be combined with --speed {self.speed}, which stores the"
                f" transformer in fp8 itself. Leave out {flag}, or type --speed fast {flag}."
            )
        gpu_count(self.parallel)  # which checks it
        check_kernel_name(self.attention)
        StepCache.of(self.cache)  # which checks it

    @classmethod
    def of(
        cls,
        *,
        vram_limit: object = None,
        gpus: str | int | Sequence[str | int] | None = None,
        parallel: object = None,
        **options: Any,
    ) -> MemoryOptions:
        """The options as `cogmagic.generate` takes them.

        Args:
            vram_limit: GiB below 1024, else bytes.
            gpus: torch's indices or UUIDs, as ``"0,2"`` or ``[0, 2]``.
            parallel: a number of GPUs, or ``"all"``.
            **options: the other fields, and the savings by name.
        """
        plain = {name: options.pop(name) for name in _field_names() if name in options}
        for name in ("attention", "cache"):
            plain[name] = plain.get(name) or ""
        return cls(
            vram_limit=vram_limit_bytes(vram_limit),
            gpus=gpu_names(gpus),
            parallel=gpu_count(parallel),
            savings=Savings.of(**options),
            **plain,
        )

    @property
    def forced(self) -> Tier | None:
        """The tier that was asked for by name."""
        return None if self.tier in (None, "auto") else TIERS[str(self.tier)]

    @property
    def names(self) -> tuple[str, ...]:
        """The options that change a run's memory, speed or frames beyond its tier."""
        speed = [f"speed {self.speed}"] if self.speed != "exact" else []
        cache = [f"cache {self.step_cache}"] if self.cache else []
        attention = [f"attention {self.attention}"] if self.attention else []
        switches = ["compile"] if self.compile else []
        return (*speed, *switches, *attention, *cache, *self.savings.names)

    @property
    def asked(self) -> dict[str, Any]:
        """The tier and the GPUs of a split that were asked for, by the names of the options."""
        tier = {"tier": self.tier} if self.forced else {}
        return tier | ({"parallel": self.parallel} if self.parallel != 1 else {})

    @property
    def step_cache(self) -> StepCache | None:
        """The step cache that `cache` names; None for none."""
        return StepCache.of(self.cache)

    @property
    def cautious(self) -> bool:
        """Whether a run that is predicted not to fit is refused rather than tried."""
        return self.forced is None and self.policy == "auto"


def _check_name(
    option: str, name: object, choices: Sequence[str], error: type[RequestError | TierError]
) -> None:
    if name not in choices:
        raise error(f"Unknown {option} {name!r:.80}.{choice_hint(option, str(name), choices)}")


@dataclass(frozen=True)
class Available:
    """What this machine has already for a request."""

    folder: Path | None = None
    """The checkpoint's folder, for an architecture outside the catalogue."""
    download: int = 0
    """Bytes of the checkpoint that are still to be downloaded."""
    prompts_cached: bool = False
    """Whether the prompt embeddings are cached, so that the text encoder is not needed."""
    weights_loaded: bool = False
    """Whether the weights are in host memory, so that most tiers read no file."""
    cached: float = 0.0
    """Share of the weight files' bytes that are in the page cache; 0 where it is unknown."""
    first_run: bool = True
    """Whether this kernel has made no video yet."""
    embeddings: int = 0
    """Bytes of the prompt embeddings that a batch has in host memory."""
    code: frozenset[Hashable] = frozenset()
    """The keys (`code_key`) of the compiled code that this kernel has."""
    placed: tuple[str, Variant] | None = None
    """The tier and the variant in which the weights are placed and may stay, in a batch."""
    not_lean: str = ""
    """Why lean decoding does not apply to the VAE; empty if it does or is not known yet."""
    prompt_warning: str = ""
    """What is wrong with the prompts, as far as is known; empty for nothing."""
    loads_text: bool = True
    """Whether the text encoder is loaded at all: on several GPUs the first rank alone has it."""


NOTHING_HERE = Available()
DEFAULTS = MemoryOptions()
