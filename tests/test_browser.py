"""JupyterLab in Chromium: a ``%%cogvideo`` cell is run, and the video plays under it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import v4

from cogmagic._video import VOLATILE

pytestmark = pytest.mark.browser

PATIENCE = 60
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


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no chromium, which CI must have")
        pytest.skip("there is no chromium on this machine")
    return found


@pytest.fixture
def lab(cwd: Path, toy: Path) -> Iterator[str]:
    """A JupyterLab on a folder with one notebook; its address."""
    make = f"%%cogvideo --model '{toy}' --frames 9 --steps 2 --seed 7 --fps 4 --out clip"
    link = make.replace("--out clip", "--save 'clip #1, 100%.mp4'")
    cells = [
        "%load_ext cogmagic",
        f"{make}\na red circle moves to the right",
        "clip",
        "%config CogMagic.embed_limit_mb = 0",
        f"{link}\na red circle moves to the right",
    ]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    (cwd / "work").mkdir()
    nbformat.write(notebook, cwd / "work" / "demo.ipynb")
    settings = cwd / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (cwd / "lab.log").open("w")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
            *(f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"),
            *("--IdentityProvider.token=", f"--ServerApp.root_dir={cwd / 'work'}"),
            *("--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"),
        ],
        cwd=cwd,
        env={
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HOME": str(cwd),
            "JUPYTER_CONFIG_DIR": str(cwd / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(cwd / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(cwd / "workspaces"),
        },
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + PATIENCE
        while not answers(f"{address}/api"):
            assert server.poll() is None, (cwd / "lab.log").read_text()
            assert time.monotonic() < until, (cwd / "lab.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=PATIENCE)
        log.close()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 - this machine's own
            return True
    except OSError:
        return False


@pytest.fixture
def page(cwd: Path) -> Iterator[Any]:
    """A page of a fresh browser; what it shows at the end is kept as ``lab.png``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.set_default_timeout(PATIENCE * 1000)
        yield page
        page.screenshot(path=str(cwd / "lab.png"))
        browser.close()


def test_the_video_plays_in_jupyterlab(lab: str, page: Any, cwd: Path) -> None:
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))

    page.goto(f"{lab}/lab/tree/demo.ipynb")
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate(RUN_ALL)
    page.wait_for_function(
        "() => { const v = document.querySelectorAll('video.cogmagic-video');"
        " return v.length === 3 && [...v].every(x => x.readyState === 4 && x.currentTime > 0) }"
    )
    for video in page.query_selector_all("video.cogmagic-video"):
        facts = video.evaluate("v => [v.videoWidth, v.videoHeight, v.duration, v.error]")
        assert facts == [96, 96, pytest.approx(9 / 4), None]
        assert video.get_attribute("aria-label") == "9 frames of 96×96 at 4 fps"
        assert video.is_visible()
    # One line of facts per cell: the live line has become it.
    lines = [e.inner_text() for e in page.query_selector_all(f".{VOLATILE}")]
    assert len(lines) == 3
    assert all(line.startswith("none (") and " · seed 7 · c" in line for line in lines)

    page.evaluate(SAVE)
    stored = nbformat.read(cwd / "work" / "demo.ipynb", as_version=4)
    live, player = stored.cells[1].outputs
    assert lines[0] in live.data["text/plain"]  # the update is stored, not the first showing
    assert "data:video/mp4;base64," in player.data["text/html"]
    assert "data:video" not in stored.cells[4].outputs[1].data["text/html"]  # linked
    assert not [c for c in complaints if "cogmagic" in c or "cogvideo" in c or "video" in c]
