"""The cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cogmagic._files import cache_folder


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGMAGIC_CACHE", "/somewhere/else")
    assert cache_folder() == Path("/somewhere/else")
