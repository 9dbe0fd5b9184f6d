"""DDIM at chosen timesteps, against diffusers' own scheduler."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXDDIMScheduler

import cogmagic
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.timesteps import ddim_at
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT

EVEN = (999, 749, 499, 249)


def test_evenly_spaced_timesteps_give_the_frames_of_as_many_steps(
    toy: Path, cwd: Path, session: Session
) -> None:
    clip: dict[str, Any] = {"model": str(toy), "num_frames": 9, "seed": 1}
    stock = cogmagic.generate(PROMPT, steps=4, scheduler="ddim", **clip)
    chosen = cogmagic.generate(PROMPT, timesteps=EVEN, **clip)
    other = cogmagic.generate(PROMPT, timesteps=(999, 856, 665, 399), **clip)
    assert chosen.report.frames_sha256 == stock.report.frames_sha256
    assert other.report.frames_sha256 != stock.report.frames_sha256


def test_unevenly_spaced_timesteps_give_the_frames_of_diffusers_steps(
    toy: Path, cwd: Path, session: Session
) -> None:
    """diffusers goes down by 1000 // steps, which is set before each step: 500, 333 and 333."""

    class Uneven(CogVideoXDDIMScheduler):  # type: ignore[misc]
        def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
            self.timesteps = torch.tensor([999, 499, 166], device=device)

        def step(self, output: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
            self.num_inference_steps = 2 if timestep == 999 else 3
            return super().step(output, timestep, *args, **kwargs)

    pipe = load(PipelineSpec(toy, "t2v", "float32"))
    pipe.scheduler = Uneven.from_config(pipe.scheduler.config)
    images = pipe(
        PROMPT, height=96, width=96, num_frames=9, num_inference_steps=3, guidance_scale=2.5,
        generator=torch.Generator("cpu").manual_seed(1), output_type="pil", max_sequence_length=16,
    ).frames[0]  # fmt: skip
    video = cogmagic.generate(
        PROMPT, model=str(toy), timesteps=[999, 499, 166], guidance_scale=2.5, num_frames=9, seed=1
    )
    raw = b"".join(image.tobytes() for image in images)
    assert hashlib.sha256(raw).hexdigest() == video.report.frames_sha256


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_step_predicts_as_the_checkpoint_says(prediction: str, dtype: torch.dtype) -> None:
    options = {"prediction_type": prediction, "timestep_spacing": "trailing"}
    stock = CogVideoXDDIMScheduler(**options, snr_shift_scale=1.0, rescale_betas_zero_snr=False)
    stock.set_timesteps(4)
    ours = ddim_at(stock.config, EVEN)
    ours.set_timesteps(4)
    assert ours.timesteps.tolist() == stock.timesteps.tolist()
    random = torch.Generator().manual_seed(0)
    latents, output = (torch.randn(2, 3, generator=random).to(dtype) for _ in range(2))
    for at in stock.timesteps:
        expected = stock.step(output, at, latents, return_dict=False)[0]
        assert expected.isfinite().all()
        assert torch.equal(ours.step(output, at, latents, return_dict=False)[0], expected)
