"""The plan of a validation: its tier, and the VRAM that it needs on top of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cogmagic._errors import TierError, TrainingError
from cogmagic._footprint.footprint import Footprint, footprint
from cogmagic._footprint.work import ITEM
from cogmagic._machine.machine import Machine
from cogmagic._models.choices import choice_hint
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._spelling import errors_for_python
from cogmagic._tiers.needs import reserved_bytes
from cogmagic._tiers.registry import TIERS
from cogmagic._units import gib

__all__ = [
    "TRAINING_TIERS",
    "TrainingTier",
    "ValidationPlan",
    "check_training_tier",
    "plan_described_validation",
    "plan_validation",
]


TrainingTier = Literal["none", "deepspeed", "model", "sequential"]

TRAINING_TIERS = ("model", "sequential")
"""The tiers that can be chosen by hand."""

_LIVE_PARAMETERS = 1_000_000_000
"""Parameters that ZeRO-3 keeps whole at a time (DeepSpeed's ``stage3_max_live_parameters``)."""


_DEEPSPEED_RULE = (
    "DeepSpeed owns the transformer's memory, so nothing is offloaded: every other component is"
    " moved to the device by hand"
)


_TIER_NAMES: dict[TrainingTier, str] = {
    "deepspeed": "DeepSpeed",
    "none": TIERS["none"].title,
    "model": TIERS["model"].title,
    "sequential": TIERS["sequential"].title,
}


@dataclass(frozen=True)
class ValidationPlan:
    """The memory that a validation will need, in bytes."""

    request: Request
    """The one that needs most."""
    tier: TrainingTier
    reason: str
    dtype: Dtype
    where: str
    needs: Mapping[str, int]
    """VRAM of each phase on top of the training's; empty where nothing is predicted."""
    free: int | None
    """VRAM that training leaves free on the device; None where unknown."""
    zero_stage: int | None = None

    @property
    def peak(self) -> int:
        """VRAM that must be free, the allocator's overhead included."""
        return reserved_bytes(self.needs) if self.needs else 0

    @property
    def missing(self) -> int:
        """VRAM that is lacking; 0 where it fits."""
        return max(self.peak - self.free, 0) if self.free is not None else 0

    @property
    def fits(self) -> bool:
        """Whether the validation is predicted to fit."""
        return not self.missing

    def __str__(self) -> str:
        r = self.request
        clip = f"{r.num_frames} frames of {r.size}, {self.dtype}, on {self.where}"
        lines = [f"tier     {_TIER_NAMES[self.tier]}: {self.reason}", f"request  {clip}"]
        if self.needs:
            phases = ", ".join(f"{name} {gib(n)}" for name, n in self.needs.items())
            lines.append(f"on top   {gib(self.peak)} of {gib(self.free)} free VRAM ({phases})")
        if self.zero_stage == 3:
            lines.append(
                "samples  every process runs all of them: each holds a part of the weights"
            )
        lines.append("VAE      slicing and tiling on")
        return "\n".join(lines)

    __repr__ = __str__

    def check(self) -> ValidationPlan:
        """Return this plan if it fits.

        Raises:
            TrainingError: with the numbers, if it does not.
        """
        if self.fits:
            return self
        phase = max(self.needs, key=lambda name: self.needs[name])
        raise TrainingError(
            f"Validation needs {gib(self.peak)} of VRAM on top of the training (phase {phase}), but"
            f" {gib(self.free)} are free on {self.where}. Use fewer num_frames or a smaller size;"
            " with prompt_embeds no text encoder is needed."
        )


def plan_validation(
    request: Request,
    foot: Footprint | None,
    moved: Mapping[str, int],
    *,
    dtype: Dtype,
    where: str,
    free: int | None,
    text: bool = True,
    zero_stage: int | None = None,
    tier: str | None = None,
) -> ValidationPlan:
    """Choose how the components beside the transformer are moved to the device.

    The text encoder is there only while prompts are encoded, the VAE while frames are generated.

    Args:
        request: the one that needs most.
        foot: its footprint; None on a CPU, where memory is not planned.
        moved: bytes of each component that has to be moved to the device.
        dtype: the precision in which validation computes.
        where: the device, in words.
        free: bytes that training leaves free there.
        text: whether prompts have to be encoded.
        zero_stage: DeepSpeed's, None without it.
        tier: ``model`` or ``sequential``; by default, the first that fits.

    Raises:
        TierError: for a tier that does not exist, or any under DeepSpeed.
    """
    check_training_tier(tier, deepspeed=zero_stage is not None)
    tier = None if tier == "auto" else tier
    gathered = _LIVE_PARAMETERS * ITEM[dtype] if zero_stage == 3 else 0

    def planned(name: TrainingTier, reason: str) -> ValidationPlan:
        needs = _needs(foot, moved, gathered, text=text, whole=name != "sequential")
        return ValidationPlan(request, name, reason, dtype, where, needs, free, zero_stage)

    if zero_stage is not None:
        return planned("deepspeed", f"ZeRO-{zero_stage}: {_DEEPSPEED_RULE}")
    if foot is None:
        return planned("none", "nothing has to move on the CPU")
    if tier == "sequential":
        return planned("sequential", "as requested")
    reason = "as requested" if tier else "the text encoder fits beside the training"
    whole = planned("model", reason)
    if tier is not None or whole.fits or not text:
        return whole
    lacking = f"the text encoder lacks {gib(whole.missing)} beside the training"
    return planned("sequential", f"{lacking}, so it is moved layer by layer")


def plan_described_validation(
    request: Request,
    machine: Machine,
    dtype: Dtype,
    *,
    folder: Path | None = None,
    zero_stage: int | None = None,
    tier: str | None = None,
) -> ValidationPlan:
    """The plan on a described machine, for a training whose other components are in host memory.

    Args:
        request: what validation generates.
        machine: with the VRAM that is free beside the training.
        dtype: the precision in which validation computes.
        folder: the checkpoint, for an architecture outside the catalogue.
        zero_stage: DeepSpeed's, None without it.
        tier: as `plan_validation` takes it.
    """
    gpu = machine.roomiest if machine.device == "cuda" else None
    foot = footprint(request, dtype, folder) if gpu else None
    moved = {}
    if foot:
        moved = {"text_encoder": foot.text_encoder.weights, "vae": foot.vae.weights}
    return plan_validation(
        request,
        foot,
        moved,
        dtype=dtype,
        where=gpu.name if gpu else machine.device,
        free=gpu.available if gpu else None,
        zero_stage=zero_stage,
        tier=tier,
    )


@errors_for_python()
def check_training_tier(tier: str | None, *, deepspeed: bool) -> None:
    """Refuse a tier that a validation does not have.

    Raises:
        TierError: naming the tiers that it has.
    """
    if tier is None or tier == "auto":
        return
    if deepspeed:
        raise TierError(
            f"--tier {tier} does not work under DeepSpeed, which has partitioned the transformer's"
            " memory among the processes: offload hooks would move it away. Leave the tier out."
        )
    if tier not in TRAINING_TIERS:
        raise TierError(
            f"A validation has no tier {tier!r}.{choice_hint('tier', tier, TRAINING_TIERS)}"
        )


def _needs(
    foot: Footprint | None, moved: Mapping[str, int], gathered: int, *, text: bool, whole: bool
) -> dict[str, int]:
    """VRAM of each phase on top of the training's; nothing without a footprint.

    Args:
        foot: the request's footprint.
        moved: bytes of each component that has to be moved to the device.
        gathered: bytes that ZeRO-3 gathers.
        text: whether prompts have to be encoded.
        whole: whether the text encoder is moved as a whole, not layer by layer.
    """
    if foot is None:
        return {}
    encoder, vae = moved.get("text_encoder", 0), moved.get("vae", 0)
    transformer = moved.get("transformer", 0)
    encode = encoder + foot.encode.peak if whole else foot.encode.leaf_peak
    image = foot.encode_image
    return {
        **({"encode": encode} if text else {}),
        **({"encode image": vae + image.peak} if image else {}),
        "denoise": vae + transformer + gathered + foot.denoise.peak,
        "decode": vae + transformer + foot.decode.peak,
    }
