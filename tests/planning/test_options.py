"""Memory options that are checked."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic import RequestError
from cogmagic._api.options.parser import parse_line
from cogmagic._planning.memory_options import MemoryOptions
from tests.helpers.toy import PROMPT


def test_unknown_keep_is_refused() -> None:
    with pytest.raises(RequestError, match=r"Unknown keep 'worm'\. Did you mean 'warm'"):
        cogmagic.generate(PROMPT, keep="worm")
    with pytest.raises(RequestError, match=r"fp8='no' is not True or False\."):
        cogmagic.plan(fp8="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, -1, 1.5, 2.0, True, "two", "0", "1.5", "", 10**30, [2]])
def test_what_is_no_number_of_gpus_is_refused(value: object) -> None:
    with pytest.raises(RequestError, match=r'^parallel=.* For two: parallel=2\. .*"all"\.$'):
        cogmagic.generate(PROMPT, parallel=value)  # type: ignore[arg-type]


def test_numbers_of_gpus() -> None:
    for value, count in ((None, 1), (1, 1), ("4", 4), (" All ", "all")):
        assert MemoryOptions.of(parallel=value).parallel == count
    for word in ("0", "-1", "1.5", "two"):
        with pytest.raises(RequestError, match=rf"^--parallel {word} is not .* --parallel 2\."):
            parse_line(f"--parallel {word}", "%%cogvideo")
