"""fp8 products on a GPU: the products alone, what narrows their inputs, and blocks that use them.

    python docs/benchmarks/fp8_layers.py          # 30 s on an H200
    python docs/benchmarks/fp8_layers.py --toy    # on a CPU, without inductor

`peak` is the most bytes allocated while a block runs, beyond its weights and inputs; `diff` is the
relative difference of what the block adds to its inputs, to the eager block in 16 bits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock
from torch import nn
from torch.nn.functional import linear

from cogmagic._pipeline.adapters import _with_adapters
from cogmagic._pipeline.storage import STORAGES, fp8_products

HERE = Path(__file__).parent
TOY = not torch.cuda.is_available()
DEVICE = torch.device("cpu" if TOY else "cuda")
BLOCKS: dict[str, tuple[int, int, int, torch.dtype, bool, int]] = {
    "5b": (48, 64, 17550, torch.bfloat16, True, 2),
    "2b": (30, 64, 8000, torch.float16, False, 2),
    "5b-one": (48, 64, 17550, torch.bfloat16, True, 1),
}
"""Heads, their dimension, video tokens, dtype, rotary embeddings, batch."""
CASES = [
    (storage, lora, compiles, fast)
    for compiles in (False, True)
    for storage, lora, fast in (
        ("", 0, True), ("fp8", 0, True), ("fp8_products", 0, True), ("fp8_products", 0, False),
        ("", 128, True), ("fp8_products", 128, True),
    )
]  # fmt: skip
"""Storage, rank of an adapter of attention, compiled blocks, fast accumulation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--toy", action="store_true", help="tiny layers, without inductor")
    parser.add_argument("--out", type=Path, default=HERE / "fp8_layers.jsonl")
    args = parser.parse_args()
    bench = Bench(args.out, toy=args.toy or TOY)
    with torch.no_grad():
        bench.products()
        for name in BLOCKS:
            bench.blocks(name)


class Bench:
    """Measures one thing after another and writes a row of each."""

    def __init__(self, out: Path, *, toy: bool) -> None:
        self.out, self.toy = out, toy

    def row(self, kind: str, measure: Callable[[], dict[str, Any]], **key: Any) -> None:
        """Write what `measure` returns, or its error."""
        row: dict[str, Any] = {"kind": kind, **key}
        try:
            row |= measure()
        except (RuntimeError, ValueError) as error:
            row |= {"error": repr(error)[:300]}
        row["card"] = "CPU" if TOY else torch.cuda.get_device_name()
        row["versions"] = {"torch": torch.__version__}
        row["date"] = datetime.now(UTC).date().isoformat()
        print(row, flush=True)
        with self.out.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def products(self) -> None:
        """The products of 5b's layers, in 16 bits and in fp8, and the narrowing of their inputs."""
        tokens, width = (64, 32) if self.toy else (35552, 3072)
        sides = ((width, width), (width, 4 * width), (4 * width, width))
        for (k, n), dtype in product(sides, (torch.bfloat16, torch.float16)):
            key = {"k": k, "n": n, "dtype": str(dtype)[6:]}
            x, w = (torch.randn(rows, k, device=DEVICE, dtype=dtype) for rows in (tokens, n))
            bias = torch.randn(n, device=DEVICE, dtype=dtype)
            self.row("product", partial(timed, partial(linear, x, w)), how="16 bits", **key)
            self.row("narrow", partial(timed, partial(fp8_products._narrowed, x)), **key)
            for fast in (True, False):
                self.row(
                    "product", partial(multiplied, x, w, bias, fast), how="fp8", fast=fast, **key
                )

    def blocks(self, name: str) -> None:
        """One block in each case."""
        references: dict[int, Any] = {}
        for case in CASES:
            storage, lora, compiles, fast = case
            run = partial(block_row, name, case, references, toy=self.toy)
            key = {"name": name, "storage": storage, "lora": lora, "compiled": compiles}
            self.row("block", run, **key, fast=fast)


def multiplied(x: Any, w: Any, bias: Any, fast: bool) -> dict[str, Any]:
    """Seconds of a product in fp8, and its differences.

    ``to_emulated`` is that to the product of the same fp8 numbers in float32, and ``to_exact`` that
    to the product of the 16-bit numbers.
    """
    (x8, sx), (w8, sw) = fp8_products._narrowed(x), fp8_products._narrowed(w)
    exact = linear(x.float(), w.float(), bias.float())
    narrow = (x8.float() @ w8.float().t()) * sx * sw.t() + bias
    options = {"scale_a": sx, "scale_b": sw.t(), "bias": bias, "out_dtype": x.dtype}
    multiply = partial(torch._scaled_mm, x8, w8.t(), **options, use_fast_accum=fast)
    out = multiply()
    differences = {"to_emulated": relative(out, narrow), "to_exact": relative(out, exact)}
    return timed(multiply) | differences


def block_row(
    name: str, case: tuple[str, int, bool, bool], references: dict[int, Any], *, toy: bool
) -> dict[str, Any]:
    """A block's seconds, peak and difference; the first of each rank is the reference."""
    heads, dim, tokens, dtype, rotary, batch = BLOCKS[name]
    heads, dim, tokens = (2, 16, 24) if toy else (heads, dim, tokens)
    storage, lora, compiles, fast = case
    torch.manual_seed(0)
    args = inputs((heads, dim, tokens), dtype, batch, rotary=rotary)
    forward: Any = made(heads, dim, dtype, storage, lora).forward
    if compiles:
        torch._dynamo.reset()
        backend = "eager" if toy else "inductor"
        forward = torch.compile(forward, dynamic=False, fullgraph=True, backend=backend)
    scaled = torch._scaled_mm

    def accumulated(*given: Any, **options: Any) -> Any:
        return scaled(*given, **options | {"use_fast_accum": fast})

    with mock.patch.object(torch, "_scaled_mm", scaled if fast else accumulated):
        forward(*args)
        out, peak = peak_of(lambda: forward(*args))
        added = torch.cat([(a - b).float() for a, b in zip(out, args, strict=False)], 1)
        row = {"batch": batch, "tokens": added.shape[1], "width": heads * dim}
        row |= {"dtype": str(dtype)[6:], "peak": peak, "output": sum(o.nbytes for o in out)}
        row |= {"diff": relative(added, references.setdefault(lora, added))}
        del out, added
        return row | timed(lambda: forward(*args), 5)


def made(heads: int, dim: int, dtype: torch.dtype, storage: str, lora: int) -> Any:
    """A block with random weights in a storage, with a random adapter of that rank."""
    with DEVICE:
        block = CogVideoXBlock(
            dim=heads * dim, num_attention_heads=heads, attention_head_dim=dim, time_embed_dim=512,
            attention_bias=True, qk_norm=True,
        )  # fmt: skip
    block = block.to(dtype).eval().requires_grad_(False)
    for parameter in block.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.02)
    transformer = nn.Module()
    transformer.transformer_blocks = nn.ModuleList([block])
    if storage:
        STORAGES[storage].store(transformer, DEVICE)
    for part in block.attn1.modules() if lora else ():
        if isinstance(part, nn.Linear):
            down, up = (lora, part.in_features), (part.out_features, lora)
            for side, shape in ("down", down), ("up", up):
                values = torch.randn(*shape, device=DEVICE).mul_(0.02).to(dtype)
                part.register_parameter(f"lora_{side}_0", nn.Parameter(values, False))
            part.lora_scales = (0.5,)
            part.__class__ = _with_adapters(type(part))
    return block


def inputs(
    sizes: tuple[int, int, int], dtype: torch.dtype, batch: int, *, rotary: bool
) -> tuple[Any, ...]:
    """Random inputs of a block: video, text, time and rotary embeddings."""
    heads, dim, tokens = sizes
    shapes = (batch, tokens, heads * dim), (batch, 226, heads * dim), (batch, 512)
    states = (torch.randn(*shape, device=DEVICE).to(dtype) for shape in shapes)
    tables = tuple(torch.randn(tokens, dim, device=DEVICE) for _ in range(2)) if rotary else None
    return *states, tables


def timed(work: Callable[[], object], count: int = 10) -> dict[str, float]:
    work()
    wait()
    began = time.perf_counter()
    for _ in range(count):
        work()
    wait()
    return {"seconds": (time.perf_counter() - began) / count}


def peak_of(work: Callable[[], Any]) -> tuple[Any, int]:
    """What `work` returns, and the most bytes that were allocated meanwhile."""
    if TOY:
        return work(), 0
    wait()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    out = work()
    wait()
    return out, torch.cuda.max_memory_allocated() - before


def wait() -> None:
    if not TOY:
        torch.cuda.synchronize()


def relative(outputs: Any, expected: Any) -> float:
    return float((outputs.float() - expected.float()).norm() / expected.float().norm())


if __name__ == "__main__":
    main()
