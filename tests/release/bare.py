"""What the wheel does in an environment with nothing but its own dependencies.

    uv venv bare && uv pip install --python bare/bin/python dist/*.whl
    bare/bin/python tests/release/bare.py

It prints every answer, makes a video, and fails where something needs a package that is not there
without naming it.
"""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

EXTRAS = ("anywidget", "ipywidgets", "jupyterlab", "ray", "torchao", "bitsandbytes", "pytest")


def refusal(call: Callable[[], Any]) -> str:
    """The error of a call, which must be one line of cogmagic's own."""
    import cogmagic

    try:
        call()
    except cogmagic.CogMagicError as error:
        text = str(error)
        print("refused:", text)
        assert "\n" not in text
        return text
    raise AssertionError("it was not refused")


def check_imports() -> None:
    installed = [name for name in EXTRAS if importlib.util.find_spec(name)]
    assert not installed, f"this environment is not bare: {installed}"
    import cogmagic

    heavy = {"torch", "diffusers", "transformers", "numpy"} & set(sys.modules)
    assert not heavy, f"importing cogmagic imports {heavy}"
    assert "site-packages" in str(Path(cogmagic.__file__)), "not the installed wheel"


def check_refusals() -> None:
    import cogmagic

    assert "pip install anywidget ipywidgets" in refusal(cogmagic.panel)
    assert "pip install ray" in refusal(lambda: cogmagic.cluster("local"))
    quantised = refusal(lambda: cogmagic.generate("a red circle", quantize="int8"))
    assert "pip install -U torchao" in quantised


def check_video() -> None:
    import cogmagic

    print(cogmagic.plan(model="5b", machine=cogmagic.Machine.of("RTX 3060", ram=32)).reason)
    video = cogmagic.generate("a red circle moves to the right", seed=7, steps=4, num_frames=9)
    assert video.path.stat().st_size > 1000
    assert video.frames().shape == (9, 96, 96, 3)


def check_cell() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        for cell in (
            "%load_ext cogmagic",
            "%%cogvideo --dry-run\na red circle",
            "%cogvideo models",
        ):
            assert shell.run_cell(cell).success, out.getvalue()
    assert "tier     none" in out.getvalue()


def check_command() -> None:
    """The command, where the wheel has one."""
    command = Path(sys.executable).parent / "cogmagic"
    if importlib.util.find_spec("cogmagic.__main__"):
        run = [str(command), "plan", "--model", "5b", "--gpu", "RTX 3060", "--ram", "32"]
        done = subprocess.run(run, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "stream" in done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["COGMAGIC_CACHE"] = folder
        for check in (check_imports, check_refusals, check_video, check_cell, check_command):
            check()
            print("ok", check.__name__)


if __name__ == "__main__":
    main()
