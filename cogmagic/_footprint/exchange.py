"""What the ranks of one video send one another in a denoising step. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cogmagic._footprint.adapters import Pass
from cogmagic._footprint.curves import Profile
from cogmagic._pipeline.parallel.split import Split

__all__ = ["NOTHING_EXCHANGED", "Exchange", "exchange_of"]


@dataclass(frozen=True)
class Exchange:
    """What a rank exchanges with the others in a step."""

    sent: float = 0.0
    """Bytes that it sends; it receives as many."""
    numbers: float = 0.0
    """Numbers in the hidden states that are put in order for it, before and afterwards."""
    blocks: int = 0
    """How often blocks wait for it."""


NOTHING_EXCHANGED = Exchange()


def exchange_of(
    split: Split, config: dict[str, Any], run: Pass, predicted: int, item: int
) -> Exchange:
    """The exchanges of a step, as ``_pipeline/parallel`` makes them.

    In every block, query, key and value of a rank's tokens go to the ranks that have their heads;
    what attention makes of them returns, with the text's tokens for every rank. Once a step, the
    halves of guidance exchange their predictions.

    Args:
        split: how the work is divided.
        config: of the transformer.
        run: one pass of it.
        predicted: numbers in the prediction for one prompt.
        item: bytes of a number.
    """
    sent = float((split.guidance - 1) * predicted * item)
    if run.sequence == 1:
        return Exchange(sent)
    width = config["num_attention_heads"] * config["attention_head_dim"]
    windows, text = max(len(run.windows), 1), config["max_text_seq_length"]
    blocks = windows * run.count * config["num_layers"]
    numbers = float(blocks * run.batch * (run.tokens - text) * width)
    returned_text = blocks * run.batch * text * width
    sent += (4 * numbers + returned_text) * (1 - 1 / run.sequence) * item
    return Exchange(sent, numbers, blocks)


def not_shared(profile: Profile, config: dict[str, Any], run: Pass, item: int) -> int:
    """Bytes alive beside a rank's blocks because the whole video's latents and positions are."""
    around = profile.around_blocks[run.batch]
    whole = around(run.whole).leaf_peak - _hidden(config, run.batch * run.whole, item)
    share = around.share(run.tokens, run.whole).leaf_peak
    return max(whole - (share - _hidden(config, run.batch * run.tokens, item)), 0)


def before_cut(profile: Profile, config: dict[str, Any], run: Pass, inputs: int, item: int) -> int:
    """The most bytes alive until a rank has cut its share out of the whole video's tokens.

    Patches and text are put together, which takes their hidden states twice; so does the
    convolution that makes the patches, which copies what it takes and makes. Positions that are not
    rotated are computed then, too, where the size is not the model's own.

    Args:
        profile: the model's curves.
        config: of the transformer.
        run: one pass of it.
        inputs: bytes of the latents that it takes.
        item: bytes of a number.
    """
    around = profile.around_blocks[run.batch](run.whole)
    if (
        config["use_learned_positional_embeddings"]
        or not config["use_rotary_positional_embeddings"]
    ):
        return around.peak
    text = _hidden(config, run.batch * config["max_text_seq_length"], item)
    convolved = max(inputs - text, 0) if config["patch_size_t"] is None else 0
    return around.leaf_peak + _hidden(config, run.batch * run.whole, item) + convolved


def _hidden(config: dict[str, Any], tokens: int, item: int) -> int:
    """Bytes of the hidden states of some tokens."""
    return tokens * int(config["num_attention_heads"] * config["attention_head_dim"]) * item
