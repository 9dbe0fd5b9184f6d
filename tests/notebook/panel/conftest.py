"""The panel, closed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cogmagic._notebook.panel.widget import Panel, close_panel, the_panel
from cogmagic._session.session import Session


@pytest.fixture
def panel(cwd: Path, session: Session) -> Iterator[Panel]:
    made = the_panel({})
    yield made
    close_panel()
