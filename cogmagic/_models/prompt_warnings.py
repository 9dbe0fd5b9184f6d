"""Warnings about prompts: words that the model does not know, a prompt without effect."""

from __future__ import annotations

from pathlib import Path

from cogmagic._models.request import Request
from cogmagic._models.unknown_words import unknown_words

__all__ = ["prompt_warnings"]


def prompt_warnings(request: Request, folder: Path | None) -> str:
    """What is wrong with the prompts of a request that can run.

    Args:
        request: the prompts and their model.
        folder: where ``tokenizer/`` is; without one, the letters' scripts alone decide.

    Returns:
        One line without a full stop; empty for good prompts.
    """
    unused = ""
    if request.negative_prompt and not request.guided:
        scale = f"--guidance-scale {request.guidance_scale:g}"
        unused = f"the negative prompt has no effect with {scale}, which is no guidance"
    return "; ".join(filter(None, (unknown_words(request, folder), unused)))
