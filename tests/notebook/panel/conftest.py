"""The panel, closed afterwards: of this machine, and of a described one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Plan
from cogmagic._notebook.panel.machine.readings import Reading
from cogmagic._notebook.panel.widget import Panel, close_panel, the_panel
from cogmagic._session.session import Session


@pytest.fixture
def panel(cwd: Path, session: Session) -> Iterator[Panel]:
    yield the_panel({})
    close_panel()


@pytest.fixture
def panel_on(cwd: Path, session: Session) -> Iterator[Callable[..., Panel]]:
    """Makes a panel whose plans are for `machine`, which may be changed later by its key."""
    panels: list[Panel] = []

    def make(machine: dict[str, Machine], download: int = 0, **defaults: Any) -> Panel:
        def plan(prompt: str, **options: Any) -> Plan:
            made = cogmagic.plan(prompt, **options, machine=machine["now"])
            return replace(made, available=replace(made.available, download=download))

        panels.append(Panel({}, lambda: Reading(machine["now"].gpus), defaults, plan))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()
