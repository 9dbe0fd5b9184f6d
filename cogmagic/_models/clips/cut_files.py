"""Incomplete files, recognised by the sizes that MP4 and RIFF store in front of each part."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

__all__ = ["missing_bytes"]


_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def missing_bytes(source: Path | bytes) -> str:
    """What an MP4, MOV, AVI or WebP file lacks, with its bytes; empty for a complete one."""
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            needed = int.from_bytes(head[4:8], "little") + 8
            return _lacking(size, needed) if needed > 8 else ""
        if head[4:8] not in _MP4_FIRST:
            return ""
        start, names = 0, set()
        while start + 8 <= size:
            file.seek(start)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:  # of 64 bits
                length = int.from_bytes(head[8:], "big")
            names.add(name)
            if length == 0:  # up to the end
                break
            if length < 8:
                return ""
            start += length
        if start > size:
            return _lacking(size, start)
        return "" if b"moov" in names else f"it has {size:,} bytes, but no index (moov)"


def _lacking(size: int, needed: int) -> str:
    return f"it has {size:,} of {needed:,} bytes" if size < needed else ""
