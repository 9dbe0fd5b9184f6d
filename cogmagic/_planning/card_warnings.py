"""Warnings about the card of a plan: what it can compute in, and what it asks of torch."""

from __future__ import annotations

from cogmagic._machine.cards.names import card_for
from cogmagic._machine.cards.table import CARDS
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype
from cogmagic._units import gib

__all__ = ["card_warnings"]


_MORE = 1.1
"""Memory over the datasheet's from which a card counts as rebuilt; drivers differ by less."""


def card_warnings(machine: Machine, dtype: Dtype) -> tuple[str, ...]:
    """What may differ or fail because of the cards, above all the one that a single run uses."""
    gpu = machine.roomiest
    if machine.device != "cuda" or gpu is None:
        return ()
    rebuilt = dict.fromkeys(_rebuilt(g) for g in machine.gpus)
    return tuple(filter(None, (_unmeasured(gpu), _without_tensor_cores(gpu, dtype), *rebuilt)))


def _unmeasured(gpu: Gpu) -> str:
    """A warning where no such card was measured, with the torch that a described one needs."""
    if gpu.bf16 is False:
        slow = ". It computes float16 in the time of float32" if gpu.capability == (6, 1) else ""
        return (
            f"{gpu.name} is older than Ampere, and no such card was measured: its memory may differ"
            f"{slow}{_torch_before_turing(gpu)}"
        )
    card = card_for(gpu.name, gpu.total)
    if card is None or card.capability is not None:
        return ""
    text = f"{gpu.name} is AMD's, and no such card was measured: its memory and time may differ"
    if gpu.source == "described":
        text += ". It needs a torch build for ROCm: see https://pytorch.org/get-started/locally"
    return text


def _torch_before_turing(gpu: Gpu) -> str:
    """What a described card asks of torch; a machine's own torch is checked before a run.

    Builds of torch for CUDA 12.6 have code for 5.0, 6.0 (which 6.1 runs, too) and 7.0; from torch
    2.11 on, those for CUDA 12.8 and newer begin at 7.5 (pytorch/pytorch issues 157517 and 172352).
    Torch 2.15 is to drop CUDA 12.6 (issue 190385).
    """
    if gpu.source != "described" or gpu.capability is None or gpu.capability >= (7, 5):
        return ""
    sm = "sm_{}{}".format(*gpu.capability)
    return (
        f". It is {sm}, which torch's default builds leave out: install one for CUDA 12.6 (torch"
        " before 2.15), pip install torch --index-url https://download.pytorch.org/whl/cu126"
    )


def _without_tensor_cores(gpu: Gpu, dtype: Dtype) -> str:
    """A warning of float16 on GTX 16 cards.

    Their convolutions in float16 have given NaN, and so black pictures, with several versions of
    cuDNN (pytorch/pytorch issues 58123 and 77955).
    """
    if dtype != "float16" or "GTX 16" not in gpu.name:
        return ""
    return (
        f"{gpu.name} has no tensor cores, and GTX 16 cards have computed NaN (black pictures) in"
        " float16: if a run ends so, use --dtype float32, with twice the memory"
    )


def _rebuilt(gpu: Gpu) -> str:
    """A note on a card with more memory than its datasheet has."""
    named = next((c for c in CARDS if c.name == gpu.name), None)  # of a described machine
    card = named or card_for(gpu.name, gpu.total)
    if card is None or gpu.total is None or gpu.unified or gpu.total <= card.vram * _MORE:
        return ""
    return (
        f"{gpu.name} with {gib(gpu.total)} has more memory than its datasheet ({gib(card.vram)}):"
        f" a rebuilt card, planned at the speed of {card.name}"
    )
