"""Runs of the toy checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cogmagic
from cogmagic._pipeline.prompt_cache import PromptCache

PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"num_inference_steps": 2, "num_frames": 9, "seed": 1}


def run(toy: Path, **options: Any) -> cogmagic.Video:
    PromptCache.clear()
    return cogmagic.generate(PROMPT, model=str(toy), seed=3, num_inference_steps=2, **options)
