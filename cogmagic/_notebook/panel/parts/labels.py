"""The panel's words: the label of each field, and errors that name fields by their labels."""

from __future__ import annotations

import re

from cogmagic._pipeline.storage import STORAGES
from cogmagic._spelling import as_fields

__all__ = ["label", "panel_words"]


_LABELS = {
    "attention": "Attention kernel",
    "cache": "Step cache",
    "compile": "Compile the blocks",
    "dtype": "Precision",
    "endpoint": "Server",
    "endpoint_model": "Language model",
    "extend": "Clip to extend",
    "fit": "Fit to the size by",
    "fps": "Frames per second",
    "gpus": "GPUs",
    "guidance_halves": "Guidance in halves",
    "guidance_scale": "Guidance",
    "image": "First frame",
    "invert_mask": "White is kept",
    "keep": "Weights afterwards",
    "last_image": "Last frame",
    "lean_decode": "Decode with less memory",
    "lora": "LoRA",
    "num_frames": "Frames",
    "num_inference_steps": "Steps",
    "num_videos": "How many clips",
    "mask": "Mask",
    "overlap": "Shared frames",
    "overwrite": "Replace the file",
    "paste_back": "Keep the input's pixels",
    "policy": "Tier chosen by",
    "save": "Save to",
    "start": "Skip seconds",
    "strength": "Change of the clip",
    "tier": "Offload tier",
    "truncate": "Cut a long prompt",
    "video": "Clip to begin from",
    "vram_limit": "VRAM limit (GiB)",
}


def label(name: str) -> str:
    """The label of a field, by the Python name of its option."""
    if name in STORAGES:
        return f"{name} weights"
    return _LABELS.get(name, name.replace("_", " ").capitalize())


_NUMBER = re.compile(r"(?:--)?([a-z]+(?:[_-][a-z]+)*)(?:( is )(?=[-\d]|nan|inf)|=)")
"""What errors of numbers begin with: ``--num-frames is 3``, ``seed='x'``."""


def panel_words(text: str) -> str:
    """A message with fields in place of options: ``frames 33`` for ``--num-frames 33``."""
    if begins := _NUMBER.match(text):
        text = label(begins[1].replace("-", "_")) + (begins[2] or " ") + text[begins.end() :]
    return as_fields(text, _in_sentence)


def _in_sentence(option: str) -> str:
    words = label(option.replace("-", "_")).removesuffix(" (GiB)")
    begins_with_acronym = any(letter.isupper() for letter in words.split()[0][1:])
    return words if begins_with_acronym else words[:1].lower() + words[1:]
