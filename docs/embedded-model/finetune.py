"""Training of a transformer with more input channels, from the text-to-video one.

`train_i2v.py` and `train_inp.py` are its command lines. The patch embedding of the finished
transformer is widened with zeros for the channels of the condition, so that the loss before the
first step is that of the text-to-video model. Autoencoder, text encoder and tokenizer stay as they
are; only the transformer is written. The state of a run is stored in `--state` every
`--check-every` seconds; if the file exists, the run continues from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from diffusers import CogVideoXTransformer3DModel, DiffusionPipeline
from torch import nn

from batches import NATIVE, OTHERS
from clips import FRAMES
from fast import Clock, GraphedLoss, Weights, working_dtype
from runs import TINY, Rows, State, save

SETTINGS = ((20, 2.5), (20, 1.0), (20, 4.0), (10, 2.5))  # steps and guidance tried at the end
Kind = tuple[int, int, int]


class Batches(Protocol):
    """Draws training batches: latents, noise, token ids, time steps and the condition's latents."""

    device: torch.device

    def draw(self, kind: Kind) -> tuple[torch.Tensor, ...]:
        """A batch of this kind (height, width, text length)."""


@dataclass(frozen=True)
class Task:
    """What the transformer learns: its additional channels, its data, its scores."""

    channels: int
    batches: Callable[..., Batches]
    """Called with the pipeline, clips, batch, device, seed and kinds."""
    load: Callable[[str | Path, CogVideoXTransformer3DModel], DiffusionPipeline]
    scores: Callable[..., dict[str, Any]]
    """Called with the pipeline, steps, guidance, batch, and one case in how many to score."""
    config: dict[str, Any]
    """More values of the transformer's configuration."""


def widened(
    transformer: CogVideoXTransformer3DModel, channels: int, **config: object
) -> CogVideoXTransformer3DModel:
    """The text-to-video transformer with more channels for a condition, whose weights are zero."""
    config |= {"in_channels": transformer.config.in_channels + channels}
    wide = CogVideoXTransformer3DModel.from_config({**transformer.config, **config})
    weights = transformer.state_dict()
    kernel = weights["patch_embed.proj.weight"]
    added = kernel.new_zeros(kernel.shape[0], channels, *kernel.shape[2:])
    weights["patch_embed.proj.weight"] = torch.cat([kernel, added], dim=1)
    wide.load_state_dict(weights)
    return wide


class Denoising:
    """The v-prediction loss of the transformer at one clip size."""

    def __init__(self, pipe: DiffusionPipeline, height: int, width: int) -> None:
        device = pipe.transformer.device
        self.pipe = pipe
        self.alphas = pipe.scheduler.alphas_cumprod.to(device)
        frames = (FRAMES - 1) // 4 + 1
        self.rotary = pipe._prepare_rotary_positional_embeddings(height, width, frames, device)

    def __call__(
        self,
        latents: torch.Tensor,
        noise: torch.Tensor,
        ids: torch.Tensor,
        times: torch.Tensor,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """Mean squared error of the velocity; latents, noise and condition are [B, F, C, H, W].

        A condition of fewer frames is padded with zeros.
        """
        signal = self.alphas[times].sqrt()[:, None, None, None, None]
        spread = (1 - self.alphas[times]).sqrt()[:, None, None, None, None]
        latents = latents.float()
        text = self.pipe.text_encoder(ids)[0]
        missing = latents.shape[1] - condition.shape[1]
        padded = nn.functional.pad(condition.float(), (0, 0, 0, 0, 0, 0, 0, missing))
        velocity = self.pipe.transformer(
            torch.cat([signal * latents + spread * noise, padded], dim=2).to(text.dtype),
            text,
            times,
            image_rotary_emb=self.rotary,
            return_dict=False,
        )[0]
        return (velocity.float() - (signal * noise - spread * latents)).square().mean()


class Probe:
    """The loss on one batch that training does not draw, with its condition and without."""

    def __init__(self, pipe: DiffusionPipeline, batches: Batches) -> None:
        self.parts = [part.split(64) for part in batches.draw(NATIVE)]
        self.loss = Denoising(pipe, *NATIVE[:2])

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        with torch.compiler.set_stance("force_eager"):
            pairs = [
                (self.loss(*part), self.loss(*part[:-1], torch.zeros_like(part[-1])))
                for part in zip(*self.parts, strict=True)
            ]
        with_condition, without = torch.tensor(pairs).mean(0).tolist()
        return {"loss": round(with_condition, 5), "loss_without": round(without, 5)}


def pipeline(args: argparse.Namespace, task: Task) -> DiffusionPipeline:
    """The embedded text-to-video pipeline's parts with the transformer to train."""
    base = CogVideoXTransformer3DModel.from_pretrained(args.base, subfolder="transformer").float()
    start = args.start and CogVideoXTransformer3DModel.from_pretrained(Path(args.start)).float()
    return task.load(args.base, start or widened(base, task.channels, **task.config))


def prepare_losses(
    pipe: DiffusionPipeline,
    batches: Batches,
    weights: Weights,
    kinds: tuple[Kind, ...],
) -> dict[Kind, GraphedLoss]:
    """The loss for each kind of batch, compiled and recorded on a GPU."""
    if batches.device.type == "cuda":
        for block in pipe.transformer.transformer_blocks:
            block.compile(dynamic=False)
    losses = {}
    for kind in kinds:
        with torch.compiler.set_stance("default" if kind == NATIVE else "force_eager"):
            loss = Denoising(pipe, *kind[:2])
            losses[kind] = GraphedLoss(loss, batches.draw(kind), weights.working)
    return losses


def train(args: argparse.Namespace, task: Task) -> None:
    """Train for `args.seconds` and write the transformer to `args.out`."""
    device, out = torch.device(args.device), Path(args.out)
    torch.manual_seed(args.seed)
    clock = Clock(args.seconds, args.rate, device, args.warmup)
    rows = Rows(out / "rows.jsonl", clock)
    pipe = pipeline(args, task)
    for part in (pipe.vae, pipe.text_encoder):
        part.to(device, working_dtype(device)).requires_grad_(False).eval()
    weights = Weights([pipe.transformer], device, args.decay, weight_decay=0.01)
    kinds = (NATIVE,) if args.native_only else (NATIVE, *OTHERS)
    batches = task.batches(pipe, args.clips, args.batch, device, args.seed + 100, kinds)
    probe = Probe(pipe, task.batches(pipe, args.probe, args.probe, device, 7, (NATIVE,)))
    rows.add(0, clips=args.clips)
    losses = prepare_losses(pipe, batches, weights, kinds)
    rows.add(0, ready=True, **probe())
    clock.begin()
    state = State(Path(args.state or out / "state.pt"), weights, clock)
    step = weights.steps if state.restore(device) else 0

    def check(steps: int, guidance: float, every: int) -> None:
        with weights.averaged(), torch.compiler.set_stance("force_eager"):
            scores = task.scores(pipe, steps, guidance, args.check_batch, every)
            rows.add(step, steps=steps, guidance=guidance, every=every, **probe(), scores=scores)

    running, since = torch.zeros((), device=device), 0
    reported = checked = clock.elapsed
    while not clock.over(step) and step < args.max_steps:
        other = kinds[1 + step // 10 % (len(kinds) - 1)] if len(kinds) > 1 else NATIVE
        kind = other if step % 10 == 9 else NATIVE
        value = losses[kind](*batches.draw(kind))
        weights.step(clock.rate(step))
        step += 1
        if kind == NATIVE:
            running += value
            since += 1
        if step % 20 == 0 and clock.elapsed - reported > args.every:
            reported = clock.elapsed
            rows.add(step, running=round(running.item() / since, 5), rate=clock.rate(step))
            running.zero_()
            since = 0
            if clock.elapsed - checked > args.check_every:
                checked = clock.elapsed
                save(pipe, weights, out)
                state.store()
                check(*SETTINGS[0], every=4)
    save(pipe, weights, out)
    state.store()
    with weights.averaged():
        rows.add(step, done=True, **probe())
    for steps, guidance in SETTINGS[: args.final_settings]:
        check(steps, guidance, every=1)


def parser(description: str, name: str) -> argparse.ArgumentParser:
    """The command line of a training that writes `build/NAME`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", default=f"build/{name}")
    parser.add_argument("--base", default=str(TINY), help="text-to-video pipeline to start from")
    parser.add_argument("--start", help="widened transformer to continue from (a folder)")
    parser.add_argument("--state", help="file of the run's state (default: OUT/state.pt)")
    parser.add_argument("--seconds", type=float, default=480, help="budget, preparations included")
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--warmup", type=int, default=200, help="steps")
    parser.add_argument("--decay", type=float, default=0.999)
    parser.add_argument("--clips", type=int, default=40000)
    parser.add_argument("--native-only", action="store_true", help="train at 96 x 96 alone")
    parser.add_argument("--probe", type=int, default=256, help="clips of the fixed batch")
    parser.add_argument("--every", type=float, default=15, help="seconds between reports")
    parser.add_argument("--check-every", type=float, default=90, help="seconds between scores")
    parser.add_argument("--check-batch", type=int, default=40, help="cases generated at once")
    parser.add_argument("--final-settings", type=int, default=len(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser
