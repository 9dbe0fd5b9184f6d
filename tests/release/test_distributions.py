"""The wheel and the sdist: what is in them, how large they are, and what their metadata say."""

from __future__ import annotations

import email
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import cogmagic
from tests.helpers.benchmarks import ROOT

MOST_BYTES = 46_000_000
NAME = f"cogmagic-{cogmagic.__version__}"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UNWANTED = (".venv", ".git/", "__pycache__", "generated/", ".ipynb_checkpoints", ".mp4")
"""Parts of names that neither distribution may have."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl")


@pytest.fixture(scope="module")
def sdist(built: Path) -> tarfile.TarFile:
    return tarfile.open(built / f"{NAME}.tar.gz")


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return email.message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))


def of_the_package() -> set[str]:
    """The files of the package that git knows, or that are new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "cogmagic"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in names.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    package = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    assert package == of_the_package()
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    assert "cogmagic/py.typed" in names


@pytest.mark.slow
def test_sdist_builds_and_tests_itself(sdist: tarfile.TarFile) -> None:
    names = {name.removeprefix(f"{NAME}/") for name in sdist.getnames()}
    assert of_the_package() <= names
    for needed in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "constraints.txt"):
        assert needed in names
    for folder in ("tests/", "docs/", "notebooks/"):
        assert any(name.startswith(folder) for name in names)
    wrong = [name for name in names if any(part in f"{name}/" for part in UNWANTED)]
    assert not wrong


@pytest.mark.slow
def test_distributions_are_small(built: Path) -> None:
    for path in built.glob("cogmagic*"):
        assert path.stat().st_size < MOST_BYTES, path.name


@pytest.mark.slow
def test_metadata_are_those_of_the_project(metadata: Message) -> None:
    assert metadata["Name"] == "cogmagic"
    assert metadata["Version"] == cogmagic.__version__
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    required = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert len(required) == len(PROJECT["dependencies"])
    unbounded = [requirement for requirement in required if ">=" not in requirement]
    assert not unbounded, "every dependency has a lowest version, which CI tests"
