"""The table of options: the cell magic, its help, its completion, and every other interface."""

from __future__ import annotations

from typing import Any

from cogmagic._api.option import Option
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.gpu import gpu_count
from cogmagic._models.aliases import parse_size
from cogmagic._models.catalog import MODELS
from cogmagic._models.fitting import FITS
from cogmagic._models.model import DTYPES, SCHEDULERS
from cogmagic._models.presets import PRESETS
from cogmagic._models.timesteps import as_timesteps
from cogmagic._pipeline.attention.registry import KERNELS
from cogmagic._pipeline.step_cache import complete_step_cache
from cogmagic._pipeline.storage import storage_options
from cogmagic._pipeline.storage.quantised_forms import QUANTIZED_VALUES
from cogmagic._planning.memory_options import KEEPS, POLICIES, tier_names
from cogmagic._planning.speeds import SPEEDS
from cogmagic._video.formats.registry import complete_suffix

__all__ = ["cell_options", "without_run_options"]


_MODEL, _OUTPUT, _MEMORY, _MANY = "Generation", "Output", "Memory", "Several videos"


_OPTIONS: tuple[Option, ...] = (
    Option(
        "model",
        "short name, hub id or folder",
        _MODEL,
        "NAME",
        suggestions=tuple(m.name for m in MODELS),
    ),
    Option(
        "size",
        "width and height in pixels, such as 720x480",
        _MODEL,
        "WxH",
        convert=parse_size,
    ),
    Option(
        "num-frames",
        "number of frames; each model has its own rule",
        _MODEL,
        "N",
        int,
        aliases=("--frames",),
    ),
    Option("num-inference-steps", "denoising steps", _MODEL, "N", int, aliases=("--steps",)),
    Option(
        "guidance-scale",
        "how closely the video follows the prompt; 1 is no guidance",
        _MODEL,
        "G",
        float,
    ),
    Option(
        "guidance-from",
        "share of the steps after which guidance begins, 0 to 1; others take half the time",
        _MODEL,
        "SHARE",
        float,
    ),
    Option(
        "guidance-until",
        "share of the steps after which guidance ends, 0 to 1; others take half the time",
        _MODEL,
        "SHARE",
        float,
    ),
    Option("negative-prompt", "what the video should not show", _MODEL, "TEXT", spaces=True),
    Option("seed", "seed of the random numbers; a random one by default", _MODEL, "N", int),
    Option("scheduler", "denoising scheduler", _MODEL, "NAME", choices=SCHEDULERS),
    Option(
        "timesteps",
        "the steps' timesteps, descending from 999, such as 999,749,499,249; with ddim only",
        _MODEL,
        "LIST",
        convert=as_timesteps,
        spaces=True,
    ),
    Option(
        "preset",
        "few-step preset: adapter, scheduler, timesteps, steps and guidance in one",
        _MODEL,
        "NAME",
        suggestions=tuple(PRESETS),
        spaces=True,
    ),
    Option(
        "image",
        "first frame, for image-to-video: a path or a variable",
        _MODEL,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "video",
        "video to begin from, for video-to-video: a path or a variable",
        _MODEL,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option("strength", "share of the steps that change the video (0.8)", _MODEL, "S", float),
    Option("start", "seconds of the video to skip", _MODEL, "SECONDS", float),
    Option("fit", "how a video or first frame is fitted to the size", _MODEL, "NAME", choices=FITS),
    Option(
        "last-image",
        "last frame, for models that inpaint, beside --image or --extend",
        _MODEL,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option(
        "mask",
        "part of --video that is made new (white): a video, a picture, or a variable",
        _MODEL,
        "NAME-or-PATH",
        spaces=True,
    ),
    Option("invert-mask", "take white for what is kept, or the reverse", _MODEL),
    Option("paste-back", "keep the input's own pixels in what the mask keeps", _MODEL),
    Option("extend", "clip to go on from: path or variable", _MODEL, "NAME-or-PATH", spaces=True),
    Option("overlap", "frames that the clip and the new ones share (1)", _MODEL, "K", int),
    Option(
        "lora",
        "LoRA adapter: a .safetensors file, its folder, or owner/name on the hub, with its weight"
        " after @; may be repeated",
        _MODEL,
        "PATH-or-REPO[@WEIGHT]",
        multiple=True,
        spaces=True,
    ),
    Option("truncate", "cut a prompt that is longer than the model reads", _MODEL),
    Option(
        "prompts",
        "table of prompts and options, a video a row: .csv, .jsonl, .txt, or a variable",
        _MANY,
        "FILE-or-NAME",
        spaces=True,
    ),
    Option("seeds", "seeds of each prompt, a video each, such as 1,2,3", _MANY, "LIST"),
    Option(
        "num-videos",
        "videos of each prompt, their seeds counted up from the first",
        _MANY,
        "N",
        int,
    ),
    Option("dtype", "precision of the weights", _MEMORY, "NAME", choices=DTYPES),
    Option(
        "policy",
        "how auto chooses: by prediction, or by the published rule of thumb",
        _MEMORY,
        "NAME",
        choices=POLICIES,
    ),
    Option("gpus", "GPUs to use, by index or UUID, such as 0,2", _MEMORY, "LIST"),
    Option(
        "parallel",
        "GPUs that make one video together: a number, or all for as many as help",
        _MEMORY,
        "N",
        convert=gpu_count,
        suggestions=("all", "2", "4", "8"),
    ),
    Option(
        "vram-limit", "GiB of VRAM that this kernel may take", _MEMORY, "GIB", convert=gib_bytes
    ),
    Option(
        "speed",
        "exact: as diffusers; fast: equal within rounding; faster: fp8 products, another picture",
        _MEMORY,
        "NAME",
        choices=tuple(SPEEDS),
    ),
    Option("compile", "compile the transformer: slower once, then faster steps", _MEMORY),
    Option(
        "cache",
        "step cache, such as first-block:0.08: skip blocks that hardly change from step to step;"
        " another picture",
        _MEMORY,
        "NAME[:THRESHOLD]",
        complete=complete_step_cache,
    ),
    Option(
        "quantize",
        "text encoder, transformer or both in 8 or 4 bits: less memory; another picture",
        _MEMORY,
        "FORM[:COMPONENT]",
        suggestions=QUANTIZED_VALUES,
    ),
    Option("lean-decode", "decode with less memory; the same frames", _MEMORY),
    Option("guidance-halves", "denoise with and without the prompt in turn: less memory", _MEMORY),
    Option(
        "keep",
        "where weights stay after the run: on the GPU, in RAM, or nowhere",
        _MEMORY,
        "NAME",
        choices=KEEPS,
    ),
    Option("fps", "frames per second of the file", _OUTPUT, "N", int),
    Option("out", "variable for the Video", _OUTPUT, "NAME", aliases=("-o",), plans=False),
    Option(
        "save",
        "file (.mp4, .gif, .webm; .png for a folder of frames) or folder to write to",
        _OUTPUT,
        "PATH",
        complete=complete_suffix,
        spaces=True,
        plans=False,
    ),
    Option("overwrite", "replace the file that --save names", _OUTPUT, plans=False),
    Option("dry-run", "print the plan and run nothing", _OUTPUT, plans=False),
    Option("help", "print this manual", _OUTPUT, aliases=("-h",), plans=False),
)


def cell_options() -> tuple[Option, ...]:
    """Every option of a cell; tiers, weight storages and kernels are read from their registries."""
    tier = Option(
        "tier",
        "where the components are; auto takes the fastest tier that fits",
        _MEMORY,
        "NAME",
        choices=tier_names(),
    )
    storages = (Option(s.flag[2:], s.help, _MEMORY) for s in storage_options().values())
    attention = Option(
        "attention",
        "attention kernel in place of torch's, whatever the speed",
        _MEMORY,
        "NAME",
        choices=tuple(KERNELS),
    )
    at = {"policy": (tier,), "keep": tuple(storages), "cache": (attention,)}
    return tuple(row for o in _OPTIONS for row in (*at.get(o.name, ()), o))


def without_run_options(options: dict[str, Any]) -> dict[str, Any]:
    """Those of `options` that `cogmagic.plan` takes; a run's own are left out."""
    of_runs = {option.dest for option in _OPTIONS if not option.plans}
    return {name: value for name, value in options.items() if name not in of_runs}
