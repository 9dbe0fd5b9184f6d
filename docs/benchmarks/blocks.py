"""Seconds and peaks of the transformer's blocks, over sizes, attention kernels and products.

    python docs/benchmarks/blocks.py --out docs/benchmarks/blocks.jsonl

Random weights of real sizes, four blocks; each row times whole passes and one block, and has the
bytes alive when a block begins, at its peak, and outside the blocks, beside what was there before
the pass. It needs a GPU and no checkpoint, and ends by itself after `--seconds`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cogmagic._footprint.configs import table, tokens_of
from cogmagic._machine.allocator import use_expandable_segments
from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.compile import compiled, compiling
from cogmagic._pipeline.storage import STORAGES

CLIPS = {"9": (3, 60, 90), "17": (5, 60, 90), "49": (13, 60, 90), "81": (22, 96, 170)}
"""Latents of the clips: 9 to 49 frames of 720×480, and 81 of 1360×768."""
LAYERS = 4


@dataclass(frozen=True)
class Case:
    """What is measured."""

    model: str
    clip: str
    batch: int = 2
    dtype: str = "bfloat16"
    attention: str = ""
    storage: str = ""
    compile: bool = False


CASES = (
    *(Case("5b", clip, batch) for clip in ("9", "17", "49") for batch in (2, 1)),
    *(Case("5b", clip, attention="fa3", compile=True) for clip in ("49", "9")),
    *(Case("5b", clip, compile=True) for clip in ("49", "9")),
    *(Case("5b", c, attention="fa3", storage="fp8_products", compile=True) for c in ("49", "9")),
    *(Case("2b", clip, dtype="float16") for clip in ("9", "49")),
    Case("2b", "49", dtype="float16", compile=True),
    Case("2b", "49", attention="fa3", compile=True),
    Case("2b", "49", attention="fa3", storage="fp8_products", compile=True),
    Case("1.5-5b", "81"),
    Case("1.5-5b", "81", attention="fa3", compile=True),
    Case("1.5-5b", "81", attention="fa3", storage="fp8_products", compile=True),
    Case("5b", "49", attention="fa3"),
    Case("5b", "49", storage="fp8_products"),
    Case("2b", "49", dtype="float16", storage="fp8_products"),
    Case("5b", "17", attention="fa3", compile=True),
    Case("5b", "49", 1, attention="fa3", compile=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seconds", type=float, default=300.0)
    args = parser.parse_args()
    use_expandable_segments()
    end = time.monotonic() + args.seconds
    for case in CASES:
        if time.monotonic() > end:
            break
        row: dict[str, Any] = asdict(case)
        try:
            row |= measured(case)
        except (RuntimeError, ValueError, ImportError) as error:
            row |= {"error": f"{error}"[:200]}
        row |= {
            "card": torch.cuda.get_device_name(),
            "versions": {"torch": torch.__version__},
            "date": datetime.now(UTC).date().isoformat(),
            "command": shlex.join(sys.argv),
        }
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        if args.out:
            with args.out.open("a") as file:
                file.write(json.dumps(row) + "\n")


def measured(case: Case) -> dict[str, Any]:
    transformer, inputs, tokens = built(case)
    blocks = transformer.transformer_blocks
    with torch.no_grad(), ExitStack() as stack:
        if case.attention:
            stack.enter_context(attending(transformer, case.attention))
        if case.compile:
            stack.enter_context(compiling(lambda _: None))
            stack.enter_context(compiled(transformer))
        first = seconds(lambda: transformer(**inputs), 1)
        step = seconds(lambda: transformer(**inputs), 3)
        step = seconds(lambda: transformer(**inputs), max(3, int(0.6 / step)))
        before = torch.cuda.memory_allocated()
        with marked(blocks) as marks:
            noise = transformer(**inputs)
            del noise
    peaks = {name: max(nbytes) - before for name, nbytes in marks.items()}
    return {"tokens": tokens, "layers": len(blocks), "first": first, "seconds": step, **peaks}


def built(case: Case) -> tuple[Any, dict[str, Any], int]:
    """The transformer on the GPU with a few blocks, the inputs of a pass, and its tokens."""
    from diffusers import CogVideoXTransformer3DModel

    known = table()
    config = (
        known["defaults"]["transformer"] | known["models"][case.model]["configs"]["transformer"]
    )
    dtype = getattr(torch, case.dtype)
    torch.set_default_dtype(dtype)
    try:
        with torch.device("cuda"):
            transformer = CogVideoXTransformer3DModel(**config | {"num_layers": LAYERS})
    finally:
        torch.set_default_dtype(torch.float32)
    transformer.to(dtype).eval().requires_grad_(requires_grad=False)
    for parameter in transformer.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.02)
    if case.storage:
        STORAGES[case.storage].store(transformer, torch.device("cuda"), stay=True)
    frames, height, width = CLIPS[case.clip]
    video, text = tokens_of(config, CLIPS[case.clip]), config["max_text_seq_length"]

    def random(*shape: int, kind: torch.dtype = dtype) -> torch.Tensor:
        return torch.randn(*shape, device="cuda", dtype=kind)

    rotary, ofs = config["use_rotary_positional_embeddings"], config["ofs_embed_dim"]
    angles = tuple(random(video, config["attention_head_dim"], kind=torch.float32) for _ in "cs")
    inputs = {
        "hidden_states": random(case.batch, frames, config["in_channels"], height, width),
        "encoder_hidden_states": random(case.batch, text, config["text_embed_dim"]),
        "timestep": torch.full((case.batch,), 500, device="cuda"),
        "image_rotary_emb": angles if rotary else None,
        "ofs": torch.full((1,), 2.0, device="cuda", dtype=dtype) if ofs else None,
        "return_dict": False,
    }
    return transformer, inputs, video + text


def seconds(work: Any, count: int) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


@contextmanager
def marked(blocks: Any) -> Iterator[dict[str, list[int]]]:
    """Bytes allocated when each block begins, at its peak, and at the peak outside the blocks."""
    marks: dict[str, list[int]] = {"entering": [], "within": [], "outside": []}

    def enter(*_: object) -> None:
        marks["outside"].append(torch.cuda.max_memory_allocated())
        marks["entering"].append(torch.cuda.memory_allocated())
        torch.cuda.reset_peak_memory_stats()

    def leave(*_: object) -> None:
        marks["within"].append(torch.cuda.max_memory_allocated())
        torch.cuda.reset_peak_memory_stats()

    hooks = [block.register_forward_pre_hook(enter) for block in blocks]
    hooks += [block.register_forward_hook(leave) for block in blocks]
    torch.cuda.reset_peak_memory_stats()
    yield marks
    marks["outside"].append(torch.cuda.max_memory_allocated())
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    main()
