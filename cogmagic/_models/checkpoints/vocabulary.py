"""A check of a checkpoint's tokenizer against its text encoder: no token beyond the vocabulary."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from cogmagic._errors import CheckpointError, first_line
from cogmagic._models.checkpoints.config_table import TOKENIZER_VALUES
from cogmagic._models.checkpoints.config_values import check_values
from cogmagic._models.checkpoints.json_files import read_json

__all__ = ["check_tokenizer"]


_MAX_BYTES = 16 * 2**20
"""The size limit of a tokenizer's file: T5's ``tokenizer.json`` has 2.4 MB."""


_BESIDE = "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"
"""The JSON files that transformers reads beside the vocabulary."""


def check_tokenizer(folder: Path, label: str) -> None:
    """Refuse a tokenizer that is damaged, or has tokens that the text encoder lacks.

    Raises:
        CheckpointError: naming the file and the numbers.
    """
    base = folder / "tokenizer"
    added = 0
    for other in (base / name for name in _BESIDE):
        if other.is_file():
            added = max(added, _added(f"{label}: tokenizer/{other.name}", read_json(other)))
    vocabulary = read_json(folder / "text_encoder" / "config.json").get("vocab_size", 32_128)
    files = (base / name for name in ("tokenizer.json", "spiece.model"))
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return
    status = file.stat()
    tokens = max(added, _tokens(file, status.st_size, status.st_mtime_ns))
    if tokens > vocabulary:
        raise CheckpointError(
            f"{label}: tokenizer/{file.name} has {tokens:,} tokens, but text_encoder/config.json"
            f" sets vocab_size to {vocabulary:,}: they belong to different models. Download or copy"
            " both again."
        )


def _added(name: str, content: dict[str, Any]) -> int:
    """The number of tokens that the ids in a JSON file beside the vocabulary require.

    Raises:
        CheckpointError: for values that no tokenizer has.
    """
    if name.endswith("/added_tokens.json"):
        listed = [{"content": text, "id": number} for text, number in content.items()]
        return max(map(_id_of, listed), default=-1) + 1
    check_values(name, content, TOKENIZER_VALUES)
    added = content.get("added_tokens_decoder") or {}
    wrong = next((k for k in added if not k.isdecimal() or len(k) > 9), None)
    if wrong is not None:
        raise CheckpointError(
            f"{name} adds a token with the id {wrong!r:.40} in added_tokens_decoder, which is not a"
            " whole number below 1,000,000,000. Download or copy it again."
        )
    tokens = (token | {"id": int(key)} for key, token in added.items() if isinstance(token, dict))
    return max(map(_id_of, tokens), default=-1) + 1


@lru_cache(maxsize=16)
def _tokens(file: Path, size: int, _changed: int) -> int:
    """The number of a tokenizer's tokens, without the sentinels of T5's training."""
    if size > _MAX_BYTES:
        raise CheckpointError(
            f"{file} has {size:,} bytes, but CogVideoX models have less than {_MAX_BYTES:,}."
            " Download or copy it again."
        )
    if file.suffix == ".model":
        return _pieces(file)
    content = read_json(file, _MAX_BYTES)
    model, added = content.get("model"), content.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocabulary, list | dict):
        raise CheckpointError(f"{file} has no vocabulary. Download or copy it again.")
    ids = [len(vocabulary) - 1]
    if isinstance(vocabulary, dict):
        ids += [i for i in vocabulary.values() if type(i) is int]
    ids += [_id_of(token) for token in (added if isinstance(added, list) else ())]
    return max(ids) + 1


def _id_of(token: Any) -> int:
    """The id of an added token; -1 for a sentinel, which no prompt contains."""
    if not isinstance(token, dict) or str(token.get("content")).startswith("<extra_id_"):
        return -1
    number = token.get("id")
    return number if type(number) is int else -1


def _pieces(file: Path) -> int:
    from sentencepiece import SentencePieceProcessor

    try:
        return int(SentencePieceProcessor(model_file=str(file)).vocab_size())
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{file} is not a SentencePiece vocabulary ({first_line(error)})."
            " Download or copy it again."
        ) from None
