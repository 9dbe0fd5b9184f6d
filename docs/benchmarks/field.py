"""The field: other libraries and the speeds, each in a process of its own, a JSON row of each.

    pip install cache-dit diffusers-mm mmgp
    python docs/benchmarks/field.py --model /scratch/5b
    python docs/benchmarks/field.py --model /scratch/5b --cap 5

Each run loads the checkpoint as the authors' `inference/cli_demo.py` does (bfloat16, DPM with
trailing timesteps, dynamic guidance of 6, the VAE sliced and tiled), places it in one way, and
makes one clip; `exact`, `fast` and `faster` are cogmagic's own runs of the same request. Rows that
are in the file already are not run again, failed ones included. A way whose package is not
installed is left out, with a line that says so.

A cap of so many GiB is one on torch's allocator, beside the CUDA context. What else the card has is
taken away for the run (`held`): a way that asks the driver what is free is to see a card of that
size. So one run a GPU at a time. cogmagic's own runs have the limit as an option instead. With
`--ahead` the next process imports its libraries and reads its files meanwhile, but does not use the
GPU. Host memory is sampled from outside, every 20 ms.

`frames` is of the clip as cogmagic makes it 8 bits deep: alike where the arithmetic is. `mmgp` and
`mmgp5` compute with 8-bit weights, which is their default, `mmgp2` does not. `dbcache` takes more
steps, for it skips none of the first eight: `steps_seconds` has each, `skipped` their numbers. What
it skips depends on the values, which are random here. In `-compiled` ways the `forward` of each
transformer block is compiled by torch before the library adds its hooks.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from common import (
    HERE,
    PROMPT,
    Runs,
    append,
    command,
    facts,
    fresh_cache,
    installed,
    rows,
    say,
    size_options,
)
from speeds import pixels
from tiers import Memory

GIB = 2**30
CONTEXT = 0.7
"""GiB of a card that the CUDA context takes; a limit of cogmagic includes it."""
ABOUT = ("model", "way", "cap", "steps", "asked", "dtype", "device", "allocator")
"""What a row is known by."""
SLACK = GIB // 2
"""Left to the CUDA context beside a cap: kernels that are loaded while the run goes on."""


def none(pipe: Any, device: str) -> None:
    pipe.to(device)


def model(pipe: Any, _: str) -> None:
    pipe.enable_model_cpu_offload()


def sequential(pipe: Any, _: str) -> None:
    pipe.enable_sequential_cpu_offload()


def group_docs(pipe: Any, device: str) -> None:
    """As in diffusers' guide to memory, under "Group offloading": the example for a pipeline."""
    import torch

    pipe.enable_group_offload(
        onload_device=torch.device(device),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
    )


def group_docs_parts(pipe: Any, device: str) -> None:
    """As in the same guide: the example for models one by one, which has no streams."""
    import torch
    from diffusers.hooks import apply_group_offloading

    onload, offload = torch.device(device), torch.device("cpu")
    pipe.transformer.enable_group_offload(
        onload_device=onload, offload_device=offload, offload_type="leaf_level"
    )
    pipe.vae.enable_group_offload(onload_device=onload, offload_type="leaf_level")
    apply_group_offloading(
        pipe.text_encoder, onload_device=onload, offload_type="block_level", num_blocks_per_group=2
    )


def group_leaf(pipe: Any, device: str) -> None:
    _group(pipe, device, {"offload_type": "leaf_level"})


def group_block(pipe: Any, device: str, **options: Any) -> None:
    _group(pipe, device, {"offload_type": "block_level", "num_blocks_per_group": 1}, **options)


def compiled(place: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """A way to place a pipeline whose transformer blocks are compiled one by one."""

    def compile_and_place(pipe: Any, device: str) -> None:
        import torch

        torch._dynamo.config.cache_size_limit = 128
        for block in pipe.transformer.transformer_blocks:
            block.forward = torch.compile(block.forward, dynamic=False)
        place(pipe, device)

    return compile_and_place


def cache_dit_offload(pipe: Any, device: str, **options: Any) -> None:
    """As in cache-dit's guide to layerwise offload, under "Async Transfer": block by block."""
    offload = import_module("cache_dit.offload").layerwise_cpu_offload
    if device == "cuda":
        options |= {"async_transfer": True, "transfer_buckets": 2, "max_copy_streams": 2}
        options |= {"max_inflight_prefetch_bytes": GIB}
    encoder, transformer = pipe.text_encoder, pipe.transformer
    pipe.vae.to(device)
    stay = {k: options.pop(k) for k in ("persistent_buckets", "persistent_bins") if k in options}
    parts: tuple[tuple[Any, str, dict[str, Any]], ...] = (
        (transformer, "transformer_blocks", stay),
    )
    if stay:  # for cards with room; T5's layers would be called before they have arrived
        encoder.to(device)
    else:
        parts = ((encoder, "encoder.block", {}), *parts)
    for root, path, extra in parts:
        blocks = root.get_submodule(path)
        inside = {id(p) for p in blocks.parameters()} | {id(b) for b in blocks.buffers()}
        for tensor in (*root.parameters(), *root.buffers()):
            if id(tensor) not in inside:
                tensor.data = tensor.data.to(device)
        names = [f"{path}.{i}" for i in range(len(blocks))]
        offload(root, module_names=names, onload_device=device, **options, **extra)


def dbcache(pipe: Any, device: str) -> None:
    """As in cache-dit's README: `cache_dit.enable_cache(pipe)`, with its default configuration."""
    pipe.to(device)
    import_module("cache_dit").enable_cache(pipe)


def _group(pipe: Any, device: str, transformer: dict[str, Any], **options: Any) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    options |= {"onload_device": torch.device(device), "offload_device": torch.device("cpu")}
    options["use_stream"] = True
    apply_group_offloading(pipe.text_encoder, offload_type="leaf_level", **options)
    apply_group_offloading(pipe.transformer, **transformer, **options)
    pipe.vae.to(device)


def mm(pipe: Any, device: str, **options: Any) -> None:
    """As in the README of diffusers-mm: `pipe = managed(pipe)`."""
    import_module("diffusers_mm").managed(pipe, device=device, **options)


def mmgp(pipe: Any, _: str, profile: int, **options: Any) -> None:
    """As in the README of mmgp: `offload.profile(pipe, profile_type.LowRAM_LowVRAM)` is 4."""
    kind = import_module("mmgp").profile_type(profile)
    import_module("mmgp.offload").profile(pipe, kind, **options)


def mmgp_first() -> None:
    """Import mmgp before all else, as its README wants: it puts its own loaders into the others.

    Its `safe_open` does not know what transformers' loader passes (`backend`), so T5 is loaded by
    the original one; the transformer and the VAE are loaded by mmgp's.
    """
    import_module("mmgp.offload")
    original = import_module("mmgp.safetensors2")._old_safe_open
    import_module("transformers.modeling_utils").__dict__["safe_open"] = original


def nothing() -> None:
    """What most ways need before the libraries are imported."""


@dataclass(frozen=True)
class Way:
    """What places a pipeline that is in host memory, and what that takes."""

    place: Callable[[Any, str], None]
    packages: tuple[str, ...] = ()
    first: Callable[[], None] = nothing
    steps: int = 0
    """At least so many, whatever is asked."""
    speed: str = ""
    """The speed of cogmagic, which loads and places by itself; empty for other libraries."""


CACHE_DIT = ("cache-dit",)
MM = ("diffusers-mm",)
MMGP = ("mmgp", "optimum-quanto")
WAYS = {
    "none": Way(none),
    "none-compiled": Way(compiled(none)),
    "model": Way(model),
    "sequential": Way(sequential),
    "group-docs": Way(group_docs),
    "group-docs-parts": Way(group_docs_parts),
    "group-leaf": Way(group_leaf),
    "group-block": Way(group_block),
    "group-block-compiled": Way(compiled(group_block)),
    "group-lowmem": Way(partial(group_block, low_cpu_mem_usage=True)),
    "cache-dit": Way(cache_dit_offload, CACHE_DIT),
    "cache-dit-compiled": Way(compiled(cache_dit_offload), CACHE_DIT),
    "cache-dit-stay": Way(
        compiled(partial(cache_dit_offload, persistent_buckets=16, persistent_bins=4)), CACHE_DIT
    ),
    "dbcache": Way(dbcache, CACHE_DIT, steps=16),
    "mm": Way(mm, MM),
    "mm-pin": Way(partial(mm, strategy="block_pin"), MM),
    "mm-group": Way(partial(mm, strategy="group_offload"), MM),
    "mmgp": Way(partial(mmgp, profile=4), MMGP, mmgp_first),
    "mmgp2": Way(partial(mmgp, profile=2), MMGP, mmgp_first),
    "mmgp5": Way(partial(mmgp, profile=5), MMGP, mmgp_first),
    "exact": Way(none, speed="exact"),
    "fast": Way(none, speed="fast"),
    "faster": Way(none, speed="faster"),
}
BEST = "none,none-compiled,exact,fast,faster,cache-dit-stay,dbcache,mmgp2"
BEST_CAPPED = "group-block-compiled,cache-dit-compiled,mmgp2,exact,fast,faster,mm,group-block,mmgp"
"""Each library at the setting that is best on such a card, and as its documentation has it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", help="what to call the model in the rows (default: its folder)")
    parser.add_argument("--ways", default="", help="default: the best of each library")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--cap", type=float, help="GiB that torch's allocator may hold")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--default-allocator", action="store_true", help="no expandable segments")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that a run may take")
    parser.add_argument("--ahead", action="store_true", help="start the next process meanwhile")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no run begins")
    parser.add_argument("--out", type=Path, default=HERE / "field.jsonl")
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)  # this is the run itself
    args = parser.parse_args()
    ways = (args.ways or (BEST_CAPPED if args.cap else BEST)).split(",")
    if unknown := [w for w in ways if w not in WAYS]:
        parser.error(f"no such way: {', '.join(unknown)} (there are {', '.join(WAYS)})")
    if args.row:
        args.row.write_text(json.dumps(Run(ways[0], args).row()))
        return
    began, waiting = time.monotonic(), todo(ways, args)
    started: list[Process] = []
    try:
        while waiting and time.monotonic() - began < args.seconds:
            started = started or [Process(args, waiting[0])]
            process, about = started.pop(), about_run(args, waiting.pop(0))
            started = [Process(args, way) for way in waiting[: args.ahead]]
            row = about | process.measure(args.timeout)
            append(args.out, row)
            say(f"{row['way']}{f' under {args.cap} GiB' * bool(args.cap)}: {told(row)}")
    finally:
        for process in started:
            process.end()


def about_run(args: argparse.Namespace, way: str) -> dict[str, Any]:
    return {
        "model": args.name or Path(args.model).name, "way": way, "cap": args.cap,
        "steps": max(args.steps, WAYS[way].steps), "asked": args.size, "dtype": args.dtype,
        "device": args.device,
        "allocator": "" if args.default_allocator else "expandable_segments:True",
    }  # fmt: skip


def todo(ways: list[str], args: argparse.Namespace) -> list[str]:
    """The ways that have no row yet and whose packages are installed."""
    done, left = rows(args.out), []
    for way in ways:
        about = about_run(args, way)
        if any(all(r.get(k) == about[k] for k in ABOUT) for r in done):
            continue
        if missing := [p for p in WAYS[way].packages if not installed(p)]:
            say(f"{way}: not run (not installed: {', '.join(missing)})")
            continue
        left.append(way)
    return left


class Process:
    """A run in a fresh process, which loads at once and goes to the GPU when it may."""

    def __init__(self, args: argparse.Namespace, way: str) -> None:
        about = about_run(args, way)
        theirs = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
        env = {k: v for k, v in os.environ.items() if k not in theirs}
        env |= {"PYTORCH_ALLOC_CONF": about["allocator"]} if about["allocator"] else {}
        env |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        self._folder = tempfile.TemporaryDirectory()
        self._written = Path(self._folder.name) / "row.json"
        words = [sys.executable, __file__, "--model", args.model, "--ways", way]
        words += ["--steps", str(about["steps"]), "--size", args.size, "--dtype", args.dtype]
        words += ["--device", args.device, "--row", str(self._written)]
        words += ["--cap", str(args.cap)] if args.cap else []
        self._process = subprocess.Popen(  # noqa: S603 - this very script
            words, env=env, stdin=subprocess.PIPE
        )
        self._memory = Memory(self._process.pid)

    def measure(self, timeout: float) -> dict[str, Any]:
        """Let it go to the GPU: its row, and what is seen of it from here."""
        began = time.monotonic()
        try:
            self._process.communicate(b"go\n", timeout)
            ended = f"the process ended with {self._process.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"not done in {timeout:.0f} s"
        row = json.loads(self._written.read_text()) if self._written.exists() else {"error": ended}
        self.end()
        row |= {"ram_peak": self._memory.peak, "wall": time.monotonic() - began}
        return row | {"command": command()}

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


def told(row: dict[str, Any]) -> str:
    seconds = " ".join(f"{k} {s:.1f}" for k, s in row.get("seconds", {}).items())
    vram = f"{(row.get('allocated') or 0) / GIB:.2f} GiB ({(row.get('reserved') or 0) / GIB:.2f})"
    amounts = f"{vram}, RAM {row['ram_peak'] / GIB:.2f} GiB, s: {seconds}"
    return f"{row.get('error') or '{:.3f} s a step'.format(row['step_seconds'] or 0)}, {amounts}"


def wait_for_go() -> None:
    """Wait until the GPU is free; exit if the process that says so has gone."""
    if sys.stdin.readline() != "go\n":
        sys.exit("field.py has ended")


class Run:
    """One clip in one way, in this process."""

    def __init__(self, way: str, args: argparse.Namespace) -> None:
        self.way, self.args = WAYS[way], args
        self.watch = Watch(on_gpu=args.device == "cuda")
        self.found: dict[str, Any] = {}
        self.clip: list[Any] = []
        """The clip as the VAE gives it, once there is one: [3, frames, height, width]."""

    def row(self) -> dict[str, Any]:
        row = self.found
        try:
            self._speed() if self.way.speed else self._measure()
        except Exception as error:
            traceback.print_exc()
            row |= {"error": f"{type(error).__name__}: {error}"[:300], "ram": _ram()}
            with contextlib.suppress(Exception):  # the device may be of no more use
                self.watch.end("failed")
        if not self.way.speed:
            row |= {"allocated": max(self.watch.peaks.values(), default=None)}
            row |= {"phases": self.watch.peaks, "reserved": self.watch.reserved or None}
            row["seconds"] = self.watch.seconds
        if self.clip:
            frames = pixels(self.clip[0])
            row["frames"] = hashlib.sha256(frames.tobytes()).hexdigest()
            row["size"] = "x".join(str(frames.shape[i]) for i in (2, 1, 0))
        card = {} if self.args.device == "cuda" else {"card": "none"}
        return row | facts(*self.way.packages) | card

    def _speed(self) -> None:
        """A run of cogmagic, twice: the second has its weights in RAM, and its code compiled."""
        from cogmagic._pipeline.libraries import import_libraries

        import_libraries("t2v")
        wait_for_go()
        fresh_cache()
        limit = self.args.cap + CONTEXT if self.args.cap else None
        runs = Runs(self.args.model)
        options: dict[str, Any] = {"speed": self.way.speed, "vram_limit": limit}
        options |= {"guidance_scale": 6.0, "scheduler": "dpm"}
        options |= size_options(self.args.size) | {"num_inference_steps": self.args.steps}
        first = runs.measure(**options)
        self.found |= {"first": first["wall"], "first_seconds": first.get("seconds")}
        self.found |= first if "error" in first else runs.measure(**options)
        self.found |= {"ram": _ram()}
        self.found["seconds"] = {**self.found.get("seconds", {}), "call": self.found["wall"]}

    def _go(self) -> None:
        """Wait for the GPU, and take what a card of the cap's size would not have."""
        wait_for_go()
        if self.args.device == "cuda":
            import torch

            torch.cuda.init()  # type: ignore[no-untyped-call]
            self.found["held"] = _hold(self.args.cap) if self.args.cap else 0

    def _measure(self) -> None:
        device, found = self.args.device, self.found
        self.way.first()
        import torch

        pipe = self._loaded()
        self._go()
        watch = self.watch = Watch(on_gpu=device == "cuda")
        self.way.place(pipe, device)
        pipe.vae.enable_slicing()
        pipe.vae.enable_tiling()
        watch.end("place")
        found |= _managed(pipe)
        self._listen(pipe)
        began = time.monotonic()
        ends = [began]

        def stepped(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            watch.synchronize()  # a step counts when the GPU has done it
            ends.append(time.monotonic())
            return tensors

        pipe(
            PROMPT, num_inference_steps=self.args.steps, guidance_scale=6.0,
            use_dynamic_cfg=True, generator=torch.Generator("cpu").manual_seed(42),
            max_sequence_length=pipe.transformer.config.max_text_seq_length,
            callback_on_step_end=stepped, output_type="np", **size_options(self.args.size),
        )  # fmt: skip
        watch.end("after")
        watch.seconds["call"] = time.monotonic() - began
        steps = [b - a for a, b in pairwise(ends)]
        found["steps_seconds"] = steps  # the first has the encoding, and warms up
        found["step_seconds"] = median(steps[1:]) if len(steps) > 1 else None
        found |= _managed(pipe)  # it may have changed its mind meanwhile
        gc.collect()
        found["ram"] = _ram()

    def _loaded(self) -> Any:
        """The pipeline in host memory, as the authors' script loads it."""
        import torch
        from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline

        pipe = CogVideoXPipeline.from_pretrained(
            self.args.model, dtype=getattr(torch, self.args.dtype),
            use_safetensors=True, local_files_only=True,
        )  # fmt: skip
        pipe.scheduler = CogVideoXDPMScheduler.from_config(
            pipe.scheduler.config, timestep_spacing="trailing"
        )
        return pipe

    def _listen(self, pipe: Any) -> None:
        """Let the pipeline tell of its phases, and keep the clip before it is rounded."""
        encode, decode = pipe.encode_prompt, pipe.decode_latents

        def encoded(*args: Any, **options: Any) -> Any:
            found = encode(*args, **options)
            self.watch.end("encode")
            return found

        def decoded(latents: Any) -> Any:
            self.watch.end("denoise")
            video = decode(latents)
            self.watch.end("decode")
            self.clip.append(video[0])
            return video

        pipe.encode_prompt, pipe.decode_latents = encoded, decoded
        pipe.set_progress_bar_config(disable=True)


class Watch:
    """Seconds of the phases of a run, and on a GPU the most that its tensors held in each."""

    def __init__(self, *, on_gpu: bool) -> None:
        self.on_gpu, self._began = on_gpu, time.monotonic()
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, int] = {}
        self.reserved = 0

    def synchronize(self) -> None:
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def end(self, phase: str) -> None:
        """The phase that ends now, and began when the one before it ended."""
        self.synchronize()
        now = time.monotonic()
        self.seconds[phase], self._began = now - self._began, now
        if self.on_gpu:
            import torch

            self.peaks[phase] = torch.cuda.max_memory_allocated()
            self.reserved = max(self.reserved, torch.cuda.max_memory_reserved())
            torch.cuda.reset_peak_memory_stats()


def _managed(pipe: Any) -> dict[str, Any]:
    """What diffusers-mm or cache-dit chose, where it is in charge."""
    if (manager := getattr(pipe, "mm", None)) is not None:
        pinned = {name: state.n_pinned for name, state in manager._block_pin_states.items()}
        return {"strategy": manager.applied_strategy, "pinned": pinned}
    if "cache_dit" not in sys.modules:
        return {}
    stats = import_module("cache_dit").summary(pipe, logging=False)
    return {"skipped": [list(s.cached_steps) for s in stats if s.cached_steps]}


def _hold(cap: float) -> int:
    """Hold torch's allocator to so many GiB, and take what else is free: the bytes taken."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(cap * GIB / total, 1.0))
    torch.zeros(1, device="cuda")  # the context is there, and is not counted as free
    spare = torch.cuda.mem_get_info()[0] - round(cap * GIB) - SLACK
    if spare <= 0:
        return 0
    address = ctypes.c_uint64()  # of no interest: what is taken goes back when the process ends
    driver = ctypes.CDLL("libcuda.so.1")
    if failed := driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(spare)):
        raise RuntimeError(f"cuMemAlloc of {spare} bytes failed with {failed}")
    return int(spare)


def _ram() -> int:
    """Bytes of the process's own memory: RssAnon and RssShmem, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[k].split()[0]) * 1024 for k in ("RssAnon", "RssShmem"))


if __name__ == "__main__":
    main()
