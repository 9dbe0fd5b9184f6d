"""What the measuring scripts share: rows of a file, facts of the machine, and one measured run."""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PROMPT = "a red circle moves"
PACKAGES = ("torch", "triton", "diffusers", "transformers", "accelerate", "fa3-fwd")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


def append(path: Path, row: Mapping[str, Any]) -> None:
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def facts(*packages: str) -> dict[str, Any]:
    """Card, versions, command and date, as every row has them."""
    import torch

    return {
        "card": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "versions": {p: installed(p) for p in (*PACKAGES, *packages) if installed(p)},
        "command": command(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def fresh_cache() -> Path:
    """Let cogmagic know no probes and past runs: predictions are those of a new machine."""
    folder = Path(tempfile.mkdtemp())
    os.environ["COGMAGIC_CACHE"] = str(folder)
    return folder


def size_options(size: str) -> dict[str, int]:
    """The options of WIDTHxHEIGHTxFRAMES; none for an empty size."""
    if not size:
        return {}
    return dict(zip(("width", "height", "num_frames"), map(int, size.split("x")), strict=True))


class Outputs:
    """The latents and the frames of cogmagic's last run, before encoding to a file."""

    def __init__(self) -> None:
        from cogmagic._pipeline import generate

        self.latents: Any = None
        self.frames: Any = None
        decode = generate._decode

        def decoding(pipe: Any, latents: Any, *args: Any, **options: Any) -> Any:
            self.latents = latents.float().cpu()
            self.frames = decode(pipe, latents, *args, **options)
            return self.frames

        generate._decode = decoding


class Runs:
    """Runs requests of one model in this process, and measures each."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.name = Path(model).name
        self.scratch = Path(tempfile.mkdtemp()) / "clip.mp4"
        self.first: float | None = None
        """Seconds from the last call to the end of its first step."""

    def measure(self, **options: Any) -> dict[str, Any]:
        """One run's settings, predictions and measurements; of a run that failed, its error."""
        import cogmagic
        from cogmagic._pipeline.prompt_cache import PromptCache

        PromptCache.clear()  # the prompt is the same each time, and encoding is part of a run
        row: dict[str, Any] = {}
        began = time.monotonic()
        starts: dict[str, float] = {}
        self.first = None

        def follow(progress: cogmagic.Progress) -> None:
            starts.setdefault(progress.phase, time.monotonic() - began)
            if progress.phase == "denoise" and progress.done == 1:
                self.first = time.monotonic() - began

        try:
            video = cogmagic.generate(
                PROMPT, model=self.model, save=self.scratch, overwrite=True, on_progress=follow,
                **{"seed": 42} | options,
            )  # fmt: skip
        except Exception as error:  # whatever it is, the other rows are wanted
            row["error"] = f"{type(error).__name__}: {error}"[:300]
        else:
            report = video.report
            row |= {
                "size": f"{video.width}x{video.height}x{video.num_frames}",
                "tier": report.tier,
                "dtype": report.dtype,
                "options": list(report.options),
                "reason": report.reason,
                "predicted": dict(report.predicted),
                "allocated": report.own_peak,
                "phases": dict(report.peak_phases),
                "reserved": max(report.peak_reserved.values(), default=None),
                "ram": report.peak_ram,
                "step_seconds": report.step_seconds,
                "seconds": dict(report.seconds),
                "starts": starts,
                "total": report.total_seconds,
                "frames": report.frames_sha256,
            }
            if report.split:
                row |= {
                    "split": report.split,
                    "peaks": list(report.peak_ranks),
                    "predicted_peaks": list(report.predicted_ranks),
                }
        gc.collect()
        return row | {"wall": time.monotonic() - began}


def off(row: Mapping[str, Any], predicted: str, measured: str) -> float | None:
    """How far a prediction of a row is off, as a share of what was measured; None if unknown."""
    expected, actual = row.get("predicted", {}).get(predicted), row.get(measured)
    return expected / actual - 1 if expected and actual else None


def shown(row: Mapping[str, Any]) -> str:
    """A row in a line: step, total and peak, each with how far the prediction is off."""
    if "error" in row:
        return str(row["error"])
    names = (
        ("step_seconds", "step_seconds"),
        ("seconds", "total"),
        ("peak_allocated", "allocated"),
    )
    parts = []
    for predicted, measured in names:
        value, share = row.get(measured), off(row, predicted, measured)
        unit = "GiB" if measured == "allocated" else "s"
        amount = (
            "n/a" if value is None else f"{value / 2**30 if unit == 'GiB' else value:.3f} {unit}"
        )
        parts.append(f"{measured} {amount}" + (f" ({share:+.1%})" if share is not None else ""))
    return ", ".join(parts)


def relative(one: Any, other: Any) -> float:
    """The norm of the difference of two tensors, as a share of the second one's norm."""
    return float((one - other).norm() / other.norm())


def differences(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Greatest and mean difference of two clips of uint8 frames, of 255; PSNR in dB, or None."""
    greatest, total, squares = 0, 0.0, 0.0
    for a, b in zip(one, other, strict=True):  # frame by frame: whole clips would take gigabytes
        delta = np.abs(a.astype(np.int16) - b)
        greatest, total = max(greatest, int(delta.max())), total + float(delta.sum())
        squares += float(np.square(delta, dtype=np.float32).sum(dtype=np.float64))
    psnr = float(10 * np.log10(255**2 * one.size / squares)) if squares else None
    return {"greatest": greatest, "mean": total / one.size, "psnr": psnr}
