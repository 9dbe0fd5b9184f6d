"""Run `%%cogvideo` cells in a real kernel, one placement after another, and keep a row of each.

    python docs/benchmarks/tiers.py --model /scratch/5b --runs none,model,sequential
    python docs/benchmarks/tiers.py --model /scratch/2b --runs none:640x384x25,model:640x384x25

A run is TIER or TIER:WIDTHxHEIGHTxFRAMES. All runs of one call share a kernel, so that the rows
also show the pipeline being reused and the GPU being empty between runs. Rows that are in the file
already are not run again. Host memory is sampled from outside the kernel, every 20 ms.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FACTS = """
import json, torch, cogmagic
from dataclasses import asdict
torch.cuda.is_initialized() and torch.cuda.synchronize()
print("ROW " + json.dumps({
    **asdict(clip.report),
    "size": f"{clip.width}x{clip.height}", "num_frames": clip.num_frames,
    "allocated_after": [torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count())],
    "gpus_after": [asdict(g) for g in cogmagic.Machine.detect().gpus],
    "rates": asdict(cogmagic.Machine.detect().rates),
}))
"""
IMAGE = """
from PIL import Image
first = Image.linear_gradient("L").convert("RGB")
"""
IMPORTS = "from cogmagic._pipeline.libraries import import_libraries as i; i('t2v'); i('i2v')"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", help="what to call the model in the rows (default: its folder)")
    parser.add_argument("--runs", default="none,model,sequential")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--image", action="store_true", help="give a first frame (image-to-video)")
    parser.add_argument("--out", type=Path, default=HERE / "tiers.jsonl")
    args = parser.parse_args()
    name = args.name or Path(args.model).name
    done = {(r["model"], r["run"]) for r in rows(args.out)}
    todo = [t for t in args.runs.split(",") if (name, t) not in done]
    if not todo:
        return
    with Kernel() as kernel:
        kernel.run("%load_ext cogmagic\n" + IMPORTS + IMAGE)
        imported = kernel.memory.now()
        for run in todo:
            tier, _, shape = run.partition(":")
            line = f"--model {shlex.quote(args.model)} --tier {tier} --seed 42 --out clip"
            line += f" --num-inference-steps {args.steps}" + (" --image first" * args.image)
            if shape:
                width, height, frames = shape.split("x")
                line += f" --size {width}x{height} --num-frames {frames}"
            row: dict[str, Any] = {"model": name, "run": run, "asked": tier, "steps": args.steps}
            kernel.run(
                "from cogmagic._pipeline.prompt_cache import PromptCache; PromptCache.clear()"
            )
            if tier == "staged":  # the weights of the run before go first: its peak is not theirs
                kernel.run("import cogmagic; cogmagic.release()")
            row |= {"ram_imported": imported, "ram_before": kernel.memory.now()}
            kernel.memory.peak = 0
            began = time.monotonic()
            row["cell"] = kernel.run(f"%%cogvideo {line}\na red circle moves to the right")
            row |= {"wall": time.monotonic() - began, "ram_peak": kernel.memory.peak}
            row["ram_after"] = kernel.memory.now()
            row |= json.loads(kernel.run(FACTS).partition("ROW ")[2])
            row |= {"date": datetime.now(UTC).date().isoformat(), "command": shlex.join(sys.argv)}
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name} {run}: {row['wall']:.0f} s, {row['cell']}", flush=True)
        print(kernel.run("print(cogmagic.status(), cogmagic.release())"), flush=True)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


class Memory:
    """Bytes of memory of a process's own (RssAnon + RssShmem: mapped files do not count)."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def now(self) -> int:
        fields = dict(x.split(":", 1) for x in self._status.read_text().splitlines())
        return sum(int(fields[k].split()[0]) * 1024 for k in ("RssAnon", "RssShmem"))

    def _watch(self) -> None:
        while True:
            try:
                self.peak = max(self.peak, self.now())
            except (OSError, KeyError):  # the kernel is gone
                return
            time.sleep(0.02)


class Kernel:
    """A fresh ipykernel; `run` gives what a cell shows last, and fails if the cell fails."""

    def __enter__(self) -> Kernel:
        from jupyter_client.manager import start_new_kernel

        self._manager, self._client = start_new_kernel(kernel_name="python3")
        self.memory = Memory(int(self.run("import os\nprint(os.getpid())")))
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def run(self, code: str) -> str:
        texts: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            kind, content = message["msg_type"], message["content"]
            if kind == "update_display_data":
                texts[:] = [content["data"]["text/plain"]]  # the live line's last state
            elif kind == "stream":
                texts.append(content["text"])

        reply = self._client.execute_interactive(code, output_hook=hook, timeout=900)
        if reply["content"]["status"] != "ok":
            raise SystemExit("\n".join(reply["content"]["traceback"]))
        return "".join(texts)


if __name__ == "__main__":
    main()
