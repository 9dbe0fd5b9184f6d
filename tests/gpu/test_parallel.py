"""One video on two GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cogmagic
from tests.helpers.toy import PROMPT

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
OPTIONS: dict[str, Any] = {"num_inference_steps": 8, "seed": 1, "overwrite": True}


@pytest.mark.parametrize("options", [{}, {"guidance_scale": 1}, {"speed": "fast"}])
def test_frames_are_those_of_one_gpu_within_rounding(
    cwd: Path, session: Any, options: dict[str, Any]
) -> None:
    one = cogmagic.generate(PROMPT, save="one.png", **OPTIONS | options)
    two = cogmagic.generate(PROMPT, save="two.png", parallel=2, **OPTIONS | options)
    assert two.report.split.startswith("2 GPUs (")
    error = np.square(two.frames().astype(float) - one.frames()).mean()
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 40  # dB
    assert len(two.report.peak_ranks) == 2
    for peak, predicted in zip(two.report.peak_ranks, two.report.predicted_ranks, strict=True):
        assert peak == pytest.approx(predicted, rel=0.02, abs=2**25)


def test_warm_and_hot_processes_stay_and_release_frees_both_gpus(cwd: Path, session: Any) -> None:
    options = OPTIONS | {"parallel": 2, "num_frames": 9}
    first = cogmagic.generate(PROMPT, keep="hot", **options)
    pids = session.slot.workers.pids
    second = cogmagic.generate(PROMPT, keep="hot", **options)
    assert session.slot.workers.pids == pids
    assert second.report.frames_sha256 == first.report.frames_sha256
    assert "load" not in second.report.seconds or (
        second.report.seconds["load"] < first.report.seconds["load"]
    )
    cogmagic.release()
    assert session.slot.workers is None
    one = cogmagic.generate(PROMPT, num_frames=9, **OPTIONS)  # this kernel's own
    assert one.report.split == ""
