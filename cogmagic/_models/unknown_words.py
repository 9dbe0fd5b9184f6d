"""Words of a prompt that a model does not know: its tokenizer maps them to ``<unk>``."""

from __future__ import annotations

import filecmp
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cogmagic._errors import plain_line
from cogmagic._models.catalog import catalogued
from cogmagic._models.find import embedded_folder
from cogmagic._models.request import Request

__all__ = ["unknown_words"]


_MOST_UNKNOWN = 1 / 4
"""The share of a prompt's words that may be unknown without a warning."""


_EMBEDDED_KNOWS = (
    "it knows shapes (circle, square, triangle), colours (red, green, blue, yellow, white, magenta,"
    " cyan, orange), directions (left, right, up, down) and backgrounds (black, gray, dark blue,"
    " dark green); for anything else use --model {other}"
)
"""The scenes of the embedded models' captions (docs/embedded-model/captions.py)."""


_WORD = re.compile(r"a[am]*(?:j+a[am]*)*|cm*|p[pmj]*")
"""A word in the kinds of its characters (`_kind`)."""


_EMOJI_STYLE = "\ufe0f"
"""The invisible character after a sign or a digit that makes an emoji of it."""


_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR")
"""The scripts that do not separate words: each of their letters counts as a word."""


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    foreign: bool
    """Whether it has letters of another script than Latin, or is an emoji."""


_Lookup = Callable[[str, list[_Word]], list[bool]]
"""A function from a text and its words to whether each has a part that becomes ``<unk>``."""


def unknown_words(request: Request, folder: Path | None) -> str:
    """A warning, where a model does not know more than a quarter of a prompt's words.

    Letters of other scripts than Latin count as unknown, even those that T5's vocabulary has: T5
    v1.1 was trained on English. Names in Latin letters are split into pieces, which it knows.
    The negative prompt counts where guidance is on, as it has no effect otherwise.

    Args:
        request: the prompts and their model.
        folder: where ``tokenizer/`` is; without one, the letters' scripts alone decide.

    Returns:
        One line without a full stop; empty where the model knows enough of the words.
    """
    file = _tokenizer_file(folder)
    lookup = _lookup(file, file.stat().st_mtime_ns) if file else _all_known
    parts, foreign = [], False
    texts = {"prompt": request.prompt, "negative prompt": request.negative_prompt}
    for label, text in texts.items():
        if label == "prompt" or request.guided:
            words = _words(text)
            unknown = [
                w for w, no in zip(words, lookup(text, words), strict=True) if no or w.foreign
            ]
            if len(unknown) > _MOST_UNKNOWN * len(words):
                count = f"{len(unknown)} of {len(words)} word{'s' * (len(words) > 1)}"
                parts.append(f"{count} of the {label} ({_listed(text, unknown)})")
                foreign = foreign or any(word.foreign for word in unknown)
    if not parts:
        return ""
    return f"{request.model.name} does not know {' and '.join(parts)}: " + _advice(
        request, file, foreign=foreign
    )


def _advice(request: Request, file: Path | None, *, foreign: bool) -> str:
    """What the model knows, and what to do."""
    other = "5b-i2v" if request.model.takes("image") else "2b"
    embedded = embedded_folder() / "tokenizer" / "tokenizer.json"
    if file and file.name == embedded.name and filecmp.cmp(file, embedded, shallow=False):
        return _EMBEDDED_KNOWS.format(other=other) + " with an English prompt" * foreign
    if foreign or catalogued(request.model.source):
        return "it knows English only, so write the prompt in English words"
    return f"its tokenizer maps them to <unk>; use other words, or --model {other}"


def _words(text: str) -> list[_Word]:
    """The words of a text: letters and emoji, without punctuation and digits."""
    following = [*text[1:], ""]
    kinds = "".join(
        "p" if after == _EMOJI_STYLE else _kind(char)
        for char, after in zip(text, following, strict=False)
    )
    return [
        _Word(m.start(), m.end(), not all(map(_is_latin, text[m.start() : m.end()])))
        for m in _WORD.finditer(kinds)
    ]


def _kind(char: str) -> str:
    """The kind of a character in `_WORD`.

    ``a``: a letter; ``c``: a letter that is a word; ``p``: an emoji; ``m``: a mark on the character
    before it; ``j``: an apostrophe or an invisible joiner; a space: anything else.
    """
    category = unicodedata.category(char)
    if category.startswith("L"):
        return "c" if unicodedata.name(char, "").startswith(_WITHOUT_SPACES) else "a"
    if category in ("Mn", "Mc", "Me") or "\U0001f3fb" <= char <= "\U0001f3ff":  # skin tones
        return "m"
    if category == "Cf" or char in "'’":
        return "j"
    # Emoji that are newer than Python's tables have no category.
    return "p" if category in ("So", "Cn") and char >= "\u2300" else " "


def _is_latin(char: str) -> bool:
    """Whether a character is neither a letter of another script nor an emoji."""
    kind = _kind(char)
    plain = unicodedata.normalize("NFKC", char)[0]  # full-width letters, as T5 reads them
    latin = unicodedata.name(plain, "").startswith(("LATIN", "MODIFIER"))
    return kind in "mj" or (kind == "a" and latin)


def _listed(text: str, words: list[_Word], most: int = 5) -> str:
    """The first of the words, without repetitions; adjacent ones as they are written."""
    joined: list[tuple[int, int]] = []
    for word in words:
        if joined and joined[-1][1] == word.start:
            joined[-1] = joined[-1][0], word.end
        else:
            joined.append((word.start, word.end))
    distinct = list(dict.fromkeys(text[start:end] for start, end in joined))
    shown = [word if len(word) <= 30 else f"{word[:29]}…" for word in distinct[:most]]
    return plain_line(", ".join(shown + ["…"] * (len(distinct) > most)))


def _tokenizer_file(folder: Path | None) -> Path | None:
    if folder is None:
        return None
    files = (folder / "tokenizer" / name for name in ("tokenizer.json", "spiece.model"))
    return next((file for file in files if file.is_file()), None)


@lru_cache(maxsize=4)
def _lookup(file: Path, _changed: int) -> _Lookup:
    """The lookup in a tokenizer's file, which is read without transformers and torch."""
    try:
        return _in_pieces(file) if file.suffix == ".model" else _in_json(file)
    except Exception:  # the tokenizers library raises plain ones
        return _all_known  # a run refuses a damaged file


def _in_json(file: Path) -> _Lookup:
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    unknown = tokenizer.token_to_id("<unk>")

    def lookup(text: str, words: list[_Word]) -> list[bool]:
        # The whole text, as a word may be known at the beginning of a token only.
        encoded = tokenizer.encode(text)
        spans = zip(encoded.ids, encoded.offsets, strict=True)
        places = {i for token, span in spans if token == unknown for i in range(*span)}
        return [not places.isdisjoint(range(word.start, word.end)) for word in words]

    return lookup


def _in_pieces(file: Path) -> _Lookup:
    from sentencepiece import SentencePieceProcessor

    processor: Any = SentencePieceProcessor(model_file=str(file))
    unknown = processor.unk_id()

    def lookup(text: str, words: list[_Word]) -> list[bool]:
        return [unknown in processor.encode(text[w.start : w.end], out_type=int) for w in words]

    return lookup


def _all_known(_: str, words: list[_Word]) -> list[bool]:
    return [False] * len(words)
