"""Prompts longer than the model reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import CheckpointError, RequestError
from cogmagic._session.session import Session


def test_long_prompt_is_refused_with_the_words_that_would_be_ignored(
    toy: Path, cwd: Path, session: Session
) -> None:
    prompt = "a red circle moves right " * 3 + "on the blue square"
    with pytest.raises(RequestError) as error:
        cogmagic.generate(prompt, model=str(toy))
    assert "has 20 tokens, but t2v reads 16" in str(error.value)
    assert "ignore 'on the blue square'" in str(error.value)
    assert session.loaded is None
    assert list(cwd.iterdir()) == []
    video = cogmagic.generate(prompt, model=str(toy), truncate=True, num_inference_steps=1)
    assert video.path.is_file()


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("tokenizer_config.json", {"pad_token": 5}),
        ("tokenizer_config.json", {"additional_special_tokens": 5}),
        ("tokenizer.json", {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 9}}),
        ("tokenizer.json", {"pre_tokenizer": 5}),
        ("tokenizer.json", {"added_tokens": 5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("truncate", [False, True])
def test_tokenizer_that_cannot_be_loaded_is_one_line(
    toy: Path, cwd: Path, file: str, changes: dict[str, Any], truncate: bool
) -> None:
    folder = Path(shutil.copytree(toy, cwd / "copy"))
    path = folder / "tokenizer" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match="cannot be loaded as a T5 tokenizer") as error:
        cogmagic.generate("a red circle", model=str(folder), truncate=truncate)
    assert "\n" not in str(error.value)
