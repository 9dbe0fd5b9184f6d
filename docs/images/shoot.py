"""Take the README's picture: the quickstart's first video in JupyterLab, in Chromium.

python docs/images/shoot.py        # from the repository, with the test extra and Chromium
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.lab import KERNEL_IS_IDLE, browser_page, jupyterlab  # noqa: E402 - after the path

RUN = "i => { const n = window.jupyterapp.shell.currentWidget.content; n.activeCellIndex = i;"
RUN += " return window.jupyterapp.commands.execute('notebook:run-cell'); }"
CLEAR = "() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')"
FOLD = "() => window.jupyterapp.commands.execute('application:toggle-left-area')"
PLAYING = "() => { const v = document.querySelector('video.cogmagic-video');"
PLAYING += " return v && v.readyState === 4 && v.currentTime > 0.7; }"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work, state = Path(scratch, "work"), Path(scratch, "state")
        work.mkdir()
        state.mkdir()
        shutil.copy(ROOT / "notebooks" / "quickstart.ipynb", work)
        picture = ROOT / "docs" / "images" / "quickstart.png"
        with jupyterlab(work, state) as address, browser_page(picture, 1100, 860) as page:
            page.goto(f"{address}/lab/tree/quickstart.ipynb")
            page.wait_for_function(KERNEL_IS_IDLE)
            page.evaluate(FOLD)
            page.evaluate(CLEAR)
            for cell in (1, 3):
                page.evaluate(RUN, cell)
            page.wait_for_function(PLAYING)
        print(picture)


if __name__ == "__main__":
    main()
