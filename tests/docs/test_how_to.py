"""Every command of the README and the how-to guides, run in order in one shell for each page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from IPython.utils.capture import capture_output

import cogmagic
from tests.helpers.benchmarks import ROOT
from tests.helpers.clips import Made
from tests.helpers.pages import HOW_TO, blocks, name_of

PAGES = [ROOT / "README.md", ROOT / "docs" / "first-video.md", *HOW_TO]
SYSTEM = ("python3", "jupyter", "dmesg", "wsl", "py", "pip", "cogmagic", "sphinx-build", "pytest")
"""Programs that a shell line may start with."""


def as_run_here(cell: str) -> str:
    """A cell for this machine: a large model is planned only, and a small one takes one step."""
    line, _, body = cell.partition("\n")
    if not line.startswith("%%cogvideo"):
        return cell
    large = re.search(r"--model (?!tiny)\S+", line)
    return f"{line} {'--dry-run' if large else '--steps 1'}\n{body}"


@pytest.fixture
def clip(cwd: Path) -> Path:
    """The clip that pages name."""
    return Made("walk.mp4", "libx264", rate=8, count=17).at(cwd)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_cells_of_a_page_run(page: Path, shell: Any, clip: Path) -> None:
    for cell in blocks(page, "ipython"):
        with capture_output() as captured:
            result = shell.run_cell(as_run_here(cell))
        assert result.success, f"{cell}\n{captured.stdout}{captured.stderr}"


def shell_lines() -> list[str]:
    return [
        line
        for page in PAGES
        for block in blocks(page, "bash")
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


@pytest.mark.parametrize("line", sorted(set(shell_lines())))
def test_shell_lines_name_what_exists(line: str, cwd: Path) -> None:
    words = shlex.split(line.replace("\\", "/"))
    program = Path(words[0]).name
    assert program in SYSTEM, f"{program} is not a program that this test knows"
    if "pip" in program:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for named in re.findall(r"\[(\w+)\]", line):
            assert named in extras["optional-dependencies"]
        for version in re.findall(r"cogmagic-([\d.]+)-py3", line):
            assert version == cogmagic.__version__
    if program == "cogmagic":
        run = [sys.executable, "-m", "cogmagic", *words[1:]]
        done = subprocess.run(run, capture_output=True, text=True, cwd=cwd, env=os.environ)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr


def test_how_to_pages_have_commands() -> None:
    cells = sum(len(list(blocks(page, "ipython"))) for page in PAGES)
    assert cells >= 30
