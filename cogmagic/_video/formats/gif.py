"""Animated GIF: plays in every viewer of pictures, with 256 colours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from io import BytesIO
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cogmagic._errors import OutputError
from cogmagic._video.formats.base import Format, Frames, comment, opened, writable
from cogmagic._video.formats.bt709 import first_encoder

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["GIF"]


_SAMPLE = 1 << 15
"""Pixels of the clip from which its palette is made; four times as many take four times as long,
and gain 0.2 dB at most."""


class Gif(Format):
    """One palette of 256 colours for the whole clip, without dithering; loops forever.

    On a synthetic clip of gradients with noise (six frames of 360×240) the palette gives 33.3 dB
    PSNR in 0.3 s; FFmpeg's palettegen 32.2 dB in 1.4 s, and with Floyd-Steinberg dithering, which
    also flickers and makes the file larger, 28.8 dB.
    """

    suffix = ".gif"
    mime = "image/gif"
    bits_per_pixel = 8
    most_fps = 50
    """Browsers show a frame whose delay is under 2/100 s for 10/100 s."""
    similar = (".apng", ".webp", ".mng", ".avif")

    def check(self, fps: int) -> None:
        """Check that a GIF can have this frame rate, and that PyAV can write one."""
        if fps > self.most_fps:
            raise OutputError(
                f"A GIF plays at most {self.most_fps} frames per second, not {fps}: its delays are"
                f" whole 1/100 s, and browsers slow down those under 2. Lower the frame rate"
                f" (--fps {self.most_fps}), or save as .mp4, .webm or .png."
            )
        first_encoder("GIF", ("gif",))

    def write(
        self,
        to: Path | BytesIO,
        frames: Frames,
        fps: int,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write the frames; the metadata goes into the file's comment."""
        with writable(to):
            data = _with_comment(_encoded(frames, fps), comment(metadata, ascii_only=True))
            if isinstance(to, Path):
                to.write_bytes(data)
            else:
                to.write(data)

    def metadata(self, source: Path | bytes) -> dict[str, Any]:
        """The JSON of the file's comment."""
        from PIL import Image

        with Image.open(opened(source)) as picture:
            return dict(json.loads(picture.info["comment"]))


def _encoded(frames: Frames, fps: int) -> bytes:
    """The GIF without its comment. PyAV's encoder: Pillow's merges equal frames."""
    import av
    import numpy as np
    from PIL import Image

    palette = _palette(frames)
    colours = np.zeros((256, 4), np.uint8)
    listed = np.array(palette.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours[: len(listed), 1:], colours[:, 0] = listed, 255  # ARGB
    # Each delay is the difference of two rounded times, so that errors do not add up.
    starts = [n * 100 // fps for n in range(len(frames) + 1)]
    out, last = BytesIO(), str(starts[-1] - starts[-2])
    with av.open(out, "w", format="gif", options={"loop": "0", "final_delay": last}) as file:
        stream = file.add_stream("gif", rate=100)
        stream.height, stream.width = frames.shape[1], frames.shape[2]
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = Fraction(1, 100)
        for frame, start in zip(frames, starts, strict=False):
            nearest = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
            picture = av.VideoFrame.from_ndarray(
                cast("Any", (np.asarray(nearest), colours)), format="pal8"
            )
            picture.pts, picture.time_base = start, Fraction(1, 100)
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return out.getvalue()


def _palette(frames: Frames) -> Image.Image:
    """A picture with the clip's palette: median cut over a sample, improved by k-means."""
    import numpy as np
    from PIL import Image

    step = ceil(prod(frames.shape[:3]) / _SAMPLE) | 1  # odd: all columns
    sample, begin = [], 0
    for frame in frames:
        pixels = frame.reshape(-1, 3)
        sample.append(pixels[begin::step].copy())
        begin = (begin - len(pixels)) % step
    picture = Image.fromarray(np.concatenate(sample)[None])
    return picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1)


def _with_comment(gif: bytes, text: str) -> bytes:
    """The GIF with a comment extension after its header and palette (GIF89a, sections 18 and 24).

    FFmpeg writes no comments.
    """
    size = 3 << ((gif[10] & 7) + 1) if gif[10] & 0x80 else 0
    data = text.encode("ascii")
    blocks = (data[i : i + 255] for i in range(0, len(data), 255))
    extension = b"\x21\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\0"
    return gif[: 13 + size] + extension + gif[13 + size :]


GIF = Gif()
