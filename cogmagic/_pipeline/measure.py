"""The measured facts of a run, as its report and its video state them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._machine.allocator import Peaks
from cogmagic._models.fitting_remarks import part_without_bars
from cogmagic._models.request import Request
from cogmagic._progress import Clock
from cogmagic._video.extension import Earlier, Extended
from cogmagic._video.report import Report
from cogmagic._video.video import Video

if TYPE_CHECKING:
    import numpy as np

__all__ = ["as_extended", "video_of", "with_measurements"]


def with_measurements(
    report: Report, request: Request, clock: Clock, peaks: Peaks, frames: np.ndarray[Any, Any]
) -> Report:
    """The report with peaks, seconds and the digest of the frames.

    The clock goes on adding to `seconds`: saving is a phase, too.
    """
    part = part_without_bars(request)
    partly, guided = request.partly_guided, len(request.guided_steps)
    return replace(
        report,
        guided_steps=(guided, request.denoising_steps) if partly else None,
        peak_allocated=peaks.allocated,
        peak_reserved=peaks.reserved,
        peak_phases=dict(peaks.phases),
        peak_ram=peaks.ram,
        step_seconds=clock.step_seconds("denoise", mean=partly),
        seconds=clock.seconds,
        cropped=(part.width, part.height) if part else None,
        frames_sha256=hashlib.sha256(frames.tobytes()).hexdigest(),
    )


def as_extended(report: Report, earlier: Earlier, video: Extended) -> Report:
    """The report of a video that goes on from a clip; the digest is that of the new frames."""
    return replace(
        report,
        extends=earlier.clip.shown if earlier.clip.files else "",
        extended=earlier.counts,
        frames_sha256=hashlib.sha256(video.new.tobytes()).hexdigest(),
    )


def video_of(path: Path, request: Request, report: Report, num_frames: int) -> Video:
    """The video of a request, written to `path` or about to be."""
    width, height = report.cropped or (request.width, request.height)
    return Video(
        path=path,
        prompt=request.prompt,
        model=request.model.name,
        width=width,
        height=height,
        num_frames=num_frames,
        fps=request.fps,
        seed=request.seed,
        report=report,
    )
