"""Report of a run: its settings and measurements, small and without tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogmagic._models.request import Request

__all__ = ["Report", "metadata", "request_facts"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Settings and measurements of one run. Bytes and seconds."""

    tier: str
    reason: str
    device: str
    dtype: str
    warning: str = ""
    """What may be wrong with the video: words that the model does not know; empty without any."""
    preset: str = ""
    """The preset of the request; empty without one."""
    options: tuple[str, ...] = ()
    """Options that change memory or speed: ``compile``, ``lean_decode``, ``fp8``…"""
    storage: str = ""
    """The weight storage that the GPU allowed, such as ``fp8 products``; empty where the options
    say it all."""
    speedups: tuple[str, ...] = ()
    """What made it faster than diffusers' own pipeline: ``compile``, ``decode``, ``fa3``…"""
    adapters: tuple[str, ...] = ()
    """LoRA adapters, each with its weight and scale."""
    fitted: str = ""
    """How much of the input was cut off to fit the size; empty for nothing."""
    cropped: tuple[int, int] | None = None
    """Width and height of a masked video whose bars (``--fit pad``) are cut off; None for the
    request's."""
    masked: str = ""
    """What the mask's white was taken for, and how much changes; empty without a mask."""
    extends: str = ""
    """The file of the clip that the video goes on from; empty for frames in memory, too."""
    extended: tuple[int, int] | None = None
    """Frames of that clip, and new ones after them; None without a clip."""
    split: str = ""
    """The processes that made it together, such as ``2 GPUs (guidance 2 x tokens 1)``; empty for
    one."""
    differs: str = ""
    """What may differ from a run on one GPU; empty for nothing."""
    device_map: Mapping[str, int] = field(default_factory=dict)
    """Component → GPU, for a run over several GPUs."""
    peak_allocated: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, the peak of tensors (``torch.cuda.max_memory_allocated``)."""
    peak_ranks: tuple[int, ...] = ()
    """Per rank of a split run, the peak of tensors on its GPU; empty without GPUs."""
    predicted_ranks: tuple[int, ...] = ()
    """The plan's prediction of `peak_ranks`."""
    held_before: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, this kernel's other tensors when the run began; part of each peak."""
    peak_reserved: Mapping[int, int] = field(default_factory=dict)
    """Per GPU, the peak that torch's allocator reserved, caching included."""
    peak_phases: Mapping[str, int] = field(default_factory=dict)
    """Per phase, the peak of tensors on any one GPU."""
    peak_ram: int | None = None
    """The most private host memory of the process, without mapped files, at the end of any phase;
    the notebook's own included. Of a split run, that of all workers together."""
    step_seconds: float | None = None
    """Median seconds of a denoising step, without the first one; with a guidance interval their
    mean; None for a single step."""
    reused_steps: tuple[int, int] | None = None
    """Steps that reused an earlier one, by the step cache among `options`, and all steps, both in
    `tier`; None without a step cache."""
    guided_steps: tuple[int, int] | None = None
    """Steps with guidance, by the guidance interval, and all steps; None where they are the same,
    or none has guidance."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Per phase that happened."""
    predicted: Mapping[str, float | None] = field(default_factory=dict)
    """The plan's predictions: ``peak_allocated`` and ``peak_ram`` (bytes), ``step_seconds`` and
    ``seconds``; None where unknown."""
    frames_sha256: str = ""
    """Digest of the uint8 RGB frames before encoding: equal digests are identical videos. Where a
    clip is extended, that of the new frames, the overlap included."""
    revision: str | None = None
    kept: str = ""
    """Where the weights are after the run."""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def peak_vram(self) -> int | None:
        """The highest `peak_allocated` of any GPU in bytes; None on a machine without one."""
        return max(self.peak_allocated.values(), default=None)

    @property
    def own_peak(self) -> int | None:
        """`peak_vram` without `held_before`: the peak that a plan predicts."""
        before = self.held_before
        return max((n - before.get(i, 0) for i, n in self.peak_allocated.items()), default=None)

    @property
    def total_seconds(self) -> float:
        """Seconds of all phases together."""
        return sum(self.seconds.values())

    @property
    def reuse(self) -> str:
        """The reused steps in words, such as ``12 of 50 steps reused``; empty without a cache."""
        return "{} of {} steps reused".format(*self.reused_steps) if self.reused_steps else ""

    @property
    def extension(self) -> str:
        """What was extended, such as ``extended from a.mp4: 49 + 48 frames``; else empty."""
        if self.extended is None:
            return ""
        source = f" from {Path(self.extends).name}" if self.extends else ""
        return "extended{}: {} + {} frames".format(source, *self.extended)

    @property
    def interval(self) -> str:
        """The guided steps in words, such as ``guidance in 25 of 50 steps``; else empty."""
        return "guidance in {} of {} steps".format(*self.guided_steps) if self.guided_steps else ""

    def facts(self) -> dict[str, Any]:
        """All fields as plain values, for a file's metadata."""
        return asdict(self)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Report:
        """The report with these `facts`, as JSON has them; unknown ones are left out."""
        names = {f.name for f in fields(cls)}
        known = {name: value for name, value in facts.items() if name in names}
        for name in ("peak_allocated", "held_before", "peak_reserved"):
            known[name] = {int(gpu): n for gpu, n in known.get(name, {}).items()}
        lists = {name: tuple(value) for name, value in known.items() if isinstance(value, list)}
        return cls(**known | lists)


def metadata(
    request: Request, report: Report, asked: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Metadata of a video's file: enough to make the video again.

    Args:
        request: what was made.
        report: how it was made.
        asked: options about memory that the report has in other words: tier, parallel.
    """
    inputs: dict[str, Any] = {"last_image": request.last_image is not None}
    inputs |= {"video": request.video.shown} if request.video and request.video.files else {}
    inputs |= {"mask": request.mask.path} if request.mask else {}
    options = {"dtype": request.dtype, "truncate": request.truncate, **inputs, **(asked or {})}
    given = {name: value for name, value in options.items() if value}
    return {**request_facts(request), **report.facts(), "asked": given}


def request_facts(request: Request) -> dict[str, Any]:
    """What a request asks for, as plain values; of inputs, none.

    An interval and switches are among them only where they are set: a batch begun without them can
    go on.
    """
    r, interval = request, {}
    switches = {name: True for name in ("invert_mask", "paste_back") if getattr(r, name)}
    if r.partly_guided:
        interval = {"guidance_from": r.guidance_from, "guidance_until": r.guidance_until}
    return {
        "prompt": r.prompt,
        "negative_prompt": r.negative_prompt,
        "model": r.model.name,
        "source": r.model.source if not Path(r.model.source).is_absolute() else "local folder",
        "seed": r.seed,
        "width": r.width,
        "height": r.height,
        "num_frames": r.num_frames,
        "fps": r.fps,
        "num_inference_steps": r.num_inference_steps,
        "guidance_scale": r.guidance_scale,
        **interval,
        "scheduler": r.scheduler,
        "timesteps": r.timesteps,
        "loras": [{"name": a.name, "weight": a.weight, "scales": a.scales} for a in r.loras],
        **({"fit": r.fit} if r.inputs else {}),
        **({"overlap": r.overlap} if r.extend else {}),
        **switches,
        **({"strength": r.strength, "start": r.start} if r.video else {}),
    }
