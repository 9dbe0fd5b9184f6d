"""Seconds of the panel's gallery with a folder of clips: first page, posters, the rest, a search.

    python docs/benchmarks/gallery.py CLIP.mp4 [COUNT]

The clip is copied COUNT times (500 by default) into a temporary folder. Prints one JSON row: the
machine's load, and of each the seconds of the clock and of the processor.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cogmagic._notebook.panel.clips.pages import ClipPages, Posters


def main(clip: str, count: str = "500") -> None:
    """Copy the clip, and measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(int(count)):
            path = folder / f"clip-{i:05}.mp4"
            shutil.copy(clip, path)
            os.utime(path, (1e9 + i,) * 2)
        begin = clocks()
        pages = ClipPages(folder)
        page = pages.page(0)
        listed = clocks()
        posters = Posters()
        for one in page:
            posters.url(one)
        drawn = clocks()
        while pages.read_one():
            pass
        read = clocks()
        pages.search("no such word")
        end = clocks()
    times = {
        "page": listed - begin,
        "posters": drawn - listed,
        "rest": read - drawn,
        "search": end - read,
    }
    row = {name: [round(float(value), 3) for value in pair] for name, pair in times.items()}
    print(json.dumps({"clips": int(count), "load": round(os.getloadavg()[0], 1), **row}))


def clocks() -> np.ndarray[Any, Any]:
    """The time of the clock and that of the processor, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    main(*sys.argv[1:])
