"""A training loop of a checkpoint's transformer, run by tests/training under every launcher.

    python training_loop.py MODEL FOLDER '{"GROUP": ["SCENARIO,...", {"KEY": "VALUE"...}]...}'

Trains once for each scenario (``alone`` is without validations) and writes what happened to
FOLDER/GROUP/SCENARIO/RANK.json: the losses, and what differed after a validation. The scenarios of
one launch share the time that importing torch, diffusers and DeepSpeed takes.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import DeepSpeedPlugin, InitProcessGroupKwargs
from diffusers import CogVideoXPipeline

from cogmagic import CogMagicError
from cogmagic.training import validation
from tests.helpers.without_shm import leave_out_shm

REQUESTS = [
    {"prompt": prompt, "num_frames": 9, "width": 128, "height": 32, "num_inference_steps": 2}
    for prompt in ("a red circle moves right", "a blue square", "a red circle moves right")
]


def main() -> None:
    model, out, groups = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    rank = os.environ.get("RANK", "0")
    if any("zero" in options for _, options in groups.values()):
        leave_out_shm()
    gc.freeze()  # every collection would walk the objects of imported libraries
    for group, (scenarios, options) in groups.items():
        for scenario in scenarios.split(","):
            folder = out / group / scenario
            folder.mkdir(parents=True, exist_ok=True)
            report = Loop(model, options | {"validate": scenario}).run(folder)
            (folder / f"{rank}.json").write_text(json.dumps(report))
            gc.collect()
            AcceleratorState._reset_state()
            GradientState._reset_state()
    # Past the libraries' own end: under ZeRO-3 on CPUs it aborts now and then, without a validation
    # as well ("terminate called without an active exception").
    sys.stdout.flush()
    os._exit(0)


def allocated() -> int:
    if not torch.cuda.is_available():
        return 0
    gc.collect()
    return torch.cuda.memory_allocated()


def digest(state: object) -> str:
    """Of all of it: a draw moves the position first, the numbers only later."""
    with np.printoptions(threshold=sys.maxsize):
        return hashlib.sha256(repr(state).encode()).hexdigest()


class Loop:
    """Four steps, with validations where the options have them."""

    def __init__(self, model: str, options: dict[str, str]) -> None:
        self.options = options
        stage = options.get("zero")
        plugin = None
        if stage:
            plugin = DeepSpeedPlugin(zero_stage=int(stage), gradient_accumulation_steps=1)
        # accelerate knows no DeepSpeed on several CPUs unless the backend is named.
        several = "RANK" in os.environ and not torch.cuda.is_available()
        here = [InitProcessGroupKwargs(backend="gloo")] if several else []
        self.accelerator = Accelerator(
            cpu=not stage and not torch.cuda.is_available(),
            deepspeed_plugin=plugin,
            mixed_precision=options.get("mixed", "no"),
            kwargs_handlers=here,
        )
        if stage:
            plugin.deepspeed_config |= {
                "train_micro_batch_size_per_gpu": 1,
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
            }
            # Of larger models' weights most are partitioned: of these the largest.
            plugin.deepspeed_config["zero_optimization"]["stage3_param_persistence_threshold"] = (
                1000
            )
        self.pipe = CogVideoXPipeline.from_pretrained(model, use_safetensors=True)
        for part in (self.pipe.vae, self.pipe.text_encoder):
            part.requires_grad_(False)
        torch.manual_seed(1)
        self.model = self.pipe.transformer
        self.model.train()
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
        self.engine, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if options.get("wrapped"):  # as some trainers have it
            self.pipe.transformer = self.engine

    def run(self, folder: Path) -> dict[str, Any]:
        losses, differences, notes, videos, grew = [], [], [], [], []
        for step in range(4):
            losses.append(self.step())
            if self.options["validate"] != "alone" and step in (1, 2):
                before, held = self.state(), allocated()
                try:
                    videos = self.validate(folder, step)
                except (CogMagicError, RuntimeError) as error:
                    notes.append(f"{type(error).__name__}: {error}")
                after = self.state()
                grew.append(allocated() - held)
                differences += [k for k in before if before[k] != after[k]]
        self.accelerator.wait_for_everyone()
        report = {"losses": losses, "differences": differences, "grew": grew}
        return report | {"notes": notes, "videos": videos}

    def step(self) -> float:
        config = self.model.config
        device, dtype = self.accelerator.device, self.model.dtype
        clip = torch.randn(1, 3, config.in_channels, 8, 8).to(device, dtype)
        text = torch.randn(1, config.max_text_seq_length, config.text_embed_dim).to(device, dtype)
        rate = torch.randint(0, 1000, (1,)).to(device)
        made = self.engine(clip, text, rate, return_dict=False)[0]
        loss = (made.float() - clip.float()).square().mean()
        self.accelerator.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def validate(self, folder: Path, step: int) -> list[dict[str, Any]]:
        options = self.options
        main = self.accelerator.is_main_process
        alone = options["validate"] == "main" and step == 1
        if alone and not main:
            return []
        hooks: list[str] = []

        def look(progress: Any) -> None:
            if progress.phase == "denoise" and progress.done == 1:
                hooks.extend(self.hooks())
                one = options["validate"] == "raise-one" and self.accelerator.is_main_process
                if options["validate"] == "raise" or one:
                    raise RuntimeError("injected")

        timeout = 5.0 if alone else 120.0
        with validation(
            self.pipe, self.accelerator, folder=folder / "videos", timeout=timeout,
            on_progress=look,
        ) as v:  # fmt: skip
            how, wishes = options["validate"] if step == 1 else "", REQUESTS
            if how == "refuse-one" and not main:
                wishes = [{**wish, "width": 65} for wish in REQUESTS]
            if how == "other-one" and not main:
                wishes = REQUESTS[:1]
            videos = v.generate(wishes, step=step, overwrite=how != "keep")
            assert "tiling" in str(v.plan(REQUESTS))
        assert not hooks, hooks
        return [
            {"sha": x.report.frames_sha256, "path": str(x.path), "tier": x.report.tier}
            for x in videos
        ]

    def hooks(self) -> list[str]:
        return [
            name
            for part in (self.pipe.vae, self.model)
            for name, module in part.named_modules()
            if hasattr(module, "_hf_hook")
            or getattr(getattr(module, "_diffusers_hook", None), "hooks", None)
        ]

    def tensor(self, p: torch.Tensor) -> str:
        where = f"{p.shape} {p.data_ptr()}" if not hasattr(p, "ds_shape") else str(p.ds_shape)
        return f"{p.dtype} {p.device} {p.requires_grad} {where}"

    def state(self) -> dict[str, str]:
        """All state that training relies on."""
        parts = {n: m for n, m in self.pipe.components.items() if isinstance(m, torch.nn.Module)}
        state = {
            f"{name}.{key}": self.tensor(p)
            for name, module in parts.items()
            for key, p in (*module.named_parameters(), *module.named_buffers())
        }
        state |= {
            f"{name}.{key} mode": str(sub.training)
            for name, module in parts.items()
            for key, sub in module.named_modules()
        }
        state["torch"] = digest(torch.get_rng_state().tolist())
        state["numpy"] = digest(np.random.get_state(legacy=False))
        state["python"] = digest(random.getstate())
        state["attributes"] = str([sorted(m.__dict__) for m in parts.values()])
        state["pipe"] = (
            f"{self.pipe.config} {self.pipe.scheduler.config} {self.pipe.vae.use_tiling}"
        )
        state["config"] = str(self.model.config)
        state["bar"] = str(getattr(self.pipe, "_progress_bar_config", {}))
        if torch.cuda.is_available():
            state["cuda"] = digest(torch.cuda.get_rng_state().tolist())
        return state


if __name__ == "__main__":
    main()
