"""Stage 2: train the text encoder to say at every position what the whole caption describes.

    python docs/embedded-model/train_text.py --out build/tiny/text_encoder

Linear probes on each of the encoder's outputs guess the scene's colour, shape, direction, size and
background; they are thrown away afterwards. Trained together with the transformer instead, the
encoder fell for the attribute that is learned first: colour filled all of its outputs, and the
other words were lost in them. Takes some minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import T5EncoderModel

from captions import describe
from clips import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    SHAPES,
    SIZES,
    sample_attributes,
    training_combinations,
)
from model import build_text_encoder
from tokenizer import MAX_LENGTH, build_tokenizer, tokenize

HERE = Path(__file__).parent
ATTRIBUTES = tuple(tuple(a) for a in (COLOURS, SHAPES, DIRECTIONS, SIZES, BACKGROUNDS))
LONG = 226  # the pipeline's default text length, padded to in one batch of eight
EMPTY_SHARE = 0.05


class Probes(nn.Module):
    """One linear classifier an attribute, the same at every position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, len(values)) for values in ATTRIBUTES)

    def losses(self, states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross entropies [5] of `wanted` [B, 5] at all positions of `states` [B, T, width]."""
        return torch.stack(
            [
                cross_entropy(head(states).transpose(1, 2), w[:, None].expand(states.shape[:2]))
                for head, w in zip(self.heads, wanted.T, strict=True)
            ]
        )

    def right(self, states: torch.Tensor, wanted: torch.Tensor) -> list[float]:
        """Share of positions at which each attribute is read correctly."""
        return [
            round((head(states).argmax(-1) == w[:, None]).float().mean().item(), 4)
            for head, w in zip(self.heads, wanted.T, strict=True)
        ]


def labels(attributes: list[tuple]) -> torch.Tensor:
    """Indices [N, 5] of each scene's colour, shape, direction, size and background."""
    rows = [(*combination, size, ground) for combination, size, ground in attributes]
    return torch.tensor(
        [[values.index(v) for values, v in zip(ATTRIBUTES, r, strict=True)] for r in rows]
    )


def train(args: argparse.Namespace) -> None:
    """Train for `args.steps` and save the encoder in float32 to `args.out`."""
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tokenizer = build_tokenizer()
    encoder = build_text_encoder(len(tokenizer)).train()
    probes = Probes(encoder.config.d_model)
    parameters = [*encoder.parameters(), *probes.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=args.steps)
    began = time.monotonic()
    for step in range(1, args.steps + 1):
        attributes = sample_attributes(args.batch, training_combinations(), rng)
        texts = ["" if rng.random() < EMPTY_SHARE else describe(*a, rng) for a in attributes]
        ids = tokenize(tokenizer, texts, LONG if step % 8 == 0 else MAX_LENGTH)
        losses = probes.losses(encoder(ids)[0], labels(attributes))
        optimiser.zero_grad()
        losses.sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % args.every == 0:
            shown = " ".join(f"{x:.3f}" for x in losses.tolist())
            print(f"{time.monotonic() - began:5.0f} s  step {step}  losses {shown}", flush=True)
    encoder.eval().save_pretrained(args.out)
    report(encoder, probes)


@torch.no_grad()
def report(encoder: T5EncoderModel, probes: Probes) -> None:
    """Print what the probes read out of the held-out prompts, at both text lengths."""
    entries = json.loads((HERE / "heldout.json").read_text())["prompts"]
    wanted = torch.tensor(
        [[ATTRIBUTES[i].index(e[k]) for i, k in enumerate(("colour", "shape", "direction"))] for e in entries]
    )
    probes.heads = probes.heads[:3]
    for length in (MAX_LENGTH, LONG):
        states = encoder(tokenize(build_tokenizer(), [e["prompt"] for e in entries], length))[0]
        print(f"held out, {length} tokens: colour, shape, direction {probes.right(states, wanted)}")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/tiny/text_encoder")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=100, help="steps between reports")
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
