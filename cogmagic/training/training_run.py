"""The training run as accelerate has set it up, and checks of the pipeline that it trains."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cogmagic._errors import TrainingError
from cogmagic._models.model import Dtype

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
    """The precision of mixed precision; None where it is off."""
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
        """Whether a forward pass needs every process, because each holds a part of the weights."""
        return self.zero_stage == 3

    def share(self, count: int) -> range:
        """Indices of the samples that this process makes, of `count`."""
        return range(count) if self.gathers else range(self.rank, count, self.processes)


def training_run_of(accelerator: Any) -> TrainingRun:
    """The training run of `accelerator`.

    Raises:
        TrainingError: for a kind of training in which the transformer cannot run outside of it.
    """
    state = accelerator.state
    kind = state.distributed_type.name
    if kind in _SHARDED:
        raise TrainingError(
            f"Validation under {kind} is not supported. Supported are DeepSpeed, several processes"
            " (DDP) and one process."
        )
    plugin = state.deepspeed_plugin if kind == "DEEPSPEED" else None
    device = accelerator.device
    if device.type == "cuda" and device.index is None:  # accelerate gives no index on one GPU
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
    """The ZeRO stage of a DeepSpeed run in this process, or None; creates no accelerate state."""
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
    """The pipeline's transformer without the wrappers of `accelerator.prepare`.

    Raises:
        TrainingError: under DeepSpeed, when the transformer is not the one that it trains.
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
    """`model` without wrappers; accelerate's ``unwrap_model`` may import DeepSpeed."""
    while type(model).__name__ in _WRAPPERS:
        model = getattr(model, "_orig_mod", None) or model.module
    module: nn.Module = model
    return module


def release_gathered(accelerator: Any) -> None:
    """Partition weights again, which ZeRO-3 keeps whole from a forward pass to the next step."""
    for model in accelerator._models:
        partition = getattr(model, "empty_partition_cache", None)
        if partition is not None:
            partition()


def check_pipeline(pipe: Any) -> None:
    """Refuse what is no CogVideoX pipeline, and pipelines that are placed by something else.

    Raises:
        TrainingError: with what to call first.
    """
    from torch import nn

    if not type(pipe).__name__.startswith("CogVideoX") or not hasattr(pipe, "transformer"):
        raise TrainingError(
            f"{type(pipe).__name__} is no CogVideoX pipeline. Build one from the components that"
            " you train with:"
            " CogVideoXPipeline(tokenizer, text_encoder, vae, transformer, scheduler)."
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
                    f"The {name} is offloaded by a hook, which would move weights during the"
                    " training. Call pipe.remove_all_hooks(), and leave enable_…_offload out:"
                    " validation places what it needs."
                )


def _offloads(hook: Any) -> bool:
    inner = getattr(hook, "hooks", (hook,))  # SequentialHook holds several
    return any(
        type(h).__name__ in ("CpuOffload", "UserCpuOffloadHook")
        or (type(h).__name__ == "AlignDevicesHook" and h.offload)
        for h in inner
    )
