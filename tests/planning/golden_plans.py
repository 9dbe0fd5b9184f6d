"""Three hundred random plans as figures: what the planner says today, to be compared tomorrow.

    python -m tests.planning.golden_plans            # lists the fields that changed
    python -m tests.planning.golden_plans --write    # the same, and stores the new figures

Only the public interface is used, so the figures of any two versions can be compared.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cogmagic
from cogmagic import CogMagicError, Machine

STORED = Path(__file__).with_name("golden_plans.jsonl")
COUNT, SEED = 300, 20261129
GIB = 2**30

CARDS = (
    *("T4", "P100 16GB", "V100 16GB", "RTX 2080 Ti", "RTX 3060", "RTX 3090", "RTX 4060 Ti 16GB"),
    *("RTX 4080", "RTX 4090", "RTX 5090", "L4", "A10", "A100 40GB", "A100 80GB", "L40S"),
    *("H100 80GB", "H200", "2x T4", "2x RTX 3090", "RTX 3090 + RTX 3060", "3x A100 40GB"),
)
MODELS = {
    "tiny": ([(96, 96), (128, 64)], [9, 17, 33]),
    "2b": ([(720, 480), (256, 256), (1360, 768)], [9, 25, 49]),
    "5b": ([(720, 480), (480, 720), (1024, 576)], [9, 25, 49]),
    "5b-i2v": ([(720, 480)], [49]),
    "1.5-5b": ([(1360, 768), (768, 768), (720, 480)], [17, 81, 161]),
    "1.5-5b-i2v": ([(1360, 768), (768, 768)], [17, 81, 161]),
}
TIERS = ("none", "model", "stream", "staged", "sequential", "balanced")


def cases() -> Iterator[dict[str, Any]]:
    """The requests and machines, as plain values; always the same ones."""
    draw = random.Random(SEED)  # noqa: S311 - nothing secret
    for _ in range(COUNT):
        model = draw.choice(list(MODELS))
        sizes, frames = MODELS[model]
        (width, height), kind = draw.choice(sizes), draw.random()
        case: dict[str, Any] = {
            "model": model,
            "width": width,
            "height": height,
            "num_frames": draw.choice(frames),
            "num_inference_steps": draw.choice([4, 20, 50]),
            "guidance_scale": draw.choice([1.0, 6.0, 6.0]),
            "ram": draw.choice([None, 8, 12.7, 16, 24, 32, 48, 64, 128]),
        }
        if kind < 0.1:
            case["device"] = draw.choice(["cpu", "mps"])
        elif kind < 0.2:
            case["vram"] = draw.choice([4, 6, 8, 10, 12, 20, 30])
        else:
            case["gpus"] = draw.choice(CARDS)
            case["busy"] = draw.choice([0, 0, 0.2, 0.6])
            case["held"] = draw.choice([0, 0, 0, 1.5])
        if draw.random() < 0.3:
            case["tier"] = draw.choice(TIERS)
        if draw.random() < 0.15:
            case["policy"] = "rule"
        if draw.random() < 0.25:
            case["vram_limit"] = round(draw.choice([3, 5, 6, 8, 12, 16.5, 24]) * GIB)
        if draw.random() < 0.25:
            case["dtype"] = draw.choice(["float16", "bfloat16", "float32"])
        for name in ("lean_decode", "guidance_halves", "fp8"):
            if draw.random() < 0.2:
                case[name] = True
        yield case


def machine_of(case: dict[str, Any]) -> Machine:
    """The machine of a case; takes its keys out of it."""
    ram, device = case.pop("ram"), case.pop("device", None)
    if device is not None:
        return replace(Machine.of(ram=ram), device=device)
    if "vram" in case:
        return Machine.of(vram=case.pop("vram"), ram=ram)
    machine = Machine.of(case.pop("gpus"), ram=ram)
    busy, held = case.pop("busy"), round(case.pop("held") * GIB)
    gpus = []
    for gpu in machine.gpus:
        assert gpu.free is not None
        gpu = replace(gpu, free=round(gpu.free * (1 - busy)))
        if held and gpu.index == 0:  # this kernel has tensors of its own, and some cache
            gpu = replace(gpu, free=gpu.free - held, reserved=held, allocated=held // 2)
        gpus.append(gpu)
    return replace(machine, gpus=tuple(gpus))


def figures(case: dict[str, Any]) -> dict[str, Any]:
    """What the planner says of a case: numbers and names, no sentences."""
    options = dict(case)
    machine = machine_of(options)
    try:
        plan = cogmagic.plan(machine=machine, **options)
    except CogMagicError as error:
        return {"error": type(error).__name__}
    return {
        "tier": plan.tier,
        "fits": plan.fits,
        "rule": plan.rule,
        "device": plan.device,
        "dtype": plan.dtype,
        "gpus": list(plan.gpus),
        "changes": len(plan.changes),
        "warnings": len(plan.warnings),
        "candidates": {c.tier: _candidate(c) for c in plan.candidates},
    }


def _candidate(c: Any) -> dict[str, Any]:
    return {
        "vram": c.peak_vram,
        "allocated": c.peak_allocated,
        "ram": c.peak_ram,
        "seconds": _rounded(c.seconds),
        "step": _rounded(c.step_seconds),
        "lacks": [c.missing_vram, c.missing_ram, c.missing_disk],
        "resident": _variant(c).resident_blocks,
        "order": list(_variant(c).order),
    }


def _variant(c: Any) -> Any:
    return getattr(c.needs, "variant", c.needs)  # earlier checkouts have its fields there


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.8g}")


def stored() -> list[dict[str, Any]]:
    """The rows kept in the repository: case and figures."""
    return [json.loads(line) for line in STORED.read_text(encoding="utf-8").splitlines()]


def differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Each field that differs, as ``candidates.stream.vram: 1 -> 2``."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            where = f"{path}.{key}" if path else key
            yield from differences(before.get(key), now.get(key), where)
    elif before != now:
        yield f"{path}: {before} -> {now}"


def main() -> None:
    rows = [{"case": case, "plan": figures(case)} for case in cases()]
    old = stored() if STORED.exists() else []
    for number, (before, now) in enumerate(zip(old, rows, strict=False)):
        for line in differences(before, now):
            print(f"{number:3} {line}")  # noqa: T201 - a script
    if "--write" in sys.argv[1:]:
        text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
        STORED.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
