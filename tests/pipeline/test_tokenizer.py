"""Prompts longer than the model reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import cogmagic
from cogmagic import RequestError
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
