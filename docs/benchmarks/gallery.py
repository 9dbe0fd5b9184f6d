"""Seconds until the panel's gallery shows a folder of clips: the first page, its posters, and all.

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

from cogmagic._notebook.panel.gallery_pages import ClipPages, Posters
from cogmagic._video.library import clips_in


def main(clip: str, count: str = "500") -> None:
    """Copy the clip, and measure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i in range(int(count)):
            path = folder / f"clip-{i:05}.mp4"
            shutil.copy(clip, path)
            os.utime(path, (1e9 + i,) * 2)
        begin = time.perf_counter()
        page = ClipPages(folder).page(0)
        listed = time.perf_counter()
        posters = Posters()
        for one in page:
            posters.url(one)
        drawn = time.perf_counter()
        clips = sum(1 for _ in clips_in(folder))
        end = time.perf_counter()
    row = {"clips": clips, "page": listed - begin, "posters": drawn - listed, "all": end - drawn}
    print(json.dumps({name: round(value, 3) for name, value in row.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
