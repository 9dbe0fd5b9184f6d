"""The results of all checks, as text, as JSON, and as a report for others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from cogmagic._doctor.check import Result, Status
from cogmagic._doctor.redaction import redacted
from cogmagic._doctor.registry import CHECKS
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._doctor.trial_process import trial_results
from cogmagic._html import volatile_text
from cogmagic._version import __version__

__all__ = ["Diagnosis", "line", "results"]


_WIDTH = 13
"""Of the names of the checks."""


_REPORTED = (
    *("torch", "triton", "diffusers", "transformers", "accelerate", "safetensors"),
    *("huggingface-hub", "numpy", "av", "pillow", "nvidia-ml-py", "ray", "fa3-fwd"),
    *("bitsandbytes", "torchao", "ipython", "ipykernel", "jupyterlab", "ipywidgets", "anywidget"),
)
"""Packages that a report names, where they are installed."""


def results(here: Surroundings, *, quick: bool = False) -> Iterator[Result]:
    """The results of the checks as they come, those that need torch last.

    Args:
        here: this machine.
        quick: whether those are left out.
    """
    for check in CHECKS:
        yield Result.of(check, here)
    if not quick:
        yield from trial_results()


def line(result: Result) -> str:
    """A result as text: its line, and how to fix it on the next."""
    private = f" ({result.private})" if result.private else ""
    text = f"{result.status:<5}{result.name:<{_WIDTH}}{result.text}{private}"
    return f"{text}\n{'':5}{'':{_WIDTH}}→ {result.fix}" if result.fix else text


@dataclass(frozen=True)
class Diagnosis:
    """The result of every check of this machine, in their order."""

    results: tuple[Result, ...]
    packages: tuple[tuple[str, str], ...] = ()
    """The installed packages that matter here, with their versions."""

    @property
    def status(self) -> Status:
        """The worst of all."""
        found = {result.status for result in self.results}
        return "fail" if "fail" in found else "warn" if "warn" in found else "ok"

    @property
    def summary(self) -> str:
        """How many checks failed or warn, as a sentence."""
        counts = [
            f"{n} {word}{'s' * (n != 1)}"
            for status, word in (("fail", "failure"), ("warn", "warning"))
            if (n := sum(r.status == status for r in self.results))
        ]
        return f"{' and '.join(counts) or 'No problem'} in {len(self.results)} checks."

    def __getitem__(self, name: str) -> Result:
        """The result of the check of that name."""
        return next(result for result in self.results if result.name == name)

    def __str__(self) -> str:
        return "\n".join([*map(line, self.results), self.summary])

    def as_json(self) -> str:
        """The results as JSON, an object a line."""
        return "\n".join(json.dumps(asdict(result)) for result in self.results)

    def report(self) -> str:
        """Markdown for a bug report, without secrets, names of users and hosts, or home paths."""
        packages = ", ".join(f"{name} {version}" for name, version in self.packages)
        rows = (line(_public(result)) for result in self.results)
        text = "\n".join([f"cogmagic {__version__}", packages, "", *rows, self.summary])
        return f"```text\n{redacted(text)}\n```"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude
        return volatile_text(str(self))

    @classmethod
    def of(cls, here: Surroundings, found: tuple[Result, ...]) -> Diagnosis:
        """The diagnosis of a machine with these results."""
        shown = ((name, here.packages[name]) for name in _REPORTED if name in here.packages)
        return cls(found, tuple(shown))


def _public(result: Result) -> Result:
    return Result(result.name, result.status, result.text, result.fix)
