"""Training machinery that both stages share.

bfloat16 weights with float32 masters, their exponential moving average, a learning rate that
follows the clock, gradients averaged over processes, and CUDA graphs.

On a CPU the same code runs in float32 without graphs, slowly, so that it can be tried anywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import distributed, nn


def working_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU; float32 on a CPU, where bfloat16 convolutions are very slow."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


class Clock:
    """A wall-clock budget that drives the learning rate: linear warm-up, then a cosine."""

    def __init__(self, seconds: float, peak: float, device: torch.device, warmup: int = 200):
        self.seconds, self.peak, self.warmup = seconds, peak, warmup
        self.start = time.monotonic()
        self.begun = 0.0
        self.now = torch.zeros((), device=device)
        self.elapsed = 0.0

    def read(self) -> float:
        """Seconds since the clock was made; every process gets the first one's answer."""
        self.elapsed = time.monotonic() - self.start
        if distributed.is_initialized():
            self.now.fill_(self.elapsed)
            distributed.broadcast(self.now, 0)
            self.elapsed = self.now.item()
        return self.elapsed

    def begin(self) -> None:
        """Preparations are over: the learning rate's schedule starts here."""
        self.begun = self.read()

    def over(self, step: int) -> bool:
        """True when the budget is spent; looks at the time every 20 steps."""
        if step % 20 == 0:
            self.read()
        return self.elapsed >= self.seconds

    def rate(self, step: int) -> float:
        """Learning rate at optimiser step `step`, by the time last read."""
        done = min((self.elapsed - self.begun) / (self.seconds - self.begun), 1.0)
        cosine = 0.5 * (1 + math.cos(math.pi * done))
        return self.peak * max(cosine, 0.01) * min(1.0, (step + 1) / self.warmup)


class Weights:
    """Master copies in float32 of the modules' parameters, AdamW on them, and their average."""

    def __init__(
        self,
        modules: Iterable[nn.Module],
        device: torch.device,
        decay: float = 0.999,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        modules = list(modules)
        for module in modules:
            module.to(device=device, dtype=torch.float32).train()
        self.working = [p for module in modules for p in module.parameters()]
        self.master = [p.detach().clone() for p in self.working]
        self.average = [p.detach().clone() for p in self.working]
        for module in modules:
            module.to(dtype=working_dtype(device))
        self.gradient = torch.zeros(sum(p.numel() for p in self.master), device=device)
        parts = self.gradient.split([p.numel() for p in self.master])
        for working, master, part in zip(self.working, self.master, parts, strict=True):
            working.grad = torch.zeros_like(working)
            master.grad = part.view_as(master)
        self.optimiser = torch.optim.AdamW(
            self.master, lr=0.0, betas=betas, weight_decay=weight_decay, fused=True
        )
        self.decay = decay
        self.steps = 0

    def step(self, rate: float) -> None:
        """One optimiser step from the working parameters' gradients, averaged over processes."""
        torch._foreach_copy_([m.grad for m in self.master], [w.grad for w in self.working])
        if distributed.is_initialized():
            distributed.all_reduce(self.gradient)
            self.gradient.div_(distributed.get_world_size())
        self.gradient.mul_((1 / (self.gradient.norm() + 1e-6)).clamp(max=1))
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        with torch.no_grad():
            torch._foreach_copy_(self.working, self.master)
            self.steps += 1
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.average, self.master, 1 - decay)

    def averaged(self) -> Swapped:
        """A context in which the modules hold their averaged weights."""
        return Swapped(self.working, self.average, self.master)


class Swapped:
    """Puts one set of weights into the working parameters and another back on leaving."""

    def __init__(
        self,
        working: list[nn.Parameter],
        inside: list[torch.Tensor],
        after: list[torch.Tensor],
    ) -> None:
        self.working, self.inside, self.after = working, inside, after

    def __enter__(self) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.working, self.inside)

    def __exit__(self, *_: object) -> None:
        with torch.no_grad():
            torch._foreach_copy_(self.working, self.after)


class GraphedLoss:
    """A loss and its gradients, recorded once as a CUDA graph and replayed on new inputs.

    `loss(*inputs)` must be made of device work only. Gradients land in the parameters' existing
    `.grad` tensors, which each call overwrites. Without CUDA, or if recording fails, it is eager.
    """

    def __init__(
        self,
        loss: Callable[..., torch.Tensor],
        inputs: tuple[torch.Tensor, ...],
        parameters: list[nn.Parameter],
    ) -> None:
        self.loss, self.parameters = loss, parameters
        self.inputs = tuple(x.clone() for x in inputs)
        self.graph: torch.cuda.CUDAGraph | None = None
        if inputs[0].is_cuda:
            try:
                self._record()
            except RuntimeError as error:
                self.graph = None
                torch.cuda.synchronize()
                print(f"no CUDA graph, running eagerly: {error}", flush=True)

    def _once(self) -> torch.Tensor:
        torch._foreach_zero_([p.grad for p in self.parameters])
        value = self.loss(*self.inputs)
        value.backward()
        return value.detach()

    def _record(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._once()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.value = self._once()
        self.graph = graph

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Copy the inputs in, compute, and return the loss (a scalar, still on the device)."""
        for static, new in zip(self.inputs, inputs, strict=True):
            static.copy_(new)
        if self.graph is None:
            return self._once()
        self.graph.replay()
        return self.value
