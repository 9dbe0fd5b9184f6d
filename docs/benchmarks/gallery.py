"""Seconds of the panel's gallery with a folder of clips: first page, posters, the rest, a search.

    python docs/benchmarks/gallery.py CLIP.mp4 [COUNT]

The clip is copied COUNT times (500 by default) into a temporary folder. Prints one JSON row.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cogmagic._notebook.panel.clip_pages import ClipPages, Posters


def main(clip: str, count: str = "500") -> None:
    """Copy the clip, and measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(int(count)):
            path = folder / f"clip-{i:05}.mp4"
            shutil.copy(clip, path)
            os.utime(path, (1e9 + i,) * 2)
        begin = time.perf_counter()
        pages = ClipPages(folder)
        page = pages.page(0)
        listed = time.perf_counter()
        posters = Posters()
        for one in page:
            posters.url(one)
        drawn = time.perf_counter()
        while pages.read_one():
            pass
        read = time.perf_counter()
        pages.search("no such word")
        end = time.perf_counter()
    row = {
        "clips": int(count),
        "page": listed - begin,
        "posters": drawn - listed,
        "rest": read - drawn,
        "search": end - read,
    }
    print(json.dumps({name: round(value, 3) for name, value in row.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
