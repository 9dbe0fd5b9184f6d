"""Which parts of a speed a run has on a machine and in a tier. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cogmagic._footprint.savings import NO_SAVINGS, SAVINGS, Savings
from cogmagic._machine.machine import Machine
from cogmagic._models.model import Dtype, Model
from cogmagic._pipeline.attention.registry import KERNELS, fastest_kernel
from cogmagic._pipeline.speedups import NO_SPEEDUPS, Speedups
from cogmagic._pipeline.storage import has_fp8_products
from cogmagic._pipeline.storage.fp8_products import Fp8Products
from cogmagic._planning.memory_options import MemoryOptions
from cogmagic._planning.speeds import SPEEDS
from cogmagic._tiers.base import Tier

__all__ = ["EXACT", "Resolved", "compile_problem", "resolved"]


@dataclass(frozen=True)
class Resolved:
    """What a run uses of the options and the speed that were asked for."""

    savings: Savings = NO_SAVINGS
    speedups: Speedups = NO_SPEEDUPS
    left_out: tuple[str, ...] = ()
    """The parts of the speed that are left out, each with the reason, such as ``compiling: tier
    'sequential' loads layer by layer``."""

    @property
    def text(self) -> str:
        """The savings and speedups that are on, as `PastRun.uses`."""
        switches = (name for name in SAVINGS if getattr(self.savings, name))
        text = f"{self.savings.text} text encoder" if self.savings.text else ""
        parts = (*switches, self.savings.storage, text, *self.speedups.names)
        return ", ".join(filter(None, parts))

    @property
    def words(self) -> str:
        """The savings and speedups that are on, as a plan names them."""
        switches = (name.replace("_", " ") for name in SAVINGS if getattr(self.savings, name))
        weights, uses = self.savings.weights, self.speedups
        parts = (
            *switches,
            (weights.title or weights.name) if weights else "",
            f"{self.savings.text} text encoder" if self.savings.text else "",
            "compiled blocks" if uses.compile else "",
            KERNELS[uses.attention].title if uses.attention else "",
            "fast decoding" if uses.decode else "",
            f"cache {uses.cache}" if uses.cache else "",
        )
        return ", ".join(filter(None, parts))


EXACT = Resolved()


def resolved(
    model: Model,
    options: MemoryOptions,
    machine: Machine,
    dtype: Dtype,
    tier: Tier | None = None,
    *,
    not_lean: str = "",
) -> Resolved:
    """What a run uses of the options and the speed that were asked for.

    Args:
        model: what is run.
        options: what the person chose; a part that they chose by its own option is used as it is.
        machine: where.
        dtype: the dtype in which the weights are loaded.
        tier: the tier; None to leave out only what no tier can use here.
        not_lean: why decoding of cogmagic's own does not apply to the VAE, lean or fast.
    """
    speed, left_out = SPEEDS[options.speed], []

    def is_used(part: str, problem: str) -> bool:
        if problem:
            left_out.append(f"{part}: {problem}")
        return not problem

    compiles = options.compile
    if speed.compile and not compiles:
        compiles = is_used("compiling", _no_compiling(machine, tier))
    savings = options.savings
    problem = _packed_already(model) or _no_products(savings, machine, tier)
    multiplies = is_used("fp8 products", problem) if speed.products else not problem
    if multiplies and (speed.products or savings.storage == Fp8Products.chosen_by):
        savings = replace(savings, storage=Fp8Products.name)
    attention = options.attention
    if speed.attention and not attention:
        several = tier is not None and tier.several_gpus
        head_dim = model.architecture.attention_head_dim
        kernel, problem = fastest_kernel(machine, dtype, head_dim, several=several)
        is_used("faster attention", "" if kernel else problem)
        attention = kernel.name if kernel else ""
    no_decode = not_lean or _no_fast_decoding(machine, dtype, tier)
    decode = speed.decode and is_used("fast decoding", no_decode)
    speedups = Speedups(compiles, attention, decode, options.step_cache)
    return Resolved(savings, speedups, tuple(left_out))


def compile_problem(machine: Machine) -> str:
    """Why nothing can be compiled on a machine, a clause; empty if it can."""
    gpu = machine.roomiest
    if machine.compiler:
        return machine.compiler
    if machine.device == "cuda" and gpu and gpu.capability and gpu.capability < (7, 0):
        major, minor = gpu.capability
        return f"Triton needs compute capability 7.0 or newer, and {gpu.name} has {major}.{minor}"
    return ""


def _no_compiling(machine: Machine, tier: Tier | None) -> str:
    """Why a speed compiles nothing: a clause; empty if it does."""
    if machine.device == "mps":
        return "torch's compiler for MPS is a prototype"
    if tier is not None and not tier.compiles:
        return f"tier {tier.name!r} loads layer by layer"
    return compile_problem(machine)


def _packed_already(model: Model) -> str:
    """Why the transformer's weights cannot be narrowed: a clause; empty if they can."""
    packed = (p for p in model.stored.packed if p.component == "transformer" and p.scaled)
    return next((f"the transformer's files are quantised ({p.form})" for p in packed), "")


def _no_products(savings: Savings, machine: Machine, tier: Tier | None) -> str:
    """Why nothing is multiplied in fp8: a clause; empty if it is."""
    gpu = machine.roomiest if machine.device == "cuda" else None
    if not has_fp8_products(gpu.capability if gpu else None):
        return f"they take an Ada or Hopper GPU{f', not {gpu.name}' if gpu else ''}"
    if tier is not None and not tier.accepts(replace(savings, storage=Fp8Products.name)):
        return f"tier {tier.name!r} loads the weights as the files store them"
    return ""


def _no_fast_decoding(machine: Machine, dtype: Dtype, tier: Tier | None) -> str:
    """Why the video is not decoded fast: a clause; empty if it is."""
    if machine.device != "cuda":
        return "it takes an NVIDIA or AMD GPU"
    if tier is not None and not tier.compiles:
        return f"tier {tier.name!r} loads layer by layer"
    if tier is not None and not tier.accepts(Savings(lean_decode=True)):
        return f"tier {tier.name!r} has hooks of its own around the VAE"
    gpu = machine.roomiest
    tried = (t.problem for t in machine.trials if gpu and (t.gpu, t.dtype) == (gpu.index, dtype))
    return compile_problem(machine) or next(tried, "")  # Triton needs the same
