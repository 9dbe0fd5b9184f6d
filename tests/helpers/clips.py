"""Clips of other programs: each frame shows its own number in black and white fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np

SIZE = 64, 48
_COLUMNS, _ROWS = 8, 2


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray[Any, Any]:
    """A frame of 16 fields, which are the bits of its number: white for 1."""
    bits = np.array([number >> n & 1 for n in range(_COLUMNS * _ROWS)], np.uint8)
    fields = bits.reshape(_ROWS, _COLUMNS) * np.uint8(255)
    width, height = size
    grey = np.repeat(np.repeat(fields, height // _ROWS, 0), width // _COLUMNS, 1)
    return np.repeat(grey[:, :, None], 3, 2)


def numbers(frames: np.ndarray[Any, Any]) -> list[int]:
    """The numbers that frames of any size show."""
    height, width = frames.shape[1:3]
    rows = [height * (2 * n + 1) // (2 * _ROWS) for n in range(_ROWS)]
    columns = [width * (2 * n + 1) // (2 * _COLUMNS) for n in range(_COLUMNS)]
    bits = (frames[:, rows][:, :, columns, 1] > 127).reshape(len(frames), -1)
    return [sum(int(bit) << n for n, bit in enumerate(one)) for one in bits]


@dataclass(frozen=True)
class Made:
    """How to make a clip."""

    name: str
    codec: str
    pixels: str = "yuv420p"
    rate: Fraction | int = 24
    count: int = 40
    options: dict[str, str] = field(default_factory=dict)
    container: str | None = None
    times: Sequence[int] | None = None
    """Milliseconds of each frame, if they vary."""
    prepare: Callable[[Any], None] | None = None
    """Changes the stream before the first frame."""
    fields: str = ""
    """``tff`` or ``bff`` of interlaced frames."""
    picture: Callable[[int], np.ndarray[Any, Any]] = numbered

    def at(self, folder: Path) -> Path:
        """The clip in that folder."""
        path = folder / self.name
        base = 1 / Fraction(self.rate) if self.times is None else Fraction(1, 1000)
        with av.open(str(path), "w", format=self.container) as file:
            stream = file.add_stream(self.codec, rate=self.rate, options=self.options)
            stream.height, stream.width = self.picture(0).shape[:2]
            stream.pix_fmt = self.pixels
            stream.codec_context.thread_count = 1
            if self.times is not None:
                stream.codec_context.time_base = base
            if self.prepare is not None:
                self.prepare(stream)
            for number in range(self.count):
                array = self.picture(number)
                frame = av.VideoFrame.from_ndarray(
                    array, "rgba" if array.shape[2] == 4 else "rgb24"
                )
                frame = frame.reformat(format=self.pixels, threads=1)
                frame.pts = number if self.times is None else self.times[number]
                frame.time_base = base
                file.mux(stream.encode(_interlaced(frame, self.fields) if self.fields else frame))
            file.mux(stream.encode())
        return path


def _interlaced(frame: av.VideoFrame, fields: str) -> av.VideoFrame:
    """A frame that is marked as interlaced."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        ),
        graph.add("setfield", f"mode={fields}"),
        graph.add("buffersink"),
    ).configure()
    graph.vpush(frame)
    return graph.vpull()
