"""Memory of attention on devices without a fused kernel, which store the scores. Pure."""

from __future__ import annotations

from cogmagic._models.request import Request

__all__ = ["MOST_SCORES", "scores", "sliced_bytes"]

MOST_SCORES = 2**27
"""Scores that attention may store at once where it is computed in slices."""


def scores(request: Request, tokens: int, *, halves: bool) -> int:
    """Scores of one block's attention: batch × heads × tokens².

    Args:
        request: what is generated.
        tokens: text and video tokens of a batch item.
        halves: whether guidance runs one prompt after the other.
    """
    batch = 2 if request.guided and not halves else 1
    return int(batch * request.model.architecture.num_attention_heads * tokens**2)


def sliced_bytes(scores: int) -> int:
    """Bytes of the scores on MPS, which scales them and computes the softmax in float32.

    Four copies of at most four bytes (``sdpa_general_mps`` in torch's ``Attention.mm``); an
    estimate, not measured.
    """
    return 16 * min(scores, MOST_SCORES)
