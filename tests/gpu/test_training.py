"""Training with validations on real GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.helpers.training import train


@pytest.mark.parametrize("options", [{}, {"mixed": "bf16"}, {"zero": "2"}, {"zero": "3"}], ids=str)
@pytest.mark.parametrize("processes", [1, 2])
def test_validation_on_a_gpu_does_not_change_the_training(
    toy: Path, tmp_path: Path, processes: int, options: dict[str, str]
) -> None:
    """Its backward passes are not deterministic to the last bit."""
    if processes > torch.cuda.device_count():
        pytest.skip(f"needs {processes} GPUs")
    trained = train(toy, tmp_path, processes, {".": ("alone,validated", options)})["."]
    for before, after in zip(trained["alone"], trained["validated"], strict=True):
        assert after["losses"] == pytest.approx(before["losses"], rel=1e-3)
        assert after["differences"] == []
        assert max(after["grew"]) < 2**20, after["grew"]  # less: the libraries' workspaces go
        assert {v["tier"] for v in after["videos"]} == {
            "deepspeed" if "zero" in options else "model"
        }
