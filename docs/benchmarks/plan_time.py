"""How long a plan takes, in kernels of its own: known models without torch, foreign ones with it.

    python docs/benchmarks/plan_time.py

Each figure is the worst of the legal requests tried, in one process, the first one included: the
median over five processes is printed.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

KNOWN = """
import json, sys, time
import cogmagic
cogmagic.plan, cogmagic.Machine
machine = cogmagic.Machine.of("RTX 4090")
worst = first = 0.0
if len(sys.argv) > 1:  # as after so many runs on it, the most that are kept
    from dataclasses import replace
    from cogmagic._planning.experience import PREDICTIONS
    from cogmagic._machine.history import PastRun
    past = PastRun(1.8e9, "RTX 4090", f"{PREDICTIONS}, torch 2.13.0", "5b", "720x480", 49,
                "bfloat16", "model", 10**10, 10**10, 2.0, 2.1)
    machine = replace(machine, past=(past,) * int(sys.argv[1]), versions="torch 2.13.0")
for name in ("2b", "5b", "5b-i2v", "1.5-5b", "1.5-5b-i2v"):
    from cogmagic._models.catalog import catalogued
    model = catalogued(name)
    for frames in {model.frames.least, model.frames.most}:
        began = time.perf_counter()
        str(cogmagic.plan(model=name, num_frames=frames, machine=machine))
        took = time.perf_counter() - began
        first, worst = first or took, max(worst, took)
print(json.dumps({"first": first, "worst": worst, "torch": "torch" in sys.modules}))
"""
FOREIGN = """
import json, sys, time
import cogmagic
from cogmagic._pipeline.libraries import import_libraries
import_libraries("t2v")
import cogmagic._footprint.passes
machine = cogmagic.Machine.of("RTX 4090")
began = time.perf_counter()
str(cogmagic.plan(model=sys.argv[1], machine=machine, width=1360, height=768, dtype=sys.argv[2]))
print(json.dumps({"plan": time.perf_counter() - began}))
"""


def main() -> None:
    known = [_run(KNOWN) for _ in range(5)]
    after = [_run(KNOWN, "500") for _ in range(5)]
    for key in ("first", "worst"):
        print(f"known model, {key} plan: {_median(known, key):.3f} s")
        print(f"known model, {key} plan after 500 runs: {_median(after, key):.3f} s")
    print("torch imported:", any(row["torch"] for row in (*known, *after)))
    with tempfile.TemporaryDirectory() as folder:
        _foreign(Path(folder))
        for dtype in ("bfloat16", "float16"):
            rows = [_run(FOREIGN, folder, dtype) for _ in range(5)]
            print(f"foreign model in {dtype}: {_median(rows, 'plan'):.2f} s")


def _foreign(folder: Path, layers: int = 41, dtype: str = "BF16") -> None:
    """A checkpoint of 5b's size whose transformer has another number of layers, without weights."""
    from cogmagic._footprint.configs import table
    from cogmagic._models.find import embedded_folder

    configs = table()["models"]["5b"]["configs"]
    index = {"_class_name": "CogVideoXPipeline"}
    for part, kind in (
        ("text_encoder", "transformers T5EncoderModel"),
        ("tokenizer", "transformers T5Tokenizer"),
        ("transformer", "diffusers CogVideoXTransformer3DModel"),
        ("vae", "diffusers AutoencoderKLCogVideoX"),
        ("scheduler", "diffusers CogVideoXDDIMScheduler"),
    ):
        index[part] = kind.split()
        if part == "tokenizer":
            shutil.copytree(embedded_folder() / part, folder / part)
            continue
        (folder / part).mkdir()
        config = dict(configs.get(part, {}))
        if part == "transformer":
            config["num_layers"] = layers
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / name).write_text(json.dumps(config))
        if part in configs:
            bits = "F32" if part == "vae" else dtype if part == "transformer" else "BF16"
            _no_weights(folder / part, bits, diffusers=kind.startswith("diffusers"))
    (folder / "model_index.json").write_text(json.dumps(index))


def _no_weights(folder: Path, dtype: str, *, diffusers: bool) -> None:
    """A file of one number: a plan reads configurations, and in which bits the weights are."""
    name = "diffusion_pytorch_model.safetensors" if diffusers else "model.safetensors"
    size = 4 if dtype == "F32" else 2
    tensor = {"w": {"dtype": dtype, "shape": [1], "data_offsets": [0, size]}}
    header = json.dumps(tensor).encode().ljust(80)
    (folder / name).write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))


def _run(code: str, *args: str) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _median(rows: list[dict[str, float]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


if __name__ == "__main__":
    main()
