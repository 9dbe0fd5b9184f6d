"""How a validation inside a training run is placed, and what it needs on top of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cogmagic._errors import TierError, TrainingError, did_you_mean
from cogmagic._footprint.footprint import Footprint, footprint
from cogmagic._footprint.work import ITEM
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import Dtype
from cogmagic._models.request import Request
from cogmagic._tiers.needs import reserved_bytes
from cogmagic._units import gib

__all__ = [
    "TRAINING_TIERS",
    "TrainingTier",
    "ValidationPlan",
    "check_training_tier",
    "described",
    "plan_validation",
]


TrainingTier = Literal["none", "deepspeed", "model", "sequential"]


TRAINING_TIERS = ("model", "sequential")
"""What may be asked for by hand."""


_LIVE = 1_000_000_000
"""Parameters that ZeRO-3 keeps whole at a time (DeepSpeed's ``stage3_max_live_parameters``)."""


_RULE = (
    "DeepSpeed owns the transformer's memory, so nothing is offloaded: every other component is"
    " moved to the device by hand"
)


@dataclass(frozen=True)
class ValidationPlan:
    """What a validation will do to memory. Bytes."""

    request: Request
    """The one that needs most."""
    tier: TrainingTier
    reason: str
    dtype: Dtype
    where: str
    needs: Mapping[str, int]
    """Per phase, what comes on top of what training holds; empty where nothing is predicted."""
    free: int | None
    """What training leaves free on the device; None where unknown."""
    zero_stage: int | None = None

    @property
    def peak(self) -> int:
        """What must be free, the allocator's overhead included."""
        return reserved_bytes(self.needs) if self.needs else 0

    @property
    def missing(self) -> int:
        """By how much it does not fit."""
        return max(self.peak - self.free, 0) if self.free is not None else 0

    @property
    def fits(self) -> bool:
        """Whether it is predicted to run."""
        return not self.missing

    def __str__(self) -> str:
        r = self.request
        told = f"{r.num_frames} frames of {r.size}, {self.dtype}, on {self.where}"
        lines = [f"tier     {self.tier}: {self.reason}", f"request  {told}"]
        if self.needs:
            phases = ", ".join(f"{name} {gib(n)}" for name, n in self.needs.items())
            lines.append(f"on top   {gib(self.peak)} of {gib(self.free)} that are free ({phases})")
        if self.zero_stage == 3:
            lines.append(
                "samples  every process runs all of them: each holds a piece of the weights"
            )
        lines.append("VAE      slicing and tiling on")
        return "\n".join(lines)

    __repr__ = __str__

    def check(self) -> ValidationPlan:
        """Itself, if it fits.

        Raises:
            TrainingError: with the numbers.
        """
        if self.fits:
            return self
        phase = max(self.needs, key=lambda name: self.needs[name])
        raise TrainingError(
            f"Validation needs {gib(self.peak)} on top of the training, in {phase}, and"
            f" {gib(self.free)} are free on {self.where}. It would need less with fewer"
            " num_frames or a smaller size; with prompt_embeds given it needs no text encoder."
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
    """Choose how the components beside the transformer come to the device.

    The text encoder is there only while prompts are encoded, the VAE while frames are made.

    Args:
        request: the one that needs most.
        foot: its; None where memory is not planned, on a CPU.
        moved: bytes of each component that has to come to the device.
        dtype: what validation computes in.
        where: the device, in words.
        free: bytes that training leaves free there.
        text: whether there are prompts to encode.
        zero_stage: DeepSpeed's, None without it.
        tier: ``model`` or ``sequential``; the first that fits when it is left out.

    Raises:
        TierError: for a tier that does not exist, or any under DeepSpeed.
    """
    check_training_tier(tier, deepspeed=zero_stage is not None)
    tier = None if tier == "auto" else tier
    gathered = _LIVE * ITEM[dtype] if zero_stage == 3 else 0

    def planned(name: TrainingTier, reason: str) -> ValidationPlan:
        needs = {}
        if foot is not None:
            needs = _needs(foot, moved, gathered, text=text, whole=name != "sequential")
        return ValidationPlan(request, name, reason, dtype, where, needs, free, zero_stage)

    if zero_stage is not None:
        return planned("deepspeed", f"ZeRO-{zero_stage}: {_RULE}")
    if foot is None:
        return planned("none", "on the CPU nothing has to move")
    if tier == "sequential":
        return planned("sequential", "asked for")
    whole = planned("model", "asked for" if tier else "the text encoder fits beside the training")
    if tier is not None or whole.fits or not text:
        return whole
    lacking = f"the text encoder lacks {gib(whole.missing)} beside the training"
    return planned("sequential", f"{lacking}: it comes layer by layer")


def described(
    request: Request,
    machine: Machine,
    dtype: Dtype,
    *,
    folder: Path | None = None,
    zero_stage: int | None = None,
    tier: str | None = None,
) -> ValidationPlan:
    """The plan for a machine on which training is thought to go on, its components in host memory.

    Args:
        request: what validation makes.
        machine: with what is free beside the training.
        dtype: what validation computes in.
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


def check_training_tier(tier: str | None, *, deepspeed: bool) -> None:
    """Refuse a tier that a validation cannot have.

    Raises:
        TierError: with what there is.
    """
    if tier is None or tier == "auto":
        return
    if deepspeed:
        raise TierError(
            f"--tier {tier} under DeepSpeed: its engine has the transformer's memory partitioned"
            " among the processes, and offload hooks would move it away. Leave the tier out."
        )
    if tier not in TRAINING_TIERS:
        raise TierError(
            f"No tier {tier!r} in a validation.{did_you_mean(tier, TRAINING_TIERS)}"
            f" Choose from: {', '.join(TRAINING_TIERS)}."
        )


def _needs(
    foot: Footprint, moved: Mapping[str, int], gathered: int, *, text: bool, whole: bool
) -> dict[str, int]:
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
