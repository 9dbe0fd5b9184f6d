"""What trains: how accelerate has set it up, what it owns, and whether every process is here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogmagic._errors import TrainingError
from cogmagic._models.catalog import Dtype

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "TrainingRun",
    "check_pipeline",
    "raw_transformer",
    "release_gathered",
    "training_run_of",
    "zero_stage_now",
]


_DTYPES: dict[str, Dtype] = {"bf16": "bfloat16", "fp16": "float16"}


_SHARDED = ("FSDP", "MEGATRON_LM", "XLA")


@dataclass(frozen=True)
class TrainingRun:
    """The training run around a validation."""

    device: torch.device
    """Where this process trains."""
    dtype: Dtype | None = None
    """What mixed precision computes in; None where it is off."""
    processes: int = 1
    rank: int = 0
    zero_stage: int | None = None
    """DeepSpeed's, 0 to 3; None without DeepSpeed."""

    @property
    def deepspeed(self) -> bool:
        """Whether DeepSpeed owns the transformer and its memory."""
        return self.zero_stage is not None

    @property
    def gathers(self) -> bool:
        """Whether a forward pass needs every process: the weights are in pieces all over them."""
        return self.zero_stage == 3

    def mine(self, count: int) -> range:
        """Which of so many samples this process makes."""
        return range(count) if self.gathers else range(self.rank, count, self.processes)


def training_run_of(accelerator: Any) -> TrainingRun:
    """How `accelerator` trains.

    Raises:
        TrainingError: for a way to train in which the transformer cannot be run from outside.
    """
    state = accelerator.state
    kind = state.distributed_type.name
    if kind in _SHARDED:
        raise TrainingError(
            f"Validation under {kind} is not known to work; under DeepSpeed, on several processes"
            " and on one it is."
        )
    plugin = state.deepspeed_plugin if kind == "DEEPSPEED" else None
    device = accelerator.device
    if device.type == "cuda" and device.index is None:  # on one GPU it is not numbered
        import torch

        device = torch.device("cuda", torch.cuda.current_device())
    return TrainingRun(
        device=device,
        dtype=_DTYPES.get(str(accelerator.mixed_precision)),
        processes=accelerator.num_processes,
        rank=accelerator.process_index,
        zero_stage=int(plugin.zero_stage) if plugin is not None else None,
    )


def zero_stage_now() -> int | None:
    """The stage of a DeepSpeed run in this process, None without one; no state is created."""
    states = sys.modules.get("accelerate.state")
    if states is not None and states.is_initialized():
        plugin = states.AcceleratorState._shared_state.get("deepspeed_plugins")
        kind = states.AcceleratorState._shared_state.get("distributed_type")
        if plugin is not None and getattr(kind, "name", "") == "DEEPSPEED":
            return int(states.AcceleratorState().deepspeed_plugin.zero_stage)
        return None
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() != "true":
        return None
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    return int(stage) if stage.isdigit() else 2


def raw_transformer(pipe: Any, accelerator: Any, engine: TrainingRun) -> nn.Module:
    """The pipeline's transformer without what `accelerator.prepare` has put around it.

    Raises:
        TrainingError: under DeepSpeed, when the transformer is not the one that the engine trains.
    """
    raw = _unwrapped(pipe.transformer)
    trained = [_unwrapped(model) for model in accelerator._models]
    if engine.deepspeed and not any(raw is part for m in trained for part in m.modules()):
        raise TrainingError(
            "The pipeline's transformer is not the one that DeepSpeed trains: build the pipeline"
            " with transformer=accelerator.unwrap_model(model), after accelerator.prepare(model)."
        )
    return raw


_WRAPPERS = ("DistributedDataParallel", "DeepSpeedEngine", "OptimizedModule")


def _unwrapped(model: Any) -> nn.Module:
    """As accelerate's ``unwrap_model``, which brings in DeepSpeed wherever that is installed."""
    while type(model).__name__ in _WRAPPERS:
        model = getattr(model, "_orig_mod", None) or model.module
    found: nn.Module = model
    return found


def release_gathered(accelerator: Any) -> None:
    """ZeRO-3 keeps weights whole after a forward pass, until the next step of the optimizer."""
    for model in accelerator._models:
        partition = getattr(model, "empty_partition_cache", None)
        if partition is not None:
            partition()


def check_pipeline(pipe: Any) -> None:
    """Refuse what is no CogVideoX pipeline, and one that something else places already.

    Raises:
        TrainingError: with what to call first.
    """
    from torch import nn

    if not type(pipe).__name__.startswith("CogVideoX") or not hasattr(pipe, "transformer"):
        raise TrainingError(
            f"{type(pipe).__name__} is no CogVideoX pipeline. Build one from the parts that you"
            " train with: CogVideoXPipeline(tokenizer, text_encoder, vae, transformer, scheduler)."
        )
    if len(set((getattr(pipe, "hf_device_map", None) or {}).values())) > 1:
        raise TrainingError("The pipeline is spread over GPUs: call pipe.reset_device_map() first.")
    for name, module in pipe.components.items():
        if not isinstance(module, nn.Module):
            continue
        if name != "transformer" and type(module).__name__ in _WRAPPERS:
            raise TrainingError(
                f"The {name} is wrapped for training: build the pipeline with"
                f" {name}=accelerator.unwrap_model({name})."
            )
        for part in module.modules():
            hooks = getattr(getattr(part, "_diffusers_hook", None), "hooks", {})
            if "group_offloading" in hooks or _offloads(getattr(part, "_hf_hook", None)):
                raise TrainingError(
                    f"The {name} is offloaded by a hook, which would take weights from under the"
                    " training. Call pipe.remove_all_hooks(), and leave enable_…_offload out:"
                    " validation places what it needs."
                )


def _offloads(hook: Any) -> bool:
    inner = getattr(hook, "hooks", (hook,))  # a sequence of them
    return any(
        type(h).__name__ in ("CpuOffload", "UserCpuOffloadHook")
        or (type(h).__name__ == "AlignDevicesHook" and h.offload)
        for h in inner
    )
