"""What the catalogue says of a model: its rules, its defaults, its architecture and its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cogmagic._models.inputs import Input, inputs_of
from cogmagic._models.packed import Packed

__all__ = [
    "DTYPES",
    "SCHEDULERS",
    "Architecture",
    "Dtype",
    "Frames",
    "Model",
    "Scheduler",
    "Sizes",
    "Stored",
    "Task",
]


Task = Literal["t2v", "i2v", "inp", "void"]
"""Text to video, picture to video, CogVideoX-Fun's inpainting, and object removal (VOID)."""
Dtype = Literal["float16", "bfloat16", "float32"]
Scheduler = Literal["ddim", "dpm"]

DTYPES: tuple[Dtype, ...] = ("float16", "bfloat16", "float32")
SCHEDULERS: tuple[Scheduler, ...] = ("ddim", "dpm")


@dataclass(frozen=True)
class Sizes:
    """Legal sizes in pixels: multiples of `multiple` whose sides lie in the given ranges."""

    short: tuple[int, int]
    long: tuple[int, int]
    multiple: int = 16
    exact: bool = False
    """Whether the native size is the only one, because positional embeddings are learned."""


@dataclass(frozen=True)
class Frames:
    """Legal frame counts: ``step * n + 1`` from `least` to `most`, or to `longest` in chunks."""

    default: int
    step: int
    least: int
    most: int
    longest: int = 0
    """The most frames of a clip that is made in chunks of at most `most`; 0 where none is."""

    def at_once(self) -> tuple[int, ...]:
        """The frame counts that are made without chunks, ascending."""
        return tuple(n for n in range(1, self.most + 1, self.step) if n >= self.least)

    def legal(self) -> tuple[int, ...]:
        """All legal frame counts, ascending."""
        return self.at_once() + tuple(range(self.most + self.step, self.longest + 1, self.step))

    def rule(self) -> str:
        """The rule as the field writes it, such as ``8N+1, 9 to 49``."""
        if self.least == self.most:
            return f"{self.most} only"
        rule = f"{self.step}N+1" if self.step > 1 else "any"
        return f"{rule}, {self.least} to {max(self.most, self.longest)}"


@dataclass(frozen=True)
class Architecture:
    """The values of ``transformer/config.json`` that tell one model of the family from another."""

    in_channels: int
    num_layers: int
    num_attention_heads: int
    attention_head_dim: int = 64
    patch_size_t: int | None = None
    learned_positions: bool = False
    rotary: bool = True
    """Whether positions rotate queries and keys (RoPE); else they are added to the tokens."""


@dataclass(frozen=True)
class Stored:
    """The precision of each component's files, None for the model's own; as the hub lists them."""

    text_encoder: Dtype | None = None
    transformer: Dtype | None = None
    vae: Dtype | None = "float32"  # in all published files
    packed: tuple[Packed, ...] = ()
    """The quantised layers of the components that have some."""


@dataclass(frozen=True)
class Model:
    """One model of the family: the rules of a request to it, and its defaults."""

    name: str
    source: str
    """The origin of the weights: a hub id, a folder, or ``embedded``, ``embedded-i2v``, …."""
    task: Task
    width: int
    height: int
    sizes: Sizes
    frames: Frames
    fps: int
    dtype: Dtype
    scheduler: Scheduler
    dynamic_guidance: bool
    """Whether the authors vary guidance along a cosine (``use_dynamic_cfg``), with DPM only."""
    architecture: Architecture
    num_inference_steps: int = 50
    guidance_scale: float = 6.0
    max_tokens: int = 226
    download_bytes: int = field(default=0, compare=False)
    """Approximate size of the download in bytes; 0 for models that need none."""
    transformer_file: str = ""
    """The one file of the transformer in the repository `source`, where that has no pipeline."""
    base: str = ""
    """The hub id of the pipeline that has the other components, where `source` has none."""
    also: tuple[str, ...] = ()
    """Other hub ids of the same checkpoint."""
    stored: Stored = Stored()

    @property
    def embedded(self) -> bool:
        """Whether the package contains the weights."""
        return self.source.startswith("embedded")

    @property
    def inputs(self) -> dict[str, Input]:
        """The inputs that a request may give beside the text, by name."""
        return inputs_of(self.task)

    @property
    def inpaints(self) -> bool:
        """Whether the transformer sees a masked video beside the noise."""
        return self.task in ("inp", "void")

    def takes(self, name: str) -> bool:
        """Whether the model takes an input of that name, such as ``image``."""
        return name in self.inputs
