"""Time, memory and difference of the installed attention kernels at 5b's size.

    python docs/benchmarks/attention.py --out docs/benchmarks/attention.jsonl

One JSON row a measurement, in 15 seconds: each kernel's comparison, its attention alone, and one
block of 5b, eager and compiled as one graph. `--toy` checks the script on a CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, help="a file that takes a row a measurement")
    parser.add_argument("--toy", action="store_true", help="a small attention on the CPU")
    args = parser.parse_args()

    import torch

    from cogmagic._machine.kernels import installed_kernels
    from cogmagic._pipeline.attention.registry import KERNELS

    gpu = "CPU" if args.toy else torch.cuda.get_device_name()
    names = [] if args.toy else [name for name in KERNELS if name in installed_kernels()]

    def row(what: str, kernel: str, measure: Callable[[], dict[str, Any]]) -> None:
        try:
            facts = measure()
        except Exception as error:
            facts = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        date = datetime.now(UTC).date().isoformat()
        kind = {"what": what, "kernel": kernel or "torch"}
        line = json.dumps(kind | facts | {"gpu": gpu, "torch": torch.__version__, "date": date})
        print(line, flush=True)
        if args.out:
            with args.out.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    bench = Bench(toy=args.toy)
    for name in names:
        for dtype in ("bfloat16", "float16"):
            row(f"comparison in {dtype}", name, lambda n=name, d=dtype: bench.comparison(n, d))
    for name in ("flash", "", *names):
        row("attention", name, lambda n=name: bench.attention(n))
    for name in ("", *names):
        row("block", name, lambda n=name: bench.block(n, compiled=False))
        row("compiled block", name, lambda n=name: bench.block(n, compiled=True))


class Bench:
    """Inputs of 5b's attention and of one of its blocks, with random numbers."""

    def __init__(self, *, toy: bool) -> None:
        import torch

        self.toy = toy
        self.device = torch.device("cpu" if toy else "cuda")
        self.latents = (2, 4, 6) if toy else (13, 60, 90)
        self.heads = 2 if toy else 48
        self.flash: Any = None
        self.theirs: Any = None
        self.model: Any = None

    def comparison(self, name: str, dtype: str) -> dict[str, Any]:
        from dataclasses import asdict

        from cogmagic._pipeline.attention.check import compare

        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            compared, _ = compare(name, self.device, dtype, 64)
            seconds.append(time.perf_counter() - start)
        return asdict(compared) | {"first_seconds": seconds[0], "seconds": seconds[1]}

    def attention(self, name: str) -> dict[str, Any]:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel
        from torch.nn.functional import scaled_dot_product_attention

        from cogmagic._pipeline.attention.operator import operator

        torch.manual_seed(0)
        frames, height, width = self.latents
        shape = (2, 226 + frames * height * width // 4, self.heads, 64)
        query, key, value = (
            torch.randn(shape, device=self.device, dtype=torch.bfloat16).transpose(1, 2)
            for _ in range(3)
        )
        query, key = query.contiguous(), key.contiguous()  # as their norms leave them

        def attend() -> torch.Tensor:
            if name == "flash":
                with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
                    return scaled_dot_product_attention(query, key, value)
            if name:
                result: torch.Tensor = operator()(query, key, value, name)
                return result
            return scaled_dot_product_attention(query, key, value)

        result = attend().float()
        self.flash = result if self.flash is None else self.flash
        seconds, peak = self._measured(attend)
        operations = 4 * query.numel() * query.shape[2]
        return {
            "tokens": query.shape[2],
            "ms": round(seconds * 1e3, 3),
            "tflops": round(operations / seconds / 1e12, 1),
            "beyond_result_bytes": peak - query.numel() * query.element_size(),
            "difference": _difference(result, self.flash),
        }

    def block(self, name: str, *, compiled: bool) -> dict[str, Any]:
        import torch

        from cogmagic._pipeline.attention.processor import attending

        self.model = self.model or self._transformer()
        inputs, rotary = self._inputs()
        block = self.model.transformer_blocks[0]
        with torch.no_grad(), attending(self.model, name):
            forward = block.forward
            if compiled:
                torch.compiler.reset()
                forward = torch.compile(forward, fullgraph=True, dynamic=False)
            start = time.perf_counter()
            result = forward(*inputs, image_rotary_emb=rotary)[0].float()
            first = time.perf_counter() - start  # on the host: mostly compiling
            self.theirs = result if self.theirs is None else self.theirs
            seconds, peak = self._measured(lambda: forward(*inputs, image_rotary_emb=rotary))
        return {
            "ms": round(seconds * 1e3, 2),
            "first_seconds": round(first, 1),
            "peak_bytes": peak,
            "difference": _difference(result, self.theirs),
        }

    def _transformer(self) -> Any:
        import torch
        from diffusers import CogVideoXTransformer3DModel

        with torch.device(self.device):
            model = CogVideoXTransformer3DModel(
                num_attention_heads=self.heads,
                attention_head_dim=64,
                num_layers=1,
                use_rotary_positional_embeddings=True,
            )
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.data.normal_(0, 0.02)
        return model.to(torch.bfloat16).eval().requires_grad_(requires_grad=False)

    def _inputs(self) -> tuple[tuple[Any, ...], Any]:
        import torch
        from diffusers.models.embeddings import get_3d_rotary_pos_embed

        torch.manual_seed(0)
        frames, height, width = self.latents
        tokens, features = frames * height * width // 4, self.heads * 64
        shapes = (2, tokens, features), (2, 226, features), (2, 512)
        inputs = tuple(
            torch.randn(shape, device=self.device, dtype=torch.bfloat16) for shape in shapes
        )
        rotary = get_3d_rotary_pos_embed(
            embed_dim=64,
            crops_coords=((0, 0), (height // 2, width // 2)),
            grid_size=(height // 2, width // 2),
            temporal_size=frames,
            device=self.device,
        )
        return inputs, rotary

    def _measured(self, work: Callable[[], object]) -> tuple[float, int]:
        """Seconds of a call, the mean of five, and its peak of allocated bytes."""
        import torch

        if self.toy:
            work()
            return 1.0, 0
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
        start = time.perf_counter()
        for _ in range(5):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / 5, peak


def _difference(result: Any, expected: Any) -> float:
    return float((result - expected).norm() / expected.norm())


if __name__ == "__main__":
    main()
