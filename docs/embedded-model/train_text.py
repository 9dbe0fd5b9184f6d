"""Stage 2: train the text encoder to say at every position what the whole caption describes.

    python docs/embedded-model/train_text.py --out build/tiny/text_encoder

Linear probes on each of the encoder's outputs guess the scene's colour, shape, direction, size and
background; they are thrown away afterwards. Trained together with the transformer instead, the
encoder fell for the attribute that is learned first: colour filled all of its outputs, and the
other words were lost in them. Half of the texts name one or two attributes only, and only those are
asked for: with whole captions alone the encoder learns that some combinations never come, and
misreads them.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import T5EncoderModel

from captions import UNKNOWN, describe, fragment
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
EMPTY_SHARE, FRAGMENT_SHARE = 0.03, 0.53
CONFUSABLE_SHARE = 0.3
NEAR = 3.0  # weight of staying near the encoder that `--start` names


class Probes(nn.Module):
    """One linear classifier an attribute, the same at every position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, len(values)) for values in ATTRIBUTES)

    def losses(self, states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross entropies [5] of `wanted` [B, 5] at all positions of `states` [B, T, width].

        A wanted -100 is not asked for.
        """
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
            for head, w in zip(self.heads, wanted.T, strict=False)
        ]


def draw(count: int, rng: random.Random) -> tuple[list[str], torch.Tensor]:
    """Texts, and the indices [count, 5] of what they say; -100 for what they do not say."""
    texts, rows = [], []
    confusable = [c for c in training_combinations() if c[0] in ("blue", "green")]
    for combination, size, ground in sample_attributes(count, training_combinations(), rng):
        if rng.random() < CONFUSABLE_SHARE:  # two colours in one caption, which are not alike
            combination = rng.choice(confusable)
            ground = rng.choice(("dark blue", "dark green"))
        values = (*combination, size, ground)
        row = [names.index(v) for names, v in zip(ATTRIBUTES, values, strict=True)]
        kind = rng.random()
        if kind < EMPTY_SHARE:
            text = ""  # every row is wanted: the best guess is the middle of them all
        elif kind < FRAGMENT_SHARE:
            text, (*held, backed) = fragment(combination, ground, rng)
            said = (*held, False, backed)
            row = [r if h else -100 for r, h in zip(row, said, strict=True)]
        else:
            text = describe(combination, size, ground, rng, partial=0.0)
        if rng.random() < 0.1:
            words = text.split()
            words.insert(rng.randrange(len(words) + 1), rng.choice(UNKNOWN))
            text = " ".join(words)
        texts.append(text)
        rows.append(row)
    return texts, torch.tensor(rows)


def train(args: argparse.Namespace) -> None:
    """Train for `args.steps` and save the encoder in float32 to `args.out`."""
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    tokenizer = build_tokenizer()
    encoder = build_text_encoder(len(tokenizer)).to(args.device).train()
    before = None
    if args.start:
        encoder = T5EncoderModel.from_pretrained(args.start).float().to(args.device).train()
        before = copy.deepcopy(encoder).eval().requires_grad_(False)
    probes = Probes(encoder.config.d_model).to(args.device)
    parameters = [*encoder.parameters(), *probes.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, args.rate, total_steps=args.steps)
    began = time.monotonic()
    for step in range(1, args.steps + 1):
        texts, wanted = draw(args.batch, rng)
        ids = tokenize(tokenizer, texts, LONG if step % 8 == 0 else MAX_LENGTH).to(args.device)
        states = encoder(ids)[0]
        losses = probes.losses(states, wanted.to(args.device))
        loss = losses.sum()
        if before is not None:  # whole captions keep the outputs that the transformer knows
            whole = wanted[:, 3:].ge(0).all(1).to(args.device)
            known = before(ids[whole])[0]
            drift = (states[whole] - known).square().mean() / known.square().mean()
            loss = loss + NEAR * drift
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % args.every == 0:
            shown = " ".join(f"{x:.3f}" for x in losses.tolist())
            print(f"{time.monotonic() - began:5.0f} s  step {step}  losses {shown}", flush=True)
            if step % (5 * args.every) == 0:
                report(encoder, probes)
    encoder.cpu().eval().save_pretrained(args.out)
    report(encoder, probes.cpu())


@torch.no_grad()
def report(encoder: T5EncoderModel, probes: Probes) -> None:
    """Print how well the probes read colour, shape and direction of the held-out prompts."""
    entries = json.loads((HERE / "heldout.json").read_text())["prompts"]
    keys = ("colour", "shape", "direction")
    wanted = torch.tensor(
        [[ATTRIBUTES[i].index(e[k]) for i, k in enumerate(keys)] for e in entries]
    )
    for length in (MAX_LENGTH, LONG):
        ids = tokenize(build_tokenizer(), [e["prompt"] for e in entries], length)
        shares = probes.right(encoder(ids.to(encoder.device))[0], wanted.to(encoder.device))
        print(f"held out, {length} tokens: right at {shares} of the positions", flush=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/tiny/text_encoder")
    parser.add_argument("--start", help="text encoder to continue from")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=100, help="steps between reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
