"""Tests in forks of one process that has imported the libraries: a mutant costs about a second."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import coverage
import pytest

__all__ = ["Baseline", "baseline", "killer", "warm_up"]

ROOT = Path(__file__).parents[2]
TESTS = (
    *("tests/planning", "tests/measured", "tests/api/test_plan.py"),
    *(f"tests/tiers/test_{name}.py" for name in ("balanced", "needs", "new_tier", "registry")),
    *("tests/tiers/test_stream.py", "tests/session/test_first_plan.py"),
    *(f"tests/models/test_{name}.py" for name in ("aliases", "find", "request", "tiling")),
)
_OPTIONS = ("-qx", "-p", "no:cacheprovider", "-m", "not gpu and not slow", "--hypothesis-seed=0")
_MEMORY = 6 * 2**30
"""Bytes beyond which a mutant counts as killed."""


@dataclass(frozen=True)
class Baseline:
    """The tests without a mutant."""

    seconds: dict[str, float]
    """Of each test."""
    covering: dict[str, dict[int, list[str]]]
    """Tests that run each line of each file; an empty name where the line runs at import."""
    kills: Counter[str] = field(default_factory=Counter)
    """How many mutants each test has killed so far."""

    def tests(self, path: Path, lines: range) -> list[str]:
        """The tests that can notice a change of these lines, the most promising first.

        Those that run one of them; if a line runs at import, or none runs it, all.
        """
        covered = self.covering.get(str(path), {})
        chosen = {test for line in lines for test in covered.get(line, ())}
        if "" in chosen or not chosen:
            chosen = set(self.seconds)
        return sorted(
            chosen.intersection(self.seconds),
            key=lambda t: (self.seconds[t] + 0.1) / (1 + self.kills[t]),
        )


def warm_up() -> None:
    """Import what the tests need, except cogmagic and the tests."""
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    import accelerate.hooks  # noqa: F401
    import av  # noqa: F401
    import huggingface_hub.utils  # noqa: F401
    import hypothesis.strategies  # noqa: F401
    import IPython.core.interactiveshell  # noqa: F401
    import torch  # noqa: F401
    from diffusers import (  # noqa: F401
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXDPMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXPipeline,
    )
    from transformers import T5EncoderModel, T5Tokenizer  # noqa: F401

    assert "cogmagic" not in sys.modules
    gc.freeze()


def baseline() -> Baseline:
    """Run all tests once, with the lines that each of them runs.

    Raises:
        RuntimeError: when a test fails without any mutant.
    """
    with tempfile.TemporaryDirectory() as folder:
        data, times = Path(folder, "coverage"), Path(folder, "times")

        def measure() -> int:
            recorder = coverage.Coverage(data, source=[str(ROOT / "cogmagic")], config_file=False)
            contexts = _Contexts(recorder)
            recorder.start()
            code = pytest.main([*_OPTIONS, *TESTS], plugins=[contexts])
            recorder.stop()
            recorder.save()
            times.write_text(json.dumps(contexts.seconds))
            return int(code)

        code = _in_fork(measure, seconds=1800)
        if code != 0:
            raise RuntimeError(f"The tests fail without a mutant ({code}): run pytest first.")
        seconds = json.loads(times.read_text())
        lines = coverage.CoverageData(str(data))
        lines.read()
        covering = {file: lines.contexts_by_lineno(file) for file in lines.measured_files()}
    return Baseline(seconds, covering)


def killer(path: Path, code: str, lines: range, base: Baseline) -> str:
    """What kills a module with other code; empty if all tests pass.

    The test that failed; or ``time``, ``memory``, or ``import`` where no test could run.
    """
    names = base.tests(path, lines)
    if not names:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder, "failed")

        def test() -> int:
            os.environ |= {"TMPDIR": folder, "HYPOTHESIS_STORAGE_DIRECTORY": folder}
            tempfile.tempdir = None
            sys.meta_path.insert(0, _Finder(path, code))
            files = dict.fromkeys(name.partition("::")[0] for name in names)
            return int(pytest.main([*_OPTIONS, *files], plugins=[_Chosen(names, failed)]))

        status = _in_fork(test, seconds=30 + 5 * sum(base.seconds[name] for name in names))
        if isinstance(status, str) or status == 0:
            return status or ""
        by = failed.read_text() if failed.exists() else "import"
    base.kills[by] += 1
    return by


def _in_fork(work: Callable[[], int], seconds: float) -> int | str:
    """The exit status of `work` in a silent child process; or why the child was killed.

    Args:
        work: what to run.
        seconds: of CPU time, which a busy machine does not lengthen; four times as many in all.
    """
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
            null = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(null, stream)
            status = work()
        finally:
            os._exit(status)
    ends = time.monotonic() + 4 * seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return "time" if code == -signal.SIGXCPU else code
        reason = "time" if time.monotonic() > ends else "memory" if _rss(child) > _MEMORY else ""
        if reason:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return reason
        time.sleep(0.02)


def _rss(process: int) -> int:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


class _Finder(MetaPathFinder):
    """Imports one module from other code than its file's."""

    def __init__(self, path: Path, code: str) -> None:
        self.name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.path, self.code = path, code

    def find_spec(self, fullname: str, *_: Any) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        loader = _Loader(fullname, str(self.path))
        loader.code = self.code
        return spec_from_file_location(fullname, self.path, loader=loader)


class _Loader(SourceFileLoader):
    code: str

    def get_code(self, fullname: str) -> Any:  # noqa: ARG002 - of the interface
        return compile(self.code, self.path, "exec", dont_inherit=True)


class _Contexts:
    """Names the running test in the coverage, and measures its time."""

    def __init__(self, recorder: coverage.Coverage) -> None:
        self.recorder = recorder
        self.seconds: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        began = time.monotonic()
        _clear_caches()
        self.recorder.switch_context(item.nodeid)
        yield_value = yield
        self.recorder.switch_context("")
        self.seconds[item.nodeid] = time.monotonic() - began
        return yield_value


def _clear_caches() -> None:
    """Forget the results that cogmagic's functions remember, so that each test computes its own."""
    for name, module in list(sys.modules.items()):
        if name.startswith("cogmagic"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


class _Chosen:
    """Runs the chosen tests in their order, and writes down the first that fails."""

    def __init__(self, names: list[str], failed: Path) -> None:
        self.rank = {name: rank for rank, name in enumerate(names)}
        self.failed = failed

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.rank]
        if len(chosen) == len(self.rank):  # else the mutant changes the tests' parameters: run all
            items[:] = sorted(chosen, key=lambda item: self.rank[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed.exists():
            self.failed.write_text(report.nodeid)
