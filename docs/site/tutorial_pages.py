"""The page of a tutorial, from its notebook with the outputs stored in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def tutorial_page(path: Path) -> str:
    """Markdown of a notebook: its texts, its cells, and what they print and show."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source:
            parts.append(f"```ipython\n{source}\n```")
            parts += [shown for output in cell["outputs"] if (shown := _shown(output))]
    place = path.relative_to(NOTEBOOKS.parent).as_posix()
    link = f"{{download}}`a notebook <../../../{place}>`"
    parts.insert(1, f"*This page is {link}, whose outputs tests compare.*")
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    """An output as Markdown: a video or picture as HTML, everything else as text."""
    data = output.get("data", {})
    html = "".join(data.get("text/html", ""))
    if re.search("<video|<img", html):
        html = re.sub(r' href="(?!https?:|data:|#)[^"]*"', "", html)  # files beside the notebook
        return f"```{{raw}} html\n{html}\n```"
    text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
    return f"```text\n{text}\n```" if text else ""
