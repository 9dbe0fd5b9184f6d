"""Long videos in windows, beside the loop of VOID's authors, and their sampler."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cogmagic._models.catalog import catalogued
from cogmagic._models.family import window_spans
from cogmagic._pipeline.load import scheduler_for
from cogmagic._pipeline.windows import in_windows, weights_of, window_count


def request(**options: Any) -> Any:
    from cogmagic._models.inputs import placeholders
    from cogmagic._models.request import Request

    return Request.of("a", "void", **placeholders("void", {}), **options)


def authors_spans(frames: int, window: int = 22, stride: int = 4) -> list[tuple[int, int]]:
    """The loop of ``pipeline_cogvideox_fun_inpaint.py``."""
    spans, begin = [], 0
    while begin < frames:
        end = min(begin + window, frames)
        spans.append((begin, end))
        begin = end - stride
        if end >= frames:
            break
    return spans


@pytest.mark.parametrize("frames", range(2, 120, 2))
def test_windows_are_the_authors(frames: int) -> None:
    assert window_spans(frames) == authors_spans(frames)


@pytest.mark.parametrize(("num_frames", "count"), [(2, 1), (85, 1), (86, 2), (157, 2), (158, 3)])
def test_number_of_windows(num_frames: int, count: int) -> None:
    assert window_count(request(num_frames=num_frames)) == count


def test_overlaps_have_linear_ramps() -> None:
    first, last = weights_of(0, 22, 40), weights_of(18, 40, 40)
    assert first[-4:].tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert last[:4].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert first[:18].tolist() == [1.0] * 18
    assert last[4:].tolist() == [1.0] * 18


class Transformer(torch.nn.Module):
    """Predicts from a window's own latents and positions, differently for each window."""

    def forward(self, hidden_states: Any, image_rotary_emb: Any, **_: Any) -> tuple[torch.Tensor]:
        frames = hidden_states.shape[1]
        place = image_rotary_emb[0].reshape(frames, -1).mean(1)[:, None, None, None]
        return (hidden_states[:, :, :4] * 0.3 + place + frames / 50,)


@pytest.mark.parametrize("frames", [22, 24, 50])
def test_a_step_equals_the_average_of_the_windows_steps(frames: int) -> None:
    """The authors' way: a step of the scheduler for each window, then the weighted mean."""
    from diffusers import CogVideoXDDIMScheduler, DDIMScheduler

    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, frames, 4, 6, 10, generator=generator)
    beside = torch.randn(1, frames, 8, 6, 10, generator=generator)
    rotary = tuple(torch.arange(frames * 15.0)[:, None].expand(-1, 4) / 100 for _ in range(2))
    model: Any = Transformer()
    inputs = {"hidden_states": torch.cat([latents, beside], dim=2), "image_rotary_emb": rotary}
    with in_windows(model, request(num_frames=4 * frames - 3)):
        predicted = model(**inputs)[0]
    published = CogVideoXDDIMScheduler(
        snr_shift_scale=3.0,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    pipe = SimpleNamespace(scheduler=published)
    step = scheduler_for(pipe, SimpleNamespace(timesteps=(), scheduler="ddim", model=void()))
    plain = DDIMScheduler.from_config(published.config)
    for one in (step, plain):
        one.set_timesteps(10)
    assert step.timesteps.tolist() == plain.timesteps.tolist()
    t = step.timesteps[3]
    found = step.step(predicted, t, latents)[0]
    total, weight = torch.zeros_like(latents), torch.zeros(frames)
    for start, stop in authors_spans(frames):
        given = inputs["hidden_states"][:, start:stop]
        own = model(given, tuple(table[: 15 * (stop - start)] for table in rotary))[0]
        share = weights_of(start, stop, frames)
        moved = plain.step(own, t, latents[:, start:stop])[0]
        total[:, start:stop] += moved * share[:, None, None, None]
        weight[start:stop] += share
    torch.testing.assert_close(found, total / weight[:, None, None, None], atol=1e-5, rtol=1e-5)


def void() -> Any:
    return catalogued("void")
