"""The CogVideoX family as data: each model's rules and defaults. Nothing is read or loaded.

Figures are those of the models' cards and of the authors' own scripts: zai-org/CogVideo (README
"Model Introduction" and ``inference/cli_demo.py``), aigc-apps/VideoX-Fun
(``examples/cogvideox_fun``) and Netflix/void-model (``config/quadmask_cogvideox.py`` and
``inference/cogvideox_fun/predict_v2v.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cogmagic._errors import RequestError, did_you_mean
from cogmagic._models.family import VOID_LONGEST, VOID_MOST
from cogmagic._models.model import Architecture, Frames, Model, Sizes, Stored

__all__ = ["MODELS", "by_other_name", "catalogued", "names_void", "nearest", "unknown_model"]


# 1.0 was trained at 720×480 alone, but its positions stretch to other sizes; 1.5 takes any size
# up to its native one (model cards). Below 256 pixels neither gives a usable picture.
_FREE_SIZES = Sizes(short=(256, 768), long=(256, 1360))


_V1_FRAMES = Frames(default=49, step=8, least=9, most=49)


_V15_FRAMES = Frames(default=81, step=16, least=17, most=161)


# CogVideoX 1.5 denoises latent frames in pairs, so the authors' numbers are 8N+5, such as 85.
# Others are padded at the end.
_V15_INP_FRAMES = Frames(default=85, step=4, least=9, most=85)


_FUN = "alibaba-pai/CogVideoX-Fun-V1."


# All files of CogVideoX-Fun are in 16 bits.
_FUN_STORED = Stored(vae=None)


MODELS: tuple[Model, ...] = (
    Model(
        name="tiny", source="embedded", task="t2v", width=96, height=96,
        sizes=Sizes(short=(64, 256), long=(64, 256)),
        frames=Frames(default=17, step=8, least=9, most=33), fps=8, dtype="float32",
        scheduler="ddim", dynamic_guidance=False, num_inference_steps=20, guidance_scale=2.5,
        max_tokens=64, architecture=Architecture(16, 8, 6, 32),
    ),
    Model(
        name="tiny-i2v", source="embedded-i2v", task="i2v", width=96, height=96,
        sizes=Sizes(short=(64, 256), long=(64, 256)),
        frames=Frames(default=17, step=8, least=9, most=33), fps=8, dtype="float32",
        scheduler="ddim", dynamic_guidance=False, num_inference_steps=20, guidance_scale=2.5,
        max_tokens=64, architecture=Architecture(32, 8, 6, 32),
    ),
    Model(
        name="tiny-inp", source="embedded-inp", task="inp", width=96, height=96,
        sizes=Sizes(short=(64, 256), long=(64, 256)),
        frames=Frames(default=17, step=8, least=9, most=33), fps=8, dtype="float32",
        scheduler="ddim", dynamic_guidance=False, num_inference_steps=20, guidance_scale=2.5,
        max_tokens=64, architecture=Architecture(33, 8, 6, 32),
    ),
    Model(
        name="2b", source="zai-org/CogVideoX-2b", also=("THUDM/CogVideoX-2b",), task="t2v",
        width=720, height=480, sizes=_FREE_SIZES, frames=_V1_FRAMES, fps=8, dtype="float16",
        scheduler="ddim", dynamic_guidance=False, download_bytes=13_770_000_000,
        architecture=Architecture(16, 30, 30, rotary=False),
    ),
    Model(
        name="5b", source="zai-org/CogVideoX-5b", also=("THUDM/CogVideoX-5b",), task="t2v",
        width=720, height=480, sizes=_FREE_SIZES, frames=_V1_FRAMES, fps=8, dtype="bfloat16",
        scheduler="dpm", dynamic_guidance=True, download_bytes=21_500_000_000,
        architecture=Architecture(16, 42, 48),
    ),
    Model(
        name="5b-i2v", source="zai-org/CogVideoX-5b-I2V", also=("THUDM/CogVideoX-5b-I2V",),
        task="i2v", width=720, height=480, sizes=Sizes((480, 480), (720, 720), exact=True),
        # Other counts run but give noise (diffusers issue 9467).
        frames=Frames(default=49, step=8, least=49, most=49), fps=8, dtype="bfloat16",
        scheduler="dpm", dynamic_guidance=True, download_bytes=21_600_000_000,
        architecture=Architecture(32, 42, 48, learned_positions=True),
    ),
    Model(
        name="1.5-5b", source="zai-org/CogVideoX1.5-5B", also=("THUDM/CogVideoX1.5-5B",),
        task="t2v", width=1360, height=768, sizes=_FREE_SIZES, frames=_V15_FRAMES, fps=16,
        dtype="bfloat16", scheduler="dpm", dynamic_guidance=True, download_bytes=31_100_000_000,
        architecture=Architecture(16, 42, 48, patch_size_t=2), stored=Stored("float32"),
    ),
    Model(
        name="1.5-5b-i2v", source="zai-org/CogVideoX1.5-5B-I2V",
        also=("THUDM/CogVideoX1.5-5B-I2V",), task="i2v", width=1360, height=768,
        sizes=Sizes(short=(768, 768), long=(768, 1360)), frames=_V15_FRAMES, fps=16,
        dtype="bfloat16", scheduler="dpm", dynamic_guidance=True, download_bytes=31_100_000_000,
        architecture=Architecture(32, 42, 48, patch_size_t=2), stored=Stored("float32"),
    ),
    Model(
        name="2b-inp", source=f"{_FUN}1-2b-InP", task="inp", width=720, height=480,
        # Elsewhere the authors stretch the table of positions, and diffusers computes another.
        sizes=Sizes((480, 480), (720, 720), exact=True), frames=_V1_FRAMES, fps=8,
        dtype="bfloat16", scheduler="ddim", dynamic_guidance=False, download_bytes=13_350_000_000,
        architecture=Architecture(33, 30, 30, rotary=False), stored=_FUN_STORED,
    ),
    Model(
        name="5b-inp", source=f"{_FUN}1-5b-InP", task="inp", width=672, height=384,
        sizes=_FREE_SIZES, frames=_V1_FRAMES, fps=8, dtype="bfloat16", scheduler="ddim",
        dynamic_guidance=False, download_bytes=21_100_000_000,
        architecture=Architecture(33, 42, 48), stored=_FUN_STORED,
    ),
    Model(
        name="1.5-5b-inp", source=f"{_FUN}5-5b-InP", task="inp", width=672, height=384,
        sizes=_FREE_SIZES, frames=_V15_INP_FRAMES, fps=8, dtype="bfloat16", scheduler="ddim",
        dynamic_guidance=False, download_bytes=21_100_000_000,
        architecture=Architecture(33, 42, 48, patch_size_t=2), stored=_FUN_STORED,
    ),
    Model(
        # 30 steps are hard-coded in the authors' script; their configuration and README say 50.
        name="void", source="netflix/void-model", transformer_file="void_pass1.safetensors",
        base=f"{_FUN}5-5b-InP", task="void", width=672, height=384, sizes=_FREE_SIZES,
        frames=Frames(VOID_MOST, step=1, least=2, most=VOID_MOST, longest=VOID_LONGEST), fps=12,
        dtype="bfloat16", scheduler="ddim", dynamic_guidance=False, num_inference_steps=30,
        guidance_scale=1.0,
        download_bytes=21_100_000_000, architecture=Architecture(48, 42, 48, patch_size_t=2),
        stored=_FUN_STORED,
    ),
)  # fmt: skip


def catalogued(name: str) -> Model | None:
    """The catalogue's model of a short name or hub id (in any case), or None."""
    lowered = name.lower()
    for model in MODELS:
        if lowered in {model.name, model.source.lower(), *(a.lower() for a in model.also)}:
            return model
    return None


def by_other_name(name: str) -> Model | None:
    """The model that people call by parts of its hub id: ``CogVideoX-5b``, ``5B``, ``1.5``."""
    words = re.sub(r"[\s_-]+", "-", name.strip().lower()).replace("image-to-video", "i2v")
    short = re.sub(r"^cogvideo-?x?-?|-?(t2v|text-to-video)$", "", words)
    short = re.sub(r"^fun-(v?1\.1-)?|-model$|-pass-?1$", "", short)
    short = re.sub(r"^v?(1\.5)(?=-i2v|-inp|$)", r"\1-5b", short)
    short = re.sub(r"^v(?=\d)", "", short)
    return next((m for m in MODELS if m.name == short and not m.embedded), None)


def nearest(
    name: str, task: str | None = None, transformer: Mapping[str, Any] | None = None
) -> Model:
    """The published model that is most like a checkpoint, such as ``1.5-5b`` for any 1.5.

    Args:
        name: a folder or hub id, which suggests the task and the size.
        task: the task that the model must have; by default, the one that the name suggests.
        transformer: the transformer's configuration, which determines the size.
    """
    config = transformer or {}
    words = re.split(r"[/\\]", name.lower().rstrip("/\\"))[-1]
    is_v15 = config.get("patch_size_t") == 2 or re.search(r"1\.5-5b|[xv]1\.5", words)
    generation = "1.5-" if is_v15 else ""
    task = task or next((t for pattern, t in _WORDS if re.search(pattern, words)), "t2v")
    is_2b = config.get("num_attention_heads") == 30 or re.search(r"(?<!\d)2b", words)
    size = "2b" if is_2b and task in ("t2v", "inp") and not generation else "5b"
    model = f"{generation}{size}" + f"-{task}" * (task in ("i2v", "inp"))
    return next(m for m in MODELS if m.name == ("void" if task == "void" else model))


_WORDS = (
    (r"void", "void"),
    (r"inp\b|inpaint", "inp"),
    (r"i2v|image[-_]?to[-_]?video", "i2v"),
)
"""Words in a name, and the task that they suggest."""


_PASS_2 = re.compile(r"void.*pass[\W_]*(2|two)\b", re.I)

_VOID_ID = re.compile(r"netflix/void[-_.]*(model)?s?", re.I)


def names_void(name: str) -> bool:
    """Whether a hub id or path that is not in the catalogue can only mean VOID."""
    return bool(_PASS_2.search(name) or _VOID_ID.fullmatch(name))


def unknown_model(name: str) -> RequestError:
    """The error for a name that is neither in the catalogue, a folder, nor a hub id."""
    names = [m.name for m in MODELS]
    if _PASS_2.search(name):
        return RequestError(
            f"{name[:100]!r} is VOID's second pass, which refines a first result from noise that is"
            " warped along the optical flow. cogmagic does not support it; the first pass removes"
            " the object: --model void"
        )
    near = " Did you mean 'void'?" if "void" in name.lower() else did_you_mean(name, names)
    return RequestError(
        f"Unknown model {name!r}.{near} Known: {', '.join(names)};"
        " or give a hub id (owner/name) or a folder."
    )
