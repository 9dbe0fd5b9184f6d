"""The cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogmagic._files import cache_folder


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGMAGIC_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
