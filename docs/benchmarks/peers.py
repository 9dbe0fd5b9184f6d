"""Other ways of running CogVideoX: each in a process of its own, a JSON row of each.

    python docs/benchmarks/peers.py --model /scratch/5b --ways none,model,sequential --steps 4
    python docs/benchmarks/peers.py --model /scratch/5b --ways group-leaf,mm,mmgp --cap 11.3

Each run loads the checkpoint as the authors' `inference/cli_demo.py` does (bfloat16, DPM with
trailing timesteps, dynamic guidance of 6, the VAE sliced and tiled), places it in one way, and
makes one clip. Rows that are in the file already are not run again, failed ones included. A way
whose package is not installed is left out, with a line that says so.

A cap of so many GiB is one on torch's allocator, beside the CUDA context. What else the card has is
taken away for the run (`held`): a way that asks the driver what is free is to see a card of that
size. So one run a GPU at a time. Host memory is sampled from outside, every 20 ms.

`frames` is of the clip as cogmagic makes it 8 bits deep: alike where the arithmetic is. `mmgp` and
`mmgp5` compute with 8-bit weights, which is their default.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tiers import Memory, rows

HERE = Path(__file__).parent
GIB = 2**30
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


MM = ("diffusers-mm",)
MMGP = ("mmgp", "optimum-quanto")
WAYS = {
    "none": Way(none),
    "model": Way(model),
    "sequential": Way(sequential),
    "group-docs": Way(group_docs),
    "group-docs-parts": Way(group_docs_parts),
    "group-leaf": Way(group_leaf),
    "group-block": Way(group_block),
    "group-lowmem": Way(partial(group_block, low_cpu_mem_usage=True)),
    "mm": Way(mm, MM),
    "mm-pin": Way(partial(mm, strategy="block_pin"), MM),
    "mm-group": Way(partial(mm, strategy="group_offload"), MM),
    "mmgp": Way(partial(mmgp, profile=4), MMGP, mmgp_first),
    "mmgp5": Way(partial(mmgp, profile=5), MMGP, mmgp_first),
    "mmgp-bf16": Way(
        partial(mmgp, profile=4, quantizeTransformer=False, extraModelsToQuantize=None),
        MMGP,
        mmgp_first,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", help="what to call the model in the rows (default: its folder)")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", default="", help="WIDTHxHEIGHTxFRAMES (default: the model's)")
    parser.add_argument("--cap", type=float, help="GiB that torch's allocator may hold")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--default-allocator", action="store_true", help="no expandable segments")
    parser.add_argument("--timeout", type=float, default=900, help="seconds that a run may take")
    parser.add_argument("--out", type=Path, default=HERE / "peers.jsonl")
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)  # this is the run itself
    args = parser.parse_args()
    ways = args.ways.split(",")
    if unknown := [w for w in ways if w not in WAYS]:
        parser.error(f"no such way: {', '.join(unknown)} (there are {', '.join(WAYS)})")
    if args.row:
        args.row.write_text(json.dumps(Run(ways[0], args).row()))
        return
    for way in ways:
        about = {
            "model": args.name or Path(args.model).name, "way": way, "cap": args.cap,
            "steps": args.steps, "asked": args.size, "dtype": args.dtype, "device": args.device,
            "allocator": "" if args.default_allocator else "expandable_segments:True",
        }  # fmt: skip
        if any(all(r.get(k) == about[k] for k in ABOUT) for r in rows(args.out)):
            continue
        if missing := [p for p in WAYS[way].packages if not _version(p)]:
            print(f"{way}: not run (not installed: {', '.join(missing)})", flush=True)
            continue
        row = about | _process(args, way, about["allocator"])
        with args.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{way}{f' under {args.cap} GiB' * bool(args.cap)}: {_told(row)}", flush=True)


def _process(args: argparse.Namespace, way: str, allocator: str) -> dict[str, Any]:
    """The row of a run in a fresh process, and what is seen of it from here."""
    theirs = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    env = {k: v for k, v in os.environ.items() if k not in theirs}
    env |= {"PYTORCH_ALLOC_CONF": allocator} if allocator else {}
    env |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "row.json"
        command = [sys.executable, __file__, "--model", args.model, "--ways", way]
        command += ["--steps", str(args.steps), "--size", args.size, "--dtype", args.dtype]
        command += ["--device", args.device, "--row", str(written)]
        command += ["--cap", str(args.cap)] if args.cap else []
        began = time.monotonic()
        with subprocess.Popen(command, env=env) as process:  # noqa: S603 - this very script
            memory = Memory(process.pid)
            try:
                ended = f"the process ended with {process.wait(args.timeout)}"
            except subprocess.TimeoutExpired:
                process.kill()
                ended = f"not done in {args.timeout:.0f} s"
        row: dict[str, Any]
        row = json.loads(written.read_text()) if written.exists() else {"error": ended}
    row |= {"ram_peak": memory.peak, "wall": time.monotonic() - began}
    return row | {"command": shlex.join(sys.argv), "date": datetime.now(UTC).date().isoformat()}


def _told(row: dict[str, Any]) -> str:
    seconds = " ".join(f"{k} {s:.1f}" for k, s in row.get("seconds", {}).items())
    vram = f"{(row.get('allocated') or 0) / GIB:.2f} GiB ({(row.get('reserved') or 0) / GIB:.2f})"
    shown = f"{vram}, RAM {row['ram_peak'] / GIB:.2f} GiB, s: {seconds}"
    return f"{row.get('error') or '{:.3f} s a step'.format(row['step_seconds'] or 0)}, {shown}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
            self._measure()
        except Exception as error:
            traceback.print_exc()
            row |= {"error": f"{type(error).__name__}: {error}"[:300], "ram": _ram()}
            with contextlib.suppress(Exception):  # the device may be of no more use
                self.watch.end("failed")
        row |= {"allocated": max(self.watch.peaks.values(), default=None)}
        row |= {"phases": self.watch.peaks, "reserved": self.watch.reserved or None}
        row["seconds"] = self.watch.seconds
        if self.clip:
            import torch

            from cogmagic._pipeline.generate import _pixels

            frames = _pixels(self.clip[0], torch.device(self.args.device))
            row["frames"] = hashlib.sha256(frames.tobytes()).hexdigest()
            row["size"] = "x".join(str(frames.shape[i]) for i in (2, 1, 0))
        return row | self._facts()

    def _measure(self) -> None:
        watch, device, found = self.watch, self.args.device, self.found
        self.way.first()
        import torch
        from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline

        if device == "cuda":
            torch.cuda.init()  # type: ignore[no-untyped-call]
            found["held"] = _hold(self.args.cap) if self.args.cap else 0
        watch.end("import")
        pipe = CogVideoXPipeline.from_pretrained(
            self.args.model, dtype=getattr(torch, self.args.dtype),
            use_safetensors=True, local_files_only=True,
        )  # fmt: skip
        pipe.scheduler = CogVideoXDPMScheduler.from_config(
            pipe.scheduler.config, timestep_spacing="trailing"
        )
        watch.end("load")
        self.way.place(pipe, device)
        pipe.vae.enable_slicing()
        pipe.vae.enable_tiling()
        watch.end("place")
        found |= _managed(pipe)
        self._listen(pipe)
        steps: list[float] = []

        def stepped(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            watch.synchronize()  # a step counts when the GPU has done it
            steps.append(time.monotonic())
            return tensors

        size: dict[str, int] = {}
        if self.args.size:
            asked = (int(x) for x in self.args.size.split("x"))
            size = dict(zip(("width", "height", "num_frames"), asked, strict=True))
        began = time.monotonic()
        pipe(
            "a red circle moves", num_inference_steps=self.args.steps, guidance_scale=6.0,
            use_dynamic_cfg=True, generator=torch.Generator("cpu").manual_seed(42), **size,
            max_sequence_length=pipe.transformer.config.max_text_seq_length,
            callback_on_step_end=stepped, output_type="np",
        )  # fmt: skip
        watch.end("after")
        watch.seconds["call"] = time.monotonic() - began
        spent = [b - a for a, b in pairwise(steps)]  # without the first, which warms up
        found["step_seconds"] = median(spent) if spent else None
        found |= _managed(pipe)  # it may have changed its mind meanwhile
        gc.collect()
        found["ram"] = _ram()

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

    def _facts(self) -> dict[str, Any]:
        import torch

        found = {p: _version(p) for p in ("diffusers", "transformers", "accelerate")}
        found |= {"torch": torch.__version__} | {p: _version(p) for p in self.way.packages}
        on_gpu = self.args.device == "cuda" and torch.cuda.is_available()
        return {"card": torch.cuda.get_device_name() if on_gpu else "none", "versions": found}


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
    """What diffusers-mm chose, where it is in charge."""
    if (manager := getattr(pipe, "mm", None)) is None:
        return {}
    pinned = {name: state.n_pinned for name, state in manager._block_pin_states.items()}
    return {"strategy": manager.applied_strategy, "pinned": pinned}


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
