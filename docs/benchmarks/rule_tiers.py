"""Run `%%cogvideo` cells in a real kernel, one tier after another, and keep a JSON row of each.

    python docs/benchmarks/rule_tiers.py --model /scratch/5b --tiers none,model,sequential \
        --out docs/benchmarks/rule_tiers.jsonl

All cells run in one kernel, so that the rows also show the pipeline being reused and the GPU being
empty between the runs. Rows that are in the file already are not run again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FACTS = """
import json, psutil, torch, cogmagic
from dataclasses import asdict
torch.cuda.is_initialized() and torch.cuda.synchronize()
print("ROW " + json.dumps({
    **asdict(clip.report),
    "size": f"{clip.width}x{clip.height}", "num_frames": clip.num_frames, "fps": clip.fps,
    "facts_line": clip.facts_line(), "shape": clip.frames().shape,
    "allocated_after": [torch.cuda.memory_allocated(i) for i in range(torch.cuda.device_count())],
    "gpus_after": [[g.name, g.total, g.free] for g in cogmagic.Machine.detect().gpus],
    "rss": psutil.Process().memory_info().rss,
}))
"""
IMAGE = """
from PIL import Image
first = Image.linear_gradient("L").convert("RGB")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", help="what to call the model in the rows (default: its folder)")
    parser.add_argument("--tiers", default="none,model,sequential")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--image", action="store_true", help="give a first frame (image-to-video)")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    name = args.name or Path(args.model).name
    done = {(r["model"], r["asked"], r["steps"]) for r in rows(args.out)}
    todo = [t for t in args.tiers.split(",") if (name, t, args.steps) not in done]
    with Kernel() as kernel:
        kernel.run("%load_ext cogmagic" + (IMAGE if args.image else ""))
        for tier in todo:
            line = f"--model {shlex.quote(args.model)} --tier {tier} --seed 42 --out clip"
            line += f" --num-inference-steps {args.steps}" + (" --image first" * args.image)
            shown = kernel.run(f"%%cogvideo {line}\na red circle moves to the right")
            printed = kernel.run(FACTS)
            row = json.loads(printed.partition("ROW ")[2])
            row |= {"model": name, "asked": tier, "steps": args.steps, "cell": shown}
            row |= {"date": datetime.now(UTC).date().isoformat(), "command": shlex.join(sys.argv)}
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{name} {tier}: {shown}", flush=True)
        print(kernel.run("%cogvideo status\nprint(cogmagic.status(), cogmagic.release())"))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


class Kernel:
    """A fresh ipykernel; `run` gives what a cell shows last, and fails if the cell fails."""

    def __enter__(self) -> Kernel:
        from jupyter_client.manager import start_new_kernel

        self._manager, self._client = start_new_kernel(kernel_name="python3")
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
