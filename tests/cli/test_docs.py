"""docs/command-line.md and docs/doctor.md say what the command does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cogmagic._cli.commands import COMMANDS
from cogmagic._cli.main import main
from cogmagic._doctor.registry import CHECKS
from cogmagic._doctor.trials import TRIALS
from tests.helpers.benchmarks import ROOT

COMMAND_LINE = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
DOCTOR = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
TYPED = re.findall(r"```shell\n(.*?)```", COMMAND_LINE, re.DOTALL)


def test_every_command_is_listed() -> None:
    listed = re.findall(r"^\| `cogmagic (\w+)", COMMAND_LINE, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_every_check_is_listed() -> None:
    _, _, table = DOCTOR.partition("## The checks")
    listed = re.findall(r"^\| ([^|`]+?) \|", table, re.MULTILINE)[1:]
    assert listed == [check.name for check in (*CHECKS, *TRIALS)]
    assert f"the last {['', 'one', 'two', 'three', 'four', 'five'][len(TRIALS)]} checks" in DOCTOR


@pytest.mark.slow
@pytest.mark.parametrize("typed", TYPED)
def test_commands_of_the_page_work(
    typed: str, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = re.findall(r"cogmagic (.*?)\)?$", typed, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
