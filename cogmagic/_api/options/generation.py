"""The options of a cell that say what is generated: model, size, steps, inputs."""

from __future__ import annotations

from cogmagic._api.options.option import Option
from cogmagic._models.aliases import parse_size
from cogmagic._models.catalog import MODELS
from cogmagic._models.fitting import FITS
from cogmagic._models.model import SCHEDULERS
from cogmagic._models.presets import PRESETS
from cogmagic._models.timesteps import as_timesteps

__all__ = ["GENERATION_OPTIONS"]


_GROUP = "Generation"


GENERATION_OPTIONS: tuple[Option, ...] = (
    Option(
        "model",
        "short name, hub id or folder in diffusers' format; by default tiny, which is in the"
        " package",
        _GROUP,
        "NAME",
        suggestions=tuple(m.name for m in MODELS),
    ),
    Option(
        "size",
        "width and height in pixels, such as 720x480; by default the model's native size",
        _GROUP,
        "WxH",
        convert=parse_size,
    ),
    Option(
        "num-frames",
        "number of frames; each model has its own rule",
        _GROUP,
        "N",
        int,
        aliases=("--frames",),
    ),
    Option(
        "num-inference-steps", "denoising steps, 1 to 1000", _GROUP, "N", int, aliases=("--steps",)
    ),
    Option(
        "guidance-scale",
        "how closely the video follows the prompt, 1 (no guidance) to 20",
        _GROUP,
        "G",
        float,
    ),
    Option(
        "guidance-from",
        "share of the steps after which guidance begins, 0 to 1; the steps before it take half"
        " the time; another picture",
        _GROUP,
        "SHARE",
        float,
    ),
    Option(
        "guidance-until",
        "share of the steps after which guidance ends, 0 to 1; the steps after it take half the"
        " time; another picture",
        _GROUP,
        "SHARE",
        float,
    ),
    Option("negative-prompt", "what the video should not show", _GROUP, "TEXT", spaces=True),
    Option(
        "seed",
        "seed of the random numbers; by default a random one, shown and stored with the video",
        _GROUP,
        "N",
        int,
    ),
    Option(
        "scheduler",
        "denoising scheduler; by default the choice of the model's authors",
        _GROUP,
        "NAME",
        choices=SCHEDULERS,
    ),
    Option(
        "timesteps",
        "timesteps of the steps, descending from 999 at most, such as 999,749,499,249; with ddim"
        " only",
        _GROUP,
        "LIST",
        convert=as_timesteps,
        spaces=True,
    ),
    Option(
        "preset",
        "few-step preset: adapter, scheduler, timesteps, steps and guidance in one; or one of"
        " your own",
        _GROUP,
        "NAME",
        suggestions=tuple(PRESETS),
        spaces=True,
    ),
    Option(
        "image",
        "first frame, with models that take one: a path or a variable",
        _GROUP,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "video",
        "video to begin from, or of which --mask marks a part: a path or a variable",
        _GROUP,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "strength",
        "share of the steps that denoise the video, above 0 and at most 1; by default 0.8, with"
        " models that inpaint their authors' own",
        _GROUP,
        "S",
        float,
    ),
    Option("start", "seconds to skip at the beginning of the video", _GROUP, "SECONDS", float),
    Option(
        "fit",
        "how a video (by default crop) or a first frame (by default stretch) is fitted to the size",
        _GROUP,
        "NAME",
        choices=FITS,
    ),
    Option(
        "last-image",
        "last frame, with models that inpaint, beside --image or --extend: a path or a variable",
        _GROUP,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "mask",
        "part of --video that is made new (white), as a video or picture: a path or a variable",
        _GROUP,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option("invert-mask", "swap the meaning of the mask's white and black", _GROUP),
    Option(
        "paste-back",
        "keep the input's own pixels wherever the mask, or the given frames, keep them",
        _GROUP,
    ),
    Option(
        "extend",
        "clip to continue, with image-to-video and inpainting models: a path or a variable",
        _GROUP,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "overlap",
        "frames that the clip and the new ones share, from 1 (the default)",
        _GROUP,
        "K",
        int,
    ),
    Option(
        "lora",
        "LoRA adapter: a .safetensors file, its folder, or owner/name on the hub, with its weight"
        " after @; may be repeated",
        _GROUP,
        "PATH-or-REPO[@WEIGHT]",
        multiple=True,
        spaces=True,
    ),
    Option("truncate", "cut a prompt that is longer than the model reads", _GROUP),
)
