"""Score the inpainting model on unseen clips, regions and prompts.

    python docs/embedded-model/evaluate_inp.py --model build/tiny-inp --device cpu

Prints, and writes as JSON, for each group of `heldout_inp.json`: whether the region is right,
whether what is kept is kept (a PSNR of at least 30 dB against the autoencoder's own round trip of
the clip without the shape that goes), and whether given frames are met (at least 25 dB against the
frames themselves).

A removal is right when the region shows what was behind the shape: at most 0.5 % of its pixels
differ by more than 40 (of RGB distance, 0..255) from the scene without the shape, and what remains
has its colour, shape and direction. In the other groups a clip is right when it shows the prompt's
colour, shape and direction. The same measures are taken of the finished clips as they were
rendered, after a round trip through the autoencoder, and of the clips that the model gets.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel

from clips import FRAMES
from conditioning import condition
from evaluate import chance, contact_sheet, to_uint8
from evaluate_i2v import arguments, described, evaluated
from inpaint_cases import Cases, rendered
from measure import MIN_CONTRAST, NOTHING, Reading, read_clip, score
from tokenizer import MAX_LENGTH

HERE = Path(__file__).parent
TINY = HERE.parents[1] / "cogmagic" / "models" / "tiny"
STEPS, GUIDANCE, NOISE = 20, 2.5, 0.0563
MIN_KEPT, MIN_MET = 30.0, 25.0  # dB
MAX_LEFT = 0.005  # share of a region's pixels that may differ from the scene without the shape


def load(base: str | Path, transformer: CogVideoXTransformer3DModel) -> CogVideoXPipeline:
    """The inpainting transformer on a text-to-video pipeline's other parts."""
    pipe = CogVideoXPipeline.from_pretrained(base, transformer=transformer, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def generate(
    pipe: CogVideoXPipeline,
    cases: Cases,
    steps: int,
    guidance: float,
) -> np.ndarray:
    """Clips of some cases, uint8 [N, F, H, W, 3], from CPU generators on every device."""
    device, dtype = pipe.transformer.device, pipe.transformer.dtype
    seeds = [torch.Generator().manual_seed(e["seed"]) for e in cases.entries]
    given, mask = cases.given.to(device), cases.mask.to(device)
    kept = torch.cat(
        [
            condition(pipe.vae, given[i : i + 1], mask[i : i + 1], NOISE, seeds[i])
            for i in range(len(seeds))
        ]
    ).repeat(2, 1, 1, 1, 1)
    text, empty = pipe.encode_prompt(
        [e["prompt"] for e in cases.entries],
        "",
        True,
        max_sequence_length=MAX_LENGTH,
        device=device,
    )
    text = torch.cat([empty, text])
    frames, height, width = kept.shape[1], *kept.shape[3:]
    latents = torch.cat([torch.randn(1, frames, 16, height, width, generator=g) for g in seeds])
    rotary = pipe._prepare_rotary_positional_embeddings(height * 8, width * 8, frames, device)
    scheduler = pipe.scheduler
    scheduler.set_timesteps(steps, device=device)
    latents = latents.to(device) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        both = torch.cat([torch.cat([latents, latents]), kept], dim=2).to(dtype)
        noise = pipe.transformer(
            both, text.to(dtype), t.expand(len(both)), image_rotary_emb=rotary, return_dict=False
        )[0].float()
        without, with_text = noise.chunk(2)
        noise = without + guidance * (with_text - without)
        latents = scheduler.step(noise, t, latents, return_dict=False)[0]
    return to_uint8(pipe.decode_latents(latents.to(pipe.vae.dtype)))


@torch.no_grad()
def round_trip(pipe: CogVideoXPipeline, clips: torch.Tensor) -> np.ndarray:
    """The autoencoder's round trip of clips [N, 3, F, H, W], as uint8 [N, F, H, W, 3]."""
    parts = [
        pipe.vae.decode(
            pipe.vae.encode(c.to(pipe.device, pipe.vae.dtype)).latent_dist.mode()
        ).sample
        for c in clips.split(1)
    ]
    return to_uint8(torch.cat(parts))


def decibels(clips: np.ndarray, wanted: np.ndarray, where: np.ndarray) -> np.ndarray:
    """PSNR of each clip over some pixels [N, F, H, W]; both clips uint8 [N, F, H, W, 3]."""
    error = np.square(clips.astype(np.float32) - wanted).mean(-1)
    mean = (error * where).sum((1, 2, 3)) / where.sum((1, 2, 3))
    return 10 * np.log10(255**2 / np.maximum(mean, 1e-6))


def left(clips: np.ndarray, truth: np.ndarray, made: np.ndarray) -> np.ndarray:
    """The share of each region's pixels that differ visibly from the scene without the shape."""
    distance = np.linalg.norm(clips.astype(np.float32) - truth, axis=-1)
    return ((distance > MIN_CONTRAST) * made).sum((1, 2, 3)) / made.sum((1, 2, 3))


def right(cases: Cases, clips: np.ndarray) -> tuple[np.ndarray, list[Reading]]:
    """Whether each clip shows what it must, and what was read from it."""
    readings = [read_clip(clip) for clip in clips]
    hits = np.array([r == w for r, w in zip(readings, wanted(cases), strict=True)])
    if cases.entries[0]["fill"] == "background":
        hits &= left(clips, to_uint8(cases.truth), made(cases)) <= MAX_LEFT
    return hits, readings


def wanted(cases: Cases) -> list[Reading]:
    """What is to be read from each finished clip."""
    return [Reading(*(e["wanted"] or NOTHING)) for e in cases.entries]


def made(cases: Cases) -> np.ndarray:
    """The pixels that are made new, [N, F, H, W]."""
    return cases.mask[:, 0].cpu().numpy()


def score_cases(cases: Cases, clips: np.ndarray, returned: np.ndarray) -> dict:
    """Scores of one group's generated clips; `returned` are round trips without what goes."""
    hits, readings = right(cases, clips)
    new, given = made(cases), to_uint8(cases.given)
    kept = decibels(clips, returned, 1 - new)
    scores = {
        "cases": len(hits),
        "right": _share(hits),
        "kept_psnr_db": _levels(kept, MIN_KEPT),
        "kept_against_the_pixels_psnr_db": _levels(decibels(clips, given, 1 - new), MIN_KEPT),
        "reading": score(readings, wanted(cases)),
        "shuffled": chance(readings, wanted(cases)),
    }
    fill = cases.entries[0]["fill"]
    if fill == "background":
        truth = to_uint8(cases.truth)
        scores["region_psnr_db"] = _levels(decibels(clips, truth, new), MIN_MET)
    if fill == "frames":
        scores |= _met(clips, given, new)
    scores["misses"] = [
        {"prompt": e["prompt"], "seed": e["seed"], "wanted": e["wanted"], "read": r, "kept": k}
        for e, r, k, hit in zip(cases.entries, readings, kept.round(2).tolist(), hits, strict=True)
        if not hit or k < MIN_KEPT
    ]
    return scores


def _met(clips: np.ndarray, given: np.ndarray, new: np.ndarray) -> dict:
    """How well the given frames are met: the worst of the first ones, and the last one."""
    frame = np.stack(
        [
            decibels(clips[:, i : i + 1], given[:, i : i + 1], 1 + 0 * new[:, :1])
            for i in range(FRAMES)
        ],
        axis=1,
    )
    free = new.any((2, 3))
    first = np.where(free.cumsum(1) > 0, np.inf, frame).min(1)
    scores = {"first_frames_psnr_db": _levels(first, MIN_MET)}
    if not free[:, -1].any():
        scores["last_frame_psnr_db"] = _levels(frame[:, -1], MIN_MET)
    return scores


def score_measure(cases: Cases, returned: np.ndarray) -> dict[str, float]:
    """The share of right clips among those rendered, their round trips, and the given ones."""
    if cases.entries[0]["fill"] == "shape":  # the finished clip is not rendered
        return {"given": _share(right(cases, to_uint8(cases.given))[0])}
    return {
        "rendered": _share(right(cases, to_uint8(cases.truth))[0]),
        "round_trip": _share(right(cases, returned)[0]),
        "given": _share(right(cases, to_uint8(cases.given))[0]),
    }


def _share(hits: np.ndarray) -> float:
    return round(float(hits.mean()), 4)


def _levels(values: np.ndarray, least: float) -> dict[str, float]:
    return {
        "mean": round(float(values.mean()), 2),
        "worst": round(float(values.min()), 2),
        "share": _share(values >= least),
    }


def table() -> dict[str, list[dict]]:
    """The held-out cases by group."""
    return json.loads((HERE / "heldout_inp.json").read_text())


def batched(
    pipe: CogVideoXPipeline, entries: list[dict], steps: int, guidance: float, batch: int
) -> tuple[Cases, np.ndarray, np.ndarray]:
    """Some cases, the clips generated for them, and round trips of the clips without what goes."""
    cases = rendered(entries)
    clips = [
        generate(pipe, rendered(entries[i : i + batch]), steps, guidance)
        for i in range(0, len(entries), batch)
    ]
    return cases, np.concatenate(clips), round_trip(pipe, cases.truth)


def scores_of(
    pipe: CogVideoXPipeline, steps: int, guidance: float, batch: int, every: int = 1
) -> dict:
    """Scores of each group on one case in `every`, without the list of misses."""
    scores = {}
    for group, entries in table().items():
        scores[group] = score_cases(*batched(pipe, entries[::every], steps, guidance, batch))
        for name in ("misses", "shuffled"):
            del scores[group][name]
    return scores


def main() -> None:
    """Parse the command line, evaluate, print and save."""
    args = arguments(__doc__, "tiny-inp", "cases", "clips of each group")
    pipe = evaluated(args, load)
    results = described(args, pipe)
    sheet = []
    # On a CPU the process's time, which other processes don't lengthen.
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    for group, every_entry in table().items():
        entries = every_entry[:: max(len(every_entry) // (args.limit or len(every_entry)), 1)]
        started = clock()
        cases, clips, returned = batched(pipe, entries, args.steps, args.guidance, args.batch)
        seconds = (clock() - started) / len(entries)
        results[group] = {
            "measure": score_measure(cases, returned),
            "seconds_per_clip": round(seconds, 2),
            **score_cases(cases, clips, returned),
        }
        print(json.dumps({group: results[group]}, indent=1), flush=True)
        given = to_uint8(cases.given)
        shown = np.where(made(cases)[..., None] > 0.5, given // 3, given)
        for i in range(0, len(clips), max(len(clips) // 4, 1)):
            sheet += [shown[i], clips[i]]
    if args.sheet:
        contact_sheet(sheet).save(args.sheet, optimize=True)
    if args.out:
        Path(args.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
