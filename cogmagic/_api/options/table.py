"""The table of options: the cell magic, its help, its completion, and every other interface."""

from __future__ import annotations

from typing import Any

from cogmagic._api.options.generation import GENERATION_OPTIONS
from cogmagic._api.options.option import Option
from cogmagic._machine.amounts import gib_bytes
from cogmagic._machine.gpu import gpu_count
from cogmagic._models.model import DTYPES
from cogmagic._pipeline.attention.registry import KERNELS
from cogmagic._pipeline.step_cache import complete_step_cache
from cogmagic._pipeline.storage import storage_options
from cogmagic._pipeline.storage.quantised_forms import QUANTIZED_VALUES
from cogmagic._planning.memory_options import KEEPS, POLICIES, tier_names
from cogmagic._planning.speeds import SPEEDS
from cogmagic._video.formats.registry import complete_suffix

__all__ = ["cell_options", "without_run_options"]


_OUTPUT, _MEMORY, _MANY = "Output", "Memory", "Several videos"


_OPTIONS: tuple[Option, ...] = (
    *GENERATION_OPTIONS,
    Option(
        "prompts",
        "table of prompts and options, a video a row: .csv, .jsonl, .txt, or a variable",
        _MANY,
        "FILE-or-NAME",
        spaces=True,
    ),
    Option(
        "seeds", "seeds, such as 1,2,3: a video of each prompt with each of them", _MANY, "LIST"
    ),
    Option(
        "num-videos",
        "videos of each prompt; their seeds count up from the first",
        _MANY,
        "N",
        int,
    ),
    Option(
        "dtype",
        "precision of the weights; by default the model's own",
        _MEMORY,
        "NAME",
        choices=DTYPES,
    ),
    Option(
        "policy",
        "how the tier is chosen: by prediction (auto), or by the published rule of thumb",
        _MEMORY,
        "NAME",
        choices=POLICIES,
    ),
    Option(
        "gpus",
        "GPUs that may be used, by index or UUID, such as 0,2; a run on one GPU takes the one of"
        " them with the most free VRAM",
        _MEMORY,
        "LIST",
    ),
    Option(
        "parallel",
        "GPUs that make one video together (by default one): a number, or all for as many as"
        " make it faster",
        _MEMORY,
        "N",
        convert=gpu_count,
        suggestions=("all", "2", "4", "8"),
    ),
    Option(
        "vram-limit",
        "GiB of VRAM that this kernel may take, 0.5 to 4096, its other tensors included",
        _MEMORY,
        "GIB",
        convert=gib_bytes,
    ),
    Option(
        "speed",
        "exact: as diffusers, bit for bit; fast: equal within rounding; faster: with fp8"
        " products, another picture",
        _MEMORY,
        "NAME",
        choices=tuple(SPEEDS),
    ),
    Option("compile", "compile the transformer: slower once, then faster steps", _MEMORY),
    Option(
        "cache",
        "step cache, such as first-block:0.08: skips most of the work of steps that change"
        " little; another picture",
        _MEMORY,
        "NAME[:THRESHOLD]",
        complete=complete_step_cache,
    ),
    Option(
        "quantize",
        "store the text encoder, the transformer or both in 8 or 4 bits: less memory; another"
        " picture",
        _MEMORY,
        "FORM[:COMPONENT]",
        suggestions=QUANTIZED_VALUES,
    ),
    Option("lean-decode", "decode with less memory; the same frames", _MEMORY),
    Option(
        "guidance-halves",
        "denoise with the prompt and without it one after the other: less memory",
        _MEMORY,
    ),
    Option(
        "keep",
        "where the weights stay after the run: on the GPU (hot), in RAM (warm, the default) or"
        " nowhere (cold)",
        _MEMORY,
        "NAME",
        choices=KEEPS,
    ),
    Option(
        "fps",
        "frames per second of the file (of a GIF at most 50); by default the model's own",
        _OUTPUT,
        "N",
        int,
    ),
    Option(
        "out", "variable that receives the Video", _OUTPUT, "NAME", aliases=("-o",), plans=False
    ),
    Option(
        "save",
        "file (.mp4, .gif, .webm; .png for a folder of frames) or existing folder; by default"
        " cogvideo-<time>-<seed>.mp4 in the working directory",
        _OUTPUT,
        "PATH",
        complete=complete_suffix,
        spaces=True,
        plans=False,
    ),
    Option(
        "overwrite",
        "replace the file that --save names; a folder only if it holds nothing but frames",
        _OUTPUT,
        plans=False,
    ),
    Option("dry-run", "print the plan and run nothing", _OUTPUT, plans=False),
    Option("help", "print this manual", _OUTPUT, aliases=("-h",), plans=False),
)


def cell_options() -> tuple[Option, ...]:
    """Every option of a cell; tiers, weight storages and kernels are read from their registries."""
    tier = Option(
        "tier",
        "where the components are during the run; auto takes the fastest tier that fits",
        _MEMORY,
        "NAME",
        choices=tier_names(),
    )
    storages = (Option(s.flag[2:], s.help, _MEMORY) for s in storage_options().values())
    attention = Option(
        "attention",
        "attention kernel in place of torch's, at every speed",
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
