"""Stage 3: train the diffusion transformer on the finished autoencoder and text encoder.

    torchrun --nproc-per-node 2 docs/embedded-model/train_transformer.py --out build/tiny

reads build/tiny/vae and build/tiny/text_encoder and writes the whole pipeline to build/tiny;
plain `python` trains on one GPU.
`--start FOLDER` continues from a pipeline. Clips are rendered and encoded once; captions are
tokenized and encoded exactly as `CogVideoXPipeline` does (padded, no mask).
"""

from __future__ import annotations

import argparse
import json
import os
import random
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKLCogVideoX,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
)
from torch import distributed

from batches import NATIVE, OTHERS, Batches
from captions import describe
from clips import FRAMES, sample_attributes, training_combinations
from fast import Clock, GraphedLoss, Weights, working_dtype
from measure import read_clip, score
from model import build_pipeline, build_transformer, save
from tokenizer import MAX_LENGTH

SETTINGS = ((20, 2.5), (10, 2.5), (20, 4.0), (20, 6.0))  # steps and guidance tried at the end
HERE = Path(__file__).parent


class Denoising:
    """The v-prediction loss of the transformer at one clip size."""

    def __init__(self, pipe: CogVideoXPipeline, height: int, width: int) -> None:
        device = pipe.transformer.device
        self.pipe = pipe
        self.alphas = pipe.scheduler.alphas_cumprod.to(device)
        frames = (FRAMES - 1) // 4 + 1
        self.rotary = pipe._prepare_rotary_positional_embeddings(height, width, frames, device)

    def __call__(
        self, latents: torch.Tensor, noise: torch.Tensor, ids: torch.Tensor, times: torch.Tensor
    ) -> torch.Tensor:
        """Mean squared error of the velocity; latents and noise are [B, F, C, H, W]."""
        kept = self.alphas[times].sqrt()[:, None, None, None, None]
        lost = (1 - self.alphas[times]).sqrt()[:, None, None, None, None]
        latents = latents.float()
        text = self.pipe.text_encoder(ids)[0]
        velocity = self.pipe.transformer(
            (kept * latents + lost * noise).to(text.dtype),
            text,
            times,
            image_rotary_emb=self.rotary,
            return_dict=False,
        )[0]
        return (velocity.float() - (kept * noise - lost * latents)).square().mean()


@torch.no_grad()
def generate_and_score(
    pipe: CogVideoXPipeline, entries: list[dict], steps: int, guidance: float
) -> dict[str, float]:
    """Generate one clip per entry in one batch and score them."""
    with torch.compiler.set_stance("force_eager"):
        frames = pipe(
            [e["prompt"] for e in entries],
            num_inference_steps=steps,
            guidance_scale=guidance,
            max_sequence_length=MAX_LENGTH,
            generator=[torch.Generator().manual_seed(e["seed"]) for e in entries],
            output_type="np",
        ).frames
    readings = [read_clip((clip * 255).round()) for clip in frames]
    return score(readings, [(e["colour"], e["shape"], e["direction"]) for e in entries])


def seen_entries(count: int) -> list[dict]:
    """Prompts for combinations that are in training, to choose settings on."""
    rng = random.Random(99)
    attributes = sample_attributes(count, training_combinations(), rng)
    return [
        {
            "prompt": describe(combination, size, ground, rng, partial=0.0),
            "seed": 5000 + i,
            **dict(zip(("colour", "shape", "direction"), combination, strict=True)),
        }
        for i, (combination, size, ground) in enumerate(attributes)
    ]


def train(args: argparse.Namespace) -> None:
    """Train for `args.seconds` and save the pipeline to `args.out`."""
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    device, out = torch.device(args.device), Path(args.out)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
    torch.manual_seed(args.seed)  # the same first weights in every process
    vae = AutoencoderKLCogVideoX.from_pretrained(args.vae or out / "vae")
    if args.start:
        transformer = CogVideoXTransformer3DModel.from_pretrained(Path(args.start) / "transformer")
    else:
        channels = vae.config.latent_channels
        transformer = build_transformer(channels, args.layers, args.time_embed_dim)
    pipe = build_pipeline(vae, args.text or str(out / "text_encoder"), transformer)
    for part in (pipe.vae, pipe.text_encoder):
        part.to(device, working_dtype(device)).requires_grad_(False).eval()
    weights = Weights([pipe.transformer], device, args.decay, weight_decay=0.01)
    modules = [pipe.text_encoder, pipe.transformer]
    counts = [sum(p.numel() for p in m.parameters()) for m in (vae, *modules)]
    print("parameters: VAE {:,}, text encoder {:,}, transformer {:,}".format(*counts), flush=True)

    clock = Clock(args.seconds, args.rate, device)
    torch.manual_seed(args.seed + rank)
    batches = Batches(pipe, args.clips, args.batch, device, args.seed + 100 * rank)
    print(f"{clock.read():5.0f} s  {args.clips} clips encoded", flush=True)
    if device.type == "cuda":
        for block in pipe.transformer.transformer_blocks:
            block.compile(dynamic=False)
    losses = {}
    for kind in (NATIVE, *OTHERS):
        stance = "default" if kind == NATIVE else "force_eager"
        with torch.compiler.set_stance(stance):
            loss = Denoising(pipe, *kind[:2])
            losses[kind] = GraphedLoss(loss, batches.draw(kind), weights.working)
        print(f"{clock.read():5.0f} s  ready for {kind}", flush=True)
    if processes > 1:  # only now: recording a graph and talking to other processes do not mix
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    clock.begin()

    groups = {
        "seen": seen_entries(96),
        "held out": json.loads((HERE / "heldout.json").read_text())["prompts"][::2],
    }
    reported = checked = clock.elapsed
    running = torch.zeros((), device=device)
    since = step = 0
    while not clock.over(step) and step < args.max_steps:
        kind = OTHERS[step // 10 % len(OTHERS)] if step % 10 == 9 else NATIVE
        value = losses[kind](*batches.draw(kind))
        weights.step(clock.rate(step))
        step += 1
        if kind == NATIVE:
            running += value
            since += 1
        if rank == 0 and step % 20 == 0 and clock.elapsed - reported > args.every:
            reported = clock.elapsed
            print(f"{reported:5.0f} s  step {step}  loss {running.item() / since:.4f}", flush=True)
            running.zero_()
            since = 0
            if clock.elapsed - checked > args.check_every:
                checked = clock.elapsed
                save(pipe, weights, out)
                with weights.averaged():
                    result = generate_and_score(pipe, groups["seen"], *SETTINGS[0])
                print(f"  seen: {result}", flush=True)
    if processes > 1:
        distributed.destroy_process_group()
    if rank > 0:
        return
    save(pipe, weights, out)
    print(f"{clock.read():5.0f} s  {step} steps, saved", flush=True)
    with weights.averaged():
        for name, entries in groups.items():
            for steps, guidance in SETTINGS:
                result = generate_and_score(pipe, entries, steps, guidance)
                print(f"  {name}, {steps} steps, guidance {guidance}: {result}", flush=True)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/tiny")
    parser.add_argument("--vae", help="folder of the autoencoder (default: OUT/vae)")
    parser.add_argument("--text", help="folder of the text encoder (default: OUT/text_encoder)")
    parser.add_argument("--start", help="pipeline folder whose transformer to continue from")
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.999)
    parser.add_argument("--clips", type=int, default=60000)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--time-embed-dim", type=int, default=64)
    parser.add_argument("--every", type=float, default=15, help="seconds between reports")
    parser.add_argument("--check-every", type=float, default=100, help="seconds between scores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
