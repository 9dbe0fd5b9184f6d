"""What each speed, and each part of one, changes in the picture.

    python docs/benchmarks/quality.py --dtype bfloat16            # clips of the embedded model
    python docs/benchmarks/quality.py --passes 2b,5b,1.5-5b       # on a GPU: one pass at real size
    python docs/benchmarks/quality.py --table                     # the stored rows as tables

Clips: held-out prompts and seeds, each made by ``exact`` and by every other way; PSNR and SSIM are
those of the clip to the exact one (mean over frames and colours), and colour, shape and direction
are read off it as in docs/embedded-model. "another seed" is the distance of two unrelated clips.

Passes: the transformer of a catalogue model with random weights at its native size, once; the
relative difference of its output to the eager one's, ``|a - b| / |b|``.

Each row is written at once, and rows that are in the file already are not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from quality_passes import PASSES, passes

import cogmagic
from cogmagic._pipeline.attention.registry import KERNELS
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._planning import resolved

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "embedded-model"))

WAYS: dict[str, dict[str, Any]] = {
    "exact": {},
    "another seed": {"seed": 1},
    "compiled": {"compile": True},
    **{f"attention {name}": {"attention": name} for name in KERNELS},
    "fp8 storage": {"fp8": True, "products": False},
    "fp8 products": {"fp8": True, "products": True},
    **{
        f"quantize {value}": {"quantize": value}
        for value in ("int8", "int8:text_encoder", "nf4", "nf4:text_encoder")
    },
    "fast": {"speed": "fast"},
    "faster": {"speed": "faster", "products": True},
    "step cache": {"cache": "first-block"},
}
"""The options of each way; ``products`` says which of the two storages ``--fp8`` means, and
``seed`` is added to the prompt's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=60, help="held-out prompts")
    parser.add_argument("--dtype", default="float32", help="of the embedded model's clips")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--passes", default="", help="models, such as 2b,5b,1.5-5b; no clips then")
    parser.add_argument("--ways", default="", help="some of the ways, separated by semicolons")
    parser.add_argument("--toy", action="store_true", help="passes of two blocks of a short clip")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "quality.jsonl")
    args = parser.parse_args()
    rows = Rows(args.out)
    if args.table:
        print(*tables(rows.rows), sep="\n")
        return
    chosen = [way for way in args.ways.split(";") if way]
    if args.passes:
        for model in args.passes.split(","):
            passes(rows, model, chosen or list(PASSES), toy=args.toy)
    else:
        Clips(rows, args.prompts, args.steps, args.dtype).make(chosen or list(WAYS))
    print(*tables(rows.rows), sep="\n")


class Rows:
    """The file of rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path.is_file() else []
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.card = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"

    def has(self, **key: Any) -> bool:
        """Whether a row of this card has these values."""
        key["card"] = self.card
        return any(all(row.get(name) == value for name, value in key.items()) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Write a row."""
        versions = f"cogmagic {cogmagic.__version__}, torch {torch.__version__}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.rows.append(row | {"card": self.card, "versions": versions, "date": now})
        with self.path.open("a") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")


class Clips:
    """The embedded model's clips of the held-out prompts."""

    def __init__(self, rows: Rows, prompts: int, steps: int, dtype: str) -> None:
        heldout = HERE.parent / "embedded-model" / "heldout.json"
        self.entries = json.loads(heldout.read_text())["prompts"][:prompts]
        self.rows, self.steps, self.dtype = rows, steps, dtype
        self.exact: dict[str, Any] = {}

    def make(self, ways: list[str]) -> None:
        """Make the clips of each way that the file lacks, all prompts of a way in a row."""
        for way in ways:
            print(f"{way}:", flush=True)
            for entry in self.entries:
                key = {"kind": "clip", "way": way, "prompt": entry["prompt"]}
                key |= {"steps": self.steps, "dtype": self.dtype}
                if not self.rows.has(**key):
                    row = self._row(way, entry)
                    self.rows.add(**key, **row)
                    if "error" in row:  # of the machine, so that of all prompts
                        print(f"  {row['error']}")
                        break

    def _row(self, way: str, entry: dict[str, Any]) -> dict[str, Any]:
        from measure import read_clip

        if entry["prompt"] not in self.exact:
            self.exact[entry["prompt"]] = self._frames(entry, {})[0]
        try:
            frames, report = self._frames(entry, dict(WAYS[way]))
        except (cogmagic.CogMagicError, TypeError) as error:  # of an option that is not there yet
            return {"error": str(error)[:200]}
        exact = self.exact[entry["prompt"]]
        return {
            "psnr": psnr(frames, exact),
            "ssim": ssim(frames, exact),
            "identical": bool((frames == exact).all()),
            "read": list(read_clip(frames)),
            "wanted": [entry[name] for name in ("colour", "shape", "direction")],
            "options": list(report.options),
        }

    def _frames(self, entry: dict[str, Any], options: dict[str, Any]) -> tuple[Any, Any]:
        """The frames, and the run's report."""
        PromptCache.clear()
        seed, products = entry["seed"] + options.pop("seed", 0), options.pop("products", None)
        means = mock.patch.object(resolved, "has_fp8_products", return_value=products)
        with (
            tempfile.TemporaryDirectory() as folder,
            means if products is not None else nullcontext(),
        ):
            video = cogmagic.generate(
                entry["prompt"], seed=seed, save=Path(folder) / "clip.png", dtype=self.dtype,
                num_inference_steps=self.steps, progress=False, **options,
            )  # fmt: skip
            return video.frames(), video.report


def psnr(clip: Any, exact: Any) -> float | None:
    """Peak signal-to-noise ratio in dB; None for equal clips, whose ratio is infinite."""
    error = float(np.square(clip.astype(np.float64) - exact).mean())
    return 10 * np.log10(255**2 / error) if error else None


def ssim(clip: Any, exact: Any) -> float:
    """Structural similarity (Wang et al., IEEE Transactions on Image Processing 13, 2004).

    With their Gaussian window of 11×11 (deviation 1.5), K1 = 0.01 and K2 = 0.03, within the frame,
    of each colour of each frame; the mean of all.
    """
    a, b = (torch.from_numpy(c.astype(np.float64)).permute(0, 3, 1, 2) for c in (clip, exact))
    a, b = (c.reshape(-1, 1, *c.shape[2:]) for c in (a, b))
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2)[None, None]
    mean_a, mean_b, aa, bb, ab = (
        torch.nn.functional.conv2d(x, window) for x in (a, b, a * a, b * b, a * b)
    )
    small, smaller = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    likeness = (2 * mean_a * mean_b + small) * (2 * (ab - mean_a * mean_b) + smaller)
    scale = (mean_a**2 + mean_b**2 + small) * (aa - mean_a**2 + bb - mean_b**2 + smaller)
    return float((likeness / scale).mean())


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """The stored rows as Markdown, one line for each way and card."""
    from measure import score

    clips = [r for r in rows if r["kind"] == "clip" and "error" not in r]
    if clips:
        yield "| way | clips | PSNR mean (least), dB | SSIM | colour | shape | direction | all |"
        yield "|---|---|---|---|---|---|---|---|"
    for key in dict.fromkeys((r["way"], r["dtype"], r["steps"], r["card"]) for r in clips):
        mine = [r for r in clips if (r["way"], r["dtype"], r["steps"], r["card"]) == key]
        ratios = [r["psnr"] for r in mine if r["psnr"] is not None]
        ratio = f"{np.mean(ratios):.1f} ({min(ratios):.1f})" if ratios else "identical"
        shares = score([r["read"] for r in mine], [tuple(r["wanted"]) for r in mine])
        cells = " | ".join(f"{share:.0%}" for share in shares.values())
        name = f"{key[0]} ({key[1]}, {key[2]} steps, {key[3]})"
        likeness = np.mean([r["ssim"] for r in mine])
        yield f"| {name} | {len(mine)} | {ratio} | {likeness:.4f} | {cells} |"
    ways = [r for r in rows if r["kind"] == "pass" and "error" not in r]
    if ways:
        yield "\n| model | way | relative difference |\n|---|---|---|"
    for r in ways:
        yield f"| {r['model']} | {r['way']} | {r['difference']:.1e} |"


if __name__ == "__main__":
    main()
