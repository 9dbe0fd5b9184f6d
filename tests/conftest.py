"""Fixtures: toy checkpoints on disk, a clean session, an IPython shell in this process."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing may load from a hub in tests
# Tensors of toy size take more than twice the time on two threads, and xdist has a process a core.
# Here, so that kernels and other processes inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Importing it takes three seconds, and jsonschema does without it; no test has such addresses.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
# A shell that starts the tests in the background has them ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
CACHES = Path(tempfile.mkdtemp(prefix="cogmagic-tests-"))
"""Of this process's tests: `tmp_path_factory` would read all names to number the next one."""
atexit.register(shutil.rmtree, CACHES, ignore_errors=True)
os.environ["COGMAGIC_CACHE"] = str(CACHES)

settings.register_profile("any machine", deadline=None)  # an example may wait for a busy core
settings.load_profile("any machine")

from tests.helpers.checkpoints import save_checkpoint  # noqa: E402 - after what it depends on

SLOW = ("training", "browser", "kernels", "notebooks", "gpu")
"""Folders whose tests start other processes, or take seconds each; what cannot be split first."""
TOGETHER = ("browser", "cluster", "fuzz", "kernels", "training")
"""Folders in which all tests share what is costly to start: a kernel, a browser, launches."""
FIRST = ("cluster", *SLOW)
"""Folders in the order in which xdist starts them: the longest first."""


def folder_of(item: pytest.Item) -> str:
    """The folder under tests that the item is in."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark by folder, before -m deselects."""
    folder = folder_of(item)
    if folder in SLOW:
        item.add_marker("slow")
    if folder in ("browser", "gpu"):
        item.add_marker(folder)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under xdist what is slow comes first, so that no worker is left with it alone."""

    def place(item: pytest.Item) -> int:
        if folder_of(item) in FIRST:
            return FIRST.index(folder_of(item))
        return len(FIRST) + (item.get_closest_marker("slow") is None)

    if hasattr(config, "workerinput"):
        items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the tests of a file to one worker, as they share fixtures, and those of some folders.

    A scheduler of our own: under pytest 9.2 xdist 3.8 loses the groups of ``--dist loadgroup``.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, _, name = nodeid.partition("::")
            folder = file.split("/")[1]
            if folder in TOGETHER:
                return folder
            if file.startswith("tests/pipeline/parallel/"):  # which share their ranks
                return "ranks"
            if folder == "notebooks":  # one recording for both tests of a notebook
                return file + name.partition("[")[2]
            return file

    return Scheduling(config, log)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-video checkpoint with random weights."""
    return save_checkpoint(tmp_path_factory.mktemp("toy") / "t2v")


@pytest.fixture(scope="session")
def toy_i2v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image-to-video checkpoint with random weights."""
    return save_checkpoint(tmp_path_factory.mktemp("toy") / "i2v", i2v=True)


@pytest.fixture(scope="session")
def toy_inp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inpainting checkpoint with random weights, as CogVideoX-Fun 1.5's."""
    return save_checkpoint(tmp_path_factory.mktemp("toy") / "inp", inp=True, v15=True)


@pytest.fixture(scope="session")
def toy_void(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as VOID's, with random weights."""
    return save_checkpoint(tmp_path_factory.mktemp("toy") / "void", void=True)


@pytest.fixture
def toy_of(toy: Path, toy_inp: Path, toy_void: Path) -> dict[str, Path]:
    """The toys that make a video of a text alone, or with `inputs_for`, by their names."""
    return {one.name: one for one in (toy, toy_inp, toy_void)}


@pytest.fixture
def cwd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def session() -> Iterator[Any]:
    """The kernel's session, empty before and after."""
    from cogmagic._session.session import session

    session().release()
    yield session()
    session().release()


@pytest.fixture
def shell(cwd: Path) -> Iterator[Any]:
    """An IPython shell with the extension loaded; `run` raises what a cell raises."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def run(self, source: str) -> Any:
            result = self.run_cell(source)
            result.raise_error()
            return result.result

    config = Config()
    config.HistoryManager.enabled = False
    Shell.clear_instance()
    shell = Shell.instance(config=config)
    shell.run("%load_ext cogmagic")
    yield shell
    shell.run("%unload_ext cogmagic")
    atexit.unregister(shell.atexit_operations)  # it keeps the shell alive, and takes a second
    Shell.clear_instance()


_numbers = count()
_modules = 0
"""How many were imported when their objects were last set aside."""


@pytest.fixture(autouse=True)
def libraries_frozen() -> Iterator[None]:
    """Set the objects of imported libraries aside: every collection would walk half a million."""
    yield
    global _modules
    if len(sys.modules) > _modules + 20:
        gc.collect()
        gc.freeze()
        _modules = len(sys.modules)


@pytest.fixture(autouse=True)
def own_interrupt_handler() -> Iterator[None]:
    """No test's interrupt is taken for the second press of the test before."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test learns from another's runs, or finds its prompts encoded."""
    folder = CACHES / str(next(_numbers))
    folder.mkdir()
    monkeypatch.setenv("COGMAGIC_CACHE", str(folder))
    return folder


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    """NVML of a machine with two GPUs."""
    from cogmagic._machine import nvml as _nvml
    from tests.helpers.nvml import UUIDS, FakeNvml

    fake = FakeNvml()
    monkeypatch.setattr(_nvml, "_nvml", lambda: fake)
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: tuple(UUIDS))
    return fake


@pytest.fixture
def cuda_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch as built for CUDA, as far as its version tells."""
    from cogmagic._machine import hardware
    from cogmagic._machine.torch_build import TorchBuild

    monkeypatch.setattr(hardware, "torch_build", lambda: TorchBuild("2.13.0", cuda="13.0"))
