"""A word-level T5 tokenizer: one piece a word, in three spellings, and no single letters.

A word outside the vocabulary becomes one `<unk>` (or a known beginning and one `<unk>`).
"""

from __future__ import annotations

import numpy as np
import torch
from transformers import T5Tokenizer

from captions import vocabulary

MAX_LENGTH = 64
PUNCTUATION = (".", ",", ":", ";", "!", "?", "-", "'", '"', "(", ")")


def build_tokenizer() -> T5Tokenizer:
    """The tokenizer of the embedded model; ids follow from the vocabulary alone."""
    spellings = dict.fromkeys(
        spelling for word in vocabulary() for spelling in (word, word.capitalize(), word.upper())
    )
    pieces: list[tuple[str, float]] = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + spelling, -5.0) for spelling in spellings]
    pieces += [(mark, -6.0) for mark in PUNCTUATION]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=MAX_LENGTH)


def tokenize(tokenizer: T5Tokenizer, texts: list[str], length: int = MAX_LENGTH) -> torch.Tensor:
    """Token ids [N, length], padded as the pipeline pads."""
    ids = tokenizer(texts, padding="max_length", max_length=length, truncation=True)
    return torch.from_numpy(np.array(ids["input_ids"], dtype=np.int64))
