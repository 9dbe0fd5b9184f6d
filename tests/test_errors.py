"""Errors in words: their first lines, their causes, and the nearest word to a misspelt one."""

from __future__ import annotations

import pytest

import cogmagic
from cogmagic._errors import causes, did_you_mean, error_line, plain_line, reason_of, reworded


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError("disk full\nat byte 7"), "OSError: disk full"),
        (ValueError(), "ValueError"),
        (RuntimeError("x" * 500), "RuntimeError: " + "x" * 160),
    ],
)
def test_unexpected_error_is_its_type_and_first_line(error: Exception, line: str) -> None:
    assert error_line(error) == line
    assert reason_of(error) == line


def test_own_error_is_its_message_alone() -> None:
    assert reason_of(cogmagic.TierError("It does not fit.")) == "It does not fit."


def test_nearest_word_is_no_short_one_that_shares_letters_by_chance() -> None:
    assert did_you_mean("Releese", ["release", "status"]) == " Did you mean 'release'?"
    assert did_you_mean("generate", ["gen"]) == ""
    assert did_you_mean("xyz", ["release"]) == ""


def test_causes_end_where_errors_name_each_other() -> None:
    first, second = ValueError("a"), OSError("b")
    first.__cause__, second.__context__ = second, first
    assert list(causes(first)) == [first, second]


def test_reworded_error_has_its_type_and_holds_no_other() -> None:
    error = cogmagic.OutputError("old")
    error.__cause__ = ValueError("holds tensors")
    new = reworded(error, "new")
    assert (type(new), str(new), new.__cause__) == (cogmagic.OutputError, "new", None)


def test_plain_line_escapes_what_could_hide_its_text() -> None:
    assert plain_line("a\x1b[31m\nb\u202e") == "a\\x1b[31m\\nb\\u202e"
    assert plain_line("x" * 2000) == "x" * 1500 + "…"
