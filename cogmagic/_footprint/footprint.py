"""How many bytes and operations each phase of a request needs, predicted before anything runs.

For the catalogue's models this reads kept traces (`_curves`); for any other checkpoint it traces
the modules that its configurations describe, on the meta device (`_passes`). Here the passes are
put together as the pipeline runs them. Bytes are what torch's allocator hands out; the workspaces
of cuBLAS and cuDNN, which depend on the card, come on top.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from cogmagic._errors import CheckpointError, first_line
from cogmagic._footprint.configs import Configs, configs_of, same, table, tokens_of
from cogmagic._footprint.curves import Part, Profile, kept
from cogmagic._footprint.tiling import Tiling, clip_of, ends
from cogmagic._footprint.vae import decode, encode_image
from cogmagic._footprint.work import Work, work_of
from cogmagic._models.catalog import MODELS, Dtype, Model
from cogmagic._models.request import Request

__all__ = ["Footprint", "footprint", "text_encoder_bytes"]


@dataclass(frozen=True)
class Footprint:
    """What a request needs in one dtype, phase by phase."""

    text_encoder: Part
    transformer: Part
    vae: Part
    encode: Work
    """One prompt through the text encoder; with guidance there are two, one after the other."""
    encode_image: Work | None
    """The first frame of image-to-video through the VAE's encoder."""
    denoise: Work
    """One step: both prompts in one batch with guidance, the prompt alone without."""
    decode: Work
    """The whole clip through the VAE's decoder, tile by tile, and put together."""
    tokens: int
    """Text and video tokens per batch item."""


def footprint(
    request: Request,
    dtype: Dtype,
    folder: Path | None = None,
    *,
    halves: bool = False,
    lean: bool = False,
) -> Footprint:
    """What `request` needs when its model is loaded in `dtype`.

    A model of the catalogue takes milliseconds and needs no torch. A `folder` whose configurations
    are none of the catalogue's takes seconds.

    Args:
        request: what to generate.
        dtype: what the components are loaded in.
        folder: the checkpoint, needed where the catalogue does not know the architecture.
        halves: whether guidance goes one prompt after the other.
        lean: whether decoding keeps fewer tensors alive.

    Raises:
        ValueError: for an architecture outside the catalogue without a folder.
        CheckpointError: when the folder's configurations describe nothing that can be built.
    """
    configs = configs_of(folder) if folder else {}
    name = same(configs) if folder else _kept_name(request.model)
    if name is not None:
        profile, configs = kept(name, dtype), table()["models"][name]["configs"]
        return _footprint(request, dtype, profile, configs, halves=halves, lean=lean)
    if not configs:
        raise ValueError(f"{request.model.name} is not in the catalogue: name its folder")
    with _buildable(request.model.source):
        profile = _traced(request, dtype, configs)
        return _footprint(request, dtype, profile, configs, halves=halves, lean=lean)


@contextmanager
def _buildable(source: str) -> Iterator[None]:
    """Whatever torch and diffusers say of configurations that do not go together, in one line."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(
            f"{source}: its configurations describe no CogVideoX that can be built ({said})."
            " Download or copy it again."
        ) from None


_TRACED: dict[str, Profile] = {}
"""The last foreign architectures: a plan asks for several numbers of frames and two dtypes."""


_TRACES = 4


def _traced(request: Request, dtype: Dtype, configs: Configs) -> Profile:
    """The curves of a foreign architecture at the request's size, over numbers of frames."""
    from cogmagic._footprint.passes import profile

    tiling = Tiling.of(request, configs)
    tiles = ends(tiling.tiles())
    image = request.model.task == "i2v"
    images = [(h * tiling.scale, w * tiling.scale) for h, w in tiles] if image else []
    batches = (2, 1) if request.guidance_scale > 1.0 else (1,)  # whether in halves or not
    key = json.dumps([configs, dtype, tiles, tiling.size, images, batches], default=str)
    if key not in _TRACED:
        counts = request.model.frames.legal()
        picked = sorted({*counts[:: max(len(counts) // 3, 1)], counts[-1]})
        clips = [clip_of(replace(request, num_frames=n), configs) for n in picked]
        traced = profile(configs, dtype, clips, tiles, images, batches)
        while len(_TRACED) >= _TRACES:
            del _TRACED[next(iter(_TRACED))]
        _TRACED[key] = traced
    return _TRACED[key]


def text_encoder_bytes(request: Request, dtype: Dtype, folder: Path | None = None) -> int:
    """What the text encoder weighs in `dtype`; like `footprint`, but without tracing any pass."""
    configs = configs_of(folder) if folder else {}
    if not configs or same(configs) is not None:
        return footprint(request, dtype, folder).text_encoder.weights
    import torch

    from cogmagic._footprint.passes import build

    with _buildable(request.model.source):
        module = build("text_encoder", configs["text_encoder"], getattr(torch, dtype))
        tensors = (*module.parameters(), *module.buffers())
        return sum(t.numel() * t.element_size() for t in tensors)


def _kept_name(model: Model) -> str | None:
    """The catalogue's model of that architecture, by the rule that identifies folders."""
    wanted = model.architecture, model.max_tokens
    return next((m.name for m in MODELS if (m.architecture, m.max_tokens) == wanted), None)


def _footprint(
    request: Request, dtype: Dtype, profile: Profile, configs: Configs, *, halves: bool, lean: bool
) -> Footprint:
    tokens = configs["transformer"]["max_text_seq_length"]
    tokens += tokens_of(configs["transformer"], clip_of(request, configs))
    batch = 2 if request.guidance_scale > 1.0 else 1
    a, b, c = profile.denoise_operations[batch]
    image = profile.encode_image
    # In halves, what goes in and comes out is there for both.
    beside = 2 * 4 * prod(clip_of(request, configs)) * configs["vae"]["latent_channels"]
    alive = profile.denoise[1 if halves else batch](tokens)
    return Footprint(
        text_encoder=profile.text_encoder,
        transformer=profile.transformer,
        vae=profile.vae,
        encode=work_of(profile.encode, profile.encode_operations, profile),
        encode_image=encode_image(request, dtype, image, profile, configs) if image else None,
        denoise=work_of(
            alive, a + b * tokens + c * tokens**2, profile, beside if halves and batch > 1 else 0
        ),
        decode=decode(request, dtype, profile, configs, lean=lean),
        tokens=tokens,
    )
