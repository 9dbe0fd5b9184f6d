"""Stage 4: train the image-to-video transformer from the text-to-video one.

    python docs/embedded-model/train_i2v.py --out build/tiny-i2v

The patch embedding of the finished transformer is widened with zeros for the sixteen channels of
the first frame, which are padded with zeros in time, as `CogVideoXImageToVideoPipeline` does.
Autoencoder, text encoder and tokenizer stay as they are; only the transformer is written.
`--start FOLDER` continues from an image-to-video transformer. The state of a run is stored in
`--state` every `--check-every` seconds; if the file exists, the run continues from it.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from diffusers import CogVideoXImageToVideoPipeline, CogVideoXTransformer3DModel
from torch import nn

from batches import NATIVE, OTHERS
from clips import FRAMES
from evaluate_i2v import first_frames, load, scores_of
from fast import Clock, GraphedLoss, Weights, working_dtype
from pictures import PicturedBatches

HERE = Path(__file__).parent
TINY = HERE.parents[1] / "cogmagic" / "models" / "tiny"
SETTINGS = ((20, 2.5), (20, 1.0), (20, 4.0), (10, 2.5))  # steps and guidance tried at the end


def widened(transformer: CogVideoXTransformer3DModel) -> CogVideoXTransformer3DModel:
    """The text-to-video transformer with as many channels for a picture, whose weights are zero."""
    channels = transformer.config.in_channels
    config = {**transformer.config, "in_channels": 2 * channels}
    wide = CogVideoXTransformer3DModel.from_config(config)
    weights = transformer.state_dict()
    kernel = weights["patch_embed.proj.weight"]
    weights["patch_embed.proj.weight"] = torch.cat([kernel, torch.zeros_like(kernel)], dim=1)
    wide.load_state_dict(weights)
    return wide


class Denoising:
    """The v-prediction loss of the transformer at one clip size."""

    def __init__(self, pipe: CogVideoXImageToVideoPipeline, height: int, width: int) -> None:
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
        picture: torch.Tensor,
    ) -> torch.Tensor:
        """Mean squared error of the velocity; latents and noise [B, F, C, H, W], picture F = 1."""
        signal = self.alphas[times].sqrt()[:, None, None, None, None]
        spread = (1 - self.alphas[times]).sqrt()[:, None, None, None, None]
        latents = latents.float()
        text = self.pipe.text_encoder(ids)[0]
        padding = (0, 0, 0, 0, 0, 0, 0, latents.shape[1] - 1)  # width, height, channels, frames
        padded = nn.functional.pad(picture.float(), padding)
        velocity = self.pipe.transformer(
            torch.cat([signal * latents + spread * noise, padded], dim=2).to(text.dtype),
            text,
            times,
            image_rotary_emb=self.rotary,
            return_dict=False,
        )[0]
        return (velocity.float() - (signal * noise - spread * latents)).square().mean()


class Probe:
    """The loss on one batch that training does not draw, with its pictures and without them."""

    def __init__(
        self, pipe: CogVideoXImageToVideoPipeline, size: int, device: torch.device
    ) -> None:
        batch = PicturedBatches(pipe, size, size, device, seed=7, kinds=(NATIVE,)).draw(NATIVE)
        self.parts = [part.split(64) for part in batch]
        self.loss = Denoising(pipe, *NATIVE[:2])

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        with torch.compiler.set_stance("force_eager"):
            pairs = [
                (self.loss(*part), self.loss(*part[:-1], torch.zeros_like(part[-1])))
                for part in zip(*self.parts, strict=True)
            ]
        with_picture, without = torch.tensor(pairs).mean(0).tolist()
        return {"loss": round(with_picture, 5), "loss_without_picture": round(without, 5)}


def save(pipe: CogVideoXImageToVideoPipeline, weights: Weights, out: Path) -> None:
    """Write the transformer with the averaged weights in float16, and the pipeline's index."""
    transformer = copy.deepcopy(pipe.transformer).float()
    with torch.no_grad():
        torch._foreach_copy_(list(transformer.parameters()), weights.average)
    transformer.half().save_pretrained(out / "transformer")
    config = out / "transformer" / "config.json"
    content = json.loads(config.read_text())
    content.pop("_name_or_path", None)  # say nothing of this machine's folders
    config.write_text(json.dumps(content, indent=2) + "\n")
    index = json.loads((TINY / "model_index.json").read_text())
    index["_class_name"] = type(pipe).__name__
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


class State:
    """A run's stored state: weights, their average, the optimiser, and the time it has taken."""

    def __init__(self, file: Path, weights: Weights, clock: Clock) -> None:
        self.file, self.weights, self.clock = file, weights, clock

    def store(self) -> None:
        """Write the state; a run that is stopped meanwhile leaves the state before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        torch.save(
            {
                "master": self.weights.master,
                "average": self.weights.average,
                "optimiser": self.weights.optimiser.state_dict(),
                "steps": self.weights.steps,
                "elapsed": self.clock.elapsed,
                "begun": self.clock.begun,
            },
            part,
        )
        part.replace(self.file)

    def restore(self, device: torch.device) -> bool:
        """Continue from the stored state; False where there is none."""
        if not self.file.is_file():
            return False
        stored = torch.load(self.file, map_location=device)
        weights, clock = self.weights, self.clock
        with torch.no_grad():
            torch._foreach_copy_(weights.master, stored["master"])
            torch._foreach_copy_(weights.average, stored["average"])
            torch._foreach_copy_(weights.working, stored["master"])
        weights.optimiser.load_state_dict(stored["optimiser"])
        weights.steps = stored["steps"]
        clock.start = time.monotonic() - stored["elapsed"]  # preparing again does not count
        clock.begun = stored["begun"]
        clock.read()
        return True


def pipeline(args: argparse.Namespace) -> CogVideoXImageToVideoPipeline:
    """The embedded text-to-video pipeline with the transformer to train."""
    base = CogVideoXTransformer3DModel.from_pretrained(args.base, subfolder="transformer").float()
    start = args.start and CogVideoXTransformer3DModel.from_pretrained(Path(args.start)).float()
    return load(args.base, start or widened(base))


def prepare_losses(
    pipe: CogVideoXImageToVideoPipeline,
    batches: PicturedBatches,
    weights: Weights,
    kinds: tuple[tuple[int, int, int], ...],
) -> dict[tuple[int, int, int], GraphedLoss]:
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


class Rows:
    """The run's measurements, one JSON object a line, printed as well."""

    def __init__(self, file: Path, clock: Clock) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file, self.clock = file, clock

    def add(self, step: int, **values: object) -> None:
        row = json.dumps({"seconds": round(self.clock.read(), 1), "step": step, **values})
        print(row, flush=True)
        with self.file.open("a") as stream:
            stream.write(row + "\n")


def train(args: argparse.Namespace) -> None:
    """Train for `args.seconds` and write the transformer to `args.out`."""
    device, out = torch.device(args.device), Path(args.out)
    torch.manual_seed(args.seed)
    clock = Clock(args.seconds, args.rate, device, args.warmup)
    rows = Rows(out / "rows.jsonl", clock)
    pipe = pipeline(args)
    for part in (pipe.vae, pipe.text_encoder):
        part.to(device, working_dtype(device)).requires_grad_(False).eval()
    weights = Weights([pipe.transformer], device, args.decay, weight_decay=0.01)
    kinds = (NATIVE,) if args.native_only else (NATIVE, *OTHERS)
    batches = PicturedBatches(pipe, args.clips, args.batch, device, args.seed + 100, kinds)
    probe = Probe(pipe, args.probe, device)
    rows.add(0, clips=args.clips)
    losses = prepare_losses(pipe, batches, weights, kinds)
    rows.add(0, ready=True, **probe())
    clock.begin()
    state = State(Path(args.state or out / "state.pt"), weights, clock)
    step = weights.steps if state.restore(device) else 0
    pairs = first_frames(json.loads((HERE / "heldout_i2v.json").read_text()))

    def check(steps: int, guidance: float, every: int) -> None:
        with weights.averaged(), torch.compiler.set_stance("force_eager"):
            scores = scores_of(pipe, pairs, steps, guidance, args.check_batch, every)
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


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/tiny-i2v")
    parser.add_argument("--base", default=str(TINY), help="text-to-video pipeline to start from")
    parser.add_argument("--start", help="image-to-video transformer to continue from (a folder)")
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
    parser.add_argument("--check-batch", type=int, default=40, help="pairs generated at once")
    parser.add_argument("--final-settings", type=int, default=len(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
