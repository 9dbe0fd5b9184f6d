"""The options of ``%cogvideo doctor`` and ``cogmagic doctor``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cogmagic._api.options.option import Option
from cogmagic._errors import RequestError

__all__ = ["DOCTOR_OPTIONS", "check_one_form"]


_CHECKS = "Checks"


DOCTOR_OPTIONS: tuple[Option, ...] = (
    Option("quick", "leave out the checks that import torch, which take seconds", _CHECKS),
    Option(
        "report",
        "print Markdown for a bug report, without secrets, names of users and hosts, or home paths",
        _CHECKS,
    ),
    Option("json", "print the results as JSON, an object a line", _CHECKS),
)


def check_one_form(options: Mapping[str, Any]) -> None:
    """Check that one form of output is asked for.

    Raises:
        RequestError: for two.
    """
    if options.get("json") and options.get("report"):
        raise RequestError("--json and --report are two forms of the results. Leave out one.")
