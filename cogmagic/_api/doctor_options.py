"""The options of ``%cogvideo doctor`` and ``cogmagic doctor``."""

from __future__ import annotations

from cogmagic._api.option import Option

__all__ = ["DOCTOR_OPTIONS"]


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
