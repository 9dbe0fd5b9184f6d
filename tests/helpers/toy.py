"""Runs of the toy checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import cogmagic
from cogmagic._pipeline.prompt_cache import PromptCache

PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"num_inference_steps": 2, "num_frames": 9, "seed": 1}


def run(toy: Path, **options: Any) -> cogmagic.Video:
    PromptCache.clear()
    return cogmagic.generate(PROMPT, model=str(toy), seed=3, num_inference_steps=2, **options)


def inputs_for(toy: Path) -> dict[str, Any]:
    """A clip and a mask for a toy that inpaints; for another one nothing."""
    if toy.name not in ("inp", "void"):
        return {}
    clip, mask = np.zeros((17, 32, 48, 3), np.uint8), np.zeros((32, 48), bool)
    clip[:, :, 20:] = 200
    mask[8:20, 10:30] = True
    return {"video": clip, "mask": mask}
