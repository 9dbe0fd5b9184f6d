"""Measure what VAE tiling does to a clip larger than one tile, and picture it.

    python docs/embedded-model/seams.py --model cogmagic/models/tiny --picture build/seams.png

Renders clips of several sizes, sends them through the autoencoder whole and in tiles, and compares
both with the original: PSNR, the background's error, and how much stronger gradients are across
the lines where tiles meet than elsewhere on the background.
"""

from __future__ import annotations

import argparse
import random

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from PIL import Image

from clips import place, render, sample_attributes, training_combinations
from evaluate import to_uint8

SIZES = ((192, 160), (240, 192), (144, 96))


def tile_edges(length: int, tile: int, stride: int) -> list[int]:
    """Pixel positions of one axis where a new tile begins or its blending ends."""
    starts = range(stride, length, stride) if length > tile else ()
    return sorted({p for s in starts for p in (s, s + tile - stride) if p < length})


def step_at(error: np.ndarray, edges: list[int], axis: int) -> tuple[float, float]:
    """Mean |step| of the error image across the edges, and across all other lines (0..255)."""
    steps = np.abs(np.diff(error, axis=axis)).mean(axis=tuple(a for a in range(4) if a != axis))
    if steps.ndim > 1:
        steps = steps.mean(axis=-1)
    at = [steps[e - 1] for e in edges]
    other = np.delete(steps, [e - 1 for e in edges])
    return float(np.mean(at)) if at else 0.0, float(other.mean())


@torch.no_grad()
def main() -> None:
    """Compare whole and tiled round trips at every size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="cogmagic/models/tiny")
    parser.add_argument("--picture", help="PNG: original, whole, tiled, and 8 x |tiled - original|")
    args = parser.parse_args()
    vae = AutoencoderKLCogVideoX.from_pretrained(args.model, subfolder="vae").float()
    rows = []
    for width, height in SIZES:
        attributes = sample_attributes(4, training_combinations(), random.Random(3))
        generator = torch.Generator().manual_seed(width)
        clips = render(place(attributes, generator, height, width), height, width)
        trips = []
        for tiled in (False, True):
            vae.use_tiling = tiled
            trips.append(
                torch.cat(
                    [vae.decode(vae.encode(c).latent_dist.mode()).sample for c in clips.split(1)]
                )
            )
        original, whole, tiles = (to_uint8(v).astype(np.float32) for v in (clips, *trips))
        if tiles.shape != original.shape:
            raise SystemExit(f"tiled decoding of {width}x{height} has shape {tiles.shape}")
        empty = np.abs(original - original[:, :1, :1, :1]).max(-1, keepdims=True) < 1
        line = [f"{width}x{height}:"]
        for name, video in (("whole", whole), ("tiled", tiles)):
            error = video - original
            quality = 10 * np.log10(255**2 / np.square(error).mean())
            ground = np.abs(error * empty).max(-1)
            line.append(
                f"{name} {quality:.1f} dB, background off by {ground.mean():.2f} "
                f"(99.9 %: {np.quantile(ground, 0.999):.1f});"
            )
        error = ((tiles - original) * empty).mean(-1)
        vertical = step_at(error, tile_edges(width, 120, 96), axis=3)
        horizontal = step_at(error, tile_edges(height, 96, 80), axis=2)
        line.append(
            f"mean step at tile edges {vertical[0]:.3f} | {horizontal[0]:.3f}, "
            f"elsewhere {vertical[1]:.3f} | {horizontal[1]:.3f} of 255"
        )
        print(" ".join(line), flush=True)
        panels = [v[0, 8] for v in (original, whole, tiles)]
        panels.append(np.clip(8 * np.abs(panels[2] - panels[0]), 0, 255))
        strip = np.concatenate(panels, axis=1)
        rows.append(np.pad(strip, ((0, 4), (0, 4 * 256 - strip.shape[1]), (0, 0))))
    if args.picture:
        Image.fromarray(np.concatenate(rows).astype(np.uint8)).save(args.picture, optimize=True)


if __name__ == "__main__":
    main()
