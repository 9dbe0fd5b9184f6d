"""JupyterLab on a folder and a page of Chromium, for the browser tests and the pictures."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 300
"""Seconds after which a wait gives up: only a hang takes that long."""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
KERNEL_IS_IDLE = """() => {
    const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
    const kernel = context?.session?.kernel;
    return kernel?.connectionStatus === 'connected' && kernel?.status === 'idle';
}"""
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"


def chromium() -> str | None:
    """The browser's program, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def jupyterlab(folder: Path, state: Path, *, dark: bool = False) -> Iterator[str]:
    """A JupyterLab on `folder` that keeps its own files in `state`; its address."""
    settings = state / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    theme = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
    (settings / "themes.jupyterlab-settings").write_text(json.dumps(theme))
    log = (state / "lab.log").open("w")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            # It takes a free port just before it listens: seconds later another may have it.
            *("--ServerApp.port=0", "--ServerApp.ip=127.0.0.1"),
            *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"),
            *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
            "--JupyterNotebookApp.expose_app_in_browser=True",
            f"--VoilaExecutor.iopub_timeout={PATIENCE}",  # 4 s by default, which load exceeds
        ],
        cwd=state,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HOME": str(state),
            "JUPYTER_CONFIG_DIR": str(state / "config"),
            "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(state / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + PATIENCE
        while not ((address := address_of(server.pid, state)) and answers(f"{address}/api")):
            assert server.poll() is None, (state / "lab.log").read_text()
            assert time.monotonic() < until, (state / "lab.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
        log.close()


def address_of(pid: int, state: Path) -> str:
    """Where the server of that process listens, or soon does; empty before it knows."""
    try:
        port = json.loads((state / "runtime" / f"jpserver-{pid}.json").read_text())["port"]
    except (OSError, ValueError):  # not written yet, or not wholly
        return ""
    return f"http://127.0.0.1:{port}"


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - this machine's own
            return True
    except OSError:
        return False


@contextmanager
def browser() -> Iterator[Any]:
    """A fresh browser; its context, whose pages share what they load."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield started.new_context()
        started.close()


@contextmanager
def page_of(context: Any, picture: Path, width: int = 1200, height: int = 1400) -> Iterator[Any]:
    """A page of a browser; what it shows at the end is kept as `picture`."""
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    page.screenshot(path=str(picture))
    page.close()
