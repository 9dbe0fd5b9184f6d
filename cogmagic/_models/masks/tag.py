"""The mark of the mask files that cogmagic saves, by which it knows what their white stands for."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["TAG", "is_tagged"]


TAG = "cogmagic_mask"
"""The key in the JSON of the file's metadata field ``comment``."""


def is_tagged(path: Path) -> bool:
    """Whether a video file is a mask that cogmagic has saved."""
    import av

    try:
        with av.open(f"file:{path.absolute()}", options={"protocol_whitelist": "file"}) as file:
            known = json.loads(file.metadata.get("comment", ""))
    except Exception:  # a file without metadata, or of another program
        return False
    return isinstance(known, dict) and TAG in known
