"""Memory options that are checked."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic import RequestError
from tests.helpers.toy import PROMPT


def test_unknown_keep_is_refused() -> None:
    with pytest.raises(RequestError, match=r"Unknown keep 'worm'\. Did you mean 'warm'"):
        cogmagic.generate(PROMPT, keep="worm")
    with pytest.raises(RequestError, match=r"fp8='no' is not True or False\."):
        cogmagic.plan(fp8="no")  # type: ignore[arg-type]
