"""What is on the device in each phase of a run, tier by tier: bytes. Pure arithmetic."""

from __future__ import annotations

from dataclasses import replace

from cogmagic._footprint.curves import Part
from cogmagic._footprint.footprint import Footprint
from cogmagic._footprint.work import Work

__all__ = ["PHASES", "balanced", "stream", "without_text", "workspace"]


MIB = 2**20


def without_text(footprint: Footprint) -> Footprint:
    nothing = Part(weights=0, largest_leaf=0, block=0, blocks=0)
    return replace(footprint, text_encoder=nothing, encode=Work(0, 0, 0.0))


def workspace(capability: tuple[int, int] | None) -> int:
    """CuBLAS's workspace, which torch's allocator holds from the first product on.

    32 MiB on Hopper and later, else 8 MiB and 128 KiB (PyTorch, "CUDA semantics", cuBLAS
    workspaces), and the small tensors of the scheduler.
    """
    hopper = capability is not None and capability[0] >= 9
    return (33 if hopper else 9) * MIB


def _none(f: Footprint, extra: int) -> dict[str, int]:
    held = f.text_encoder.weights + f.transformer.weights + f.vae.weights
    image = f.encode_image.peak if f.encode_image else 0
    return {
        "load": held,
        "encode": held + f.encode.peak + extra,
        "denoise": held + max(f.denoise.peak, image) + extra,
        "decode": held + f.decode.peak + extra,
    }


def _model(f: Footprint, extra: int) -> dict[str, int]:
    """A component leaves when the next begins; a phase begins with the one before still there.

    The VAE comes for the first frame while the text encoder waits to be sent away by the
    transformer, and nothing sends the VAE away until the end.
    """
    text, transformer, vae = f.text_encoder.weights, f.transformer.weights, f.vae.weights
    image = text + vae + f.encode_image.peak if f.encode_image else 0
    beside = vae if f.encode_image else 0
    denoise = max(transformer + f.denoise.peak + beside, image, text)
    left = transformer + beside
    return {
        "load": 0,
        "encode": text + f.encode.peak + extra,
        "denoise": denoise + extra,
        "decode": max(left, vae + f.decode.peak) + extra,
    }


def _sequential(f: Footprint, extra: int) -> dict[str, int]:
    image = f.encode_image.leaf_peak if f.encode_image else 0
    return {
        "load": 0,
        "encode": f.encode.leaf_peak + extra,
        "denoise": max(f.denoise.leaf_peak, image) + extra,
        "decode": f.decode.leaf_peak + extra,
    }


def stream(f: Footprint, extra: int, resident: int) -> dict[str, int]:
    """The text encoder's leaves, then the transformer's blocks, two at a time, then the VAE.

    While one computes, the next arrives. The transformer's other parts and its resident blocks are
    there while denoising.
    """
    vae, transformer = f.vae.weights, f.transformer
    outside = transformer.weights - transformer.blocks * transformer.block
    blocks = min(resident + 2, transformer.blocks) * transformer.block
    image = vae + f.encode_image.peak if f.encode_image else 0
    return {
        "load": 0,
        "encode": f.encode.leaf_peak + f.text_encoder.largest_leaf + extra,
        "denoise": max(outside + blocks + f.denoise.peak, image) + extra,
        "decode": vae + f.decode.peak + extra,
    }


def _staged(f: Footprint, extra: int) -> dict[str, int]:
    """One component at a time, and none beside it."""
    vae = f.vae.weights
    image = vae + f.encode_image.peak if f.encode_image else 0
    return {
        "load": 0,
        "encode": f.text_encoder.weights + f.encode.peak + extra,
        "denoise": max(f.transformer.weights + f.denoise.peak, image) + extra,
        "decode": vae + f.decode.peak + extra,
    }


def balanced(f: Footprint, extra: int, count: int) -> tuple[dict[str, int], ...]:
    """Each GPU's phases: the largest component on the first, the next on the next, the rest there.

    As diffusers assigns them (``_assign_components_to_devices``).
    """
    parts = {
        "encode": (f.text_encoder.weights, f.encode),
        "denoise": (f.transformer.weights, f.denoise),
        "decode": (f.vae.weights, f.decode),
    }
    gpus: list[list[str]] = [[] for _ in range(min(count, len(parts)))]
    for i, phase in enumerate(sorted(parts, key=lambda p: -parts[p][0])):
        gpus[min(i, len(gpus) - 1)].append(phase)
    found = []
    for phases in gpus:
        held = sum(parts[phase][0] for phase in phases)
        own = {phase: held + parts[phase][1].peak + extra for phase in phases}
        found.append({"load": held} | own)
    return tuple(found)


PHASES = {"none": _none, "model": _model, "staged": _staged, "sequential": _sequential}
