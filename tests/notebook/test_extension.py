"""Loading and unloading the extension."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from cogmagic._session.session import session as current
from tests.helpers.cells import cell


def test_loading_imports_neither_torch_nor_diffusers() -> None:
    program = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(history_length=0)
before = set(sys.modules)
shell.run_line_magic("load_ext", "cogmagic")
shell.run_line_magic("cogvideo", "--help")
shell.run_line_magic("cogvideo", "plan --model 5b")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert "cogmagic" in loaded
    heavy = {"torch", "diffusers", "transformers", "accelerate", "av", "numpy", "PIL", "ipywidgets"}
    assert not loaded & heavy


def test_unloading_leaves_nothing_behind(shell: Any) -> None:
    magics, others = shell.magics_manager, set(threading.enumerate())  # which end when they like

    def state() -> list[Any]:
        return [
            sorted(magics.magics["line"]),
            sorted(magics.magics["cell"]),
            sorted(magics.registry),
            [type(c).__name__ for c in shell.configurables],
            len(shell.Completer.custom_matchers),
            [
                str(transformer).partition(" at ")[0]
                for transformer in shell.input_transformers_cleanup
            ],
            sorted(t.name for t in set(threading.enumerate()) - others),
        ]

    shell.run("%unload_ext cogmagic")
    without = state()
    assert not any("cogvideo" in str(part).lower() for part in without)
    shell.run("%load_ext cogmagic")
    once = state()
    assert "cogvideo" in once[0]
    assert "cogvideo" in once[1]
    for _ in range(3):
        shell.run("%reload_ext cogmagic")
    assert state() == once
    shell.run("%unload_ext cogmagic")
    assert state() == without
    with pytest.raises(UsageError):
        shell.run("%cogvideo status")


def test_unloading_releases_the_pipeline(shell: Any, toy: Path) -> None:
    shell.run(cell(toy))
    assert current().loaded
    shell.run("%unload_ext cogmagic")
    assert current().loaded is None
