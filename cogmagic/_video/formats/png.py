"""A folder of PNGs, one a frame: exactly the frames that were generated."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from cogmagic._errors import OutputError
from cogmagic._video.formats.base import Format, Frames, comment, readable, writable

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PNG", "frame_names", "is_folder_of_frames"]


_NAME = re.compile(r"\d{4,}\.png")


class Png(Format):
    """``0001.png``, ``0002.png`` … in a folder; in memory, a ZIP archive of them."""

    suffix = ".png"
    mime = ""
    bits_per_pixel = 24
    similar = (".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".exr", ".tga", ".ppm", ".npy", ".zip")
    is_folder = True

    def check(self, fps: int) -> None:
        """Check that Pillow can compress PNGs."""
        from PIL import features

        del fps
        if not features.check("zlib"):
            raise OutputError("This Pillow build cannot write PNGs. Run: pip install -U pillow")

    def write(
        self,
        to: Path | BytesIO,
        frames: Frames,
        fps: int,
        metadata: Mapping[str, Any],
    ) -> None:
        """Write the frames; the metadata goes into the first one's tEXt chunks."""
        del fps
        with writable(to):
            if isinstance(to, Path):
                to.mkdir(exist_ok=True)
                for name, data in _pictures(frames, metadata):
                    (to / name).write_bytes(data)
                return
            with ZipFile(to, "w") as archive:
                for name, data in _pictures(frames, metadata):
                    archive.writestr(name, data)

    def each(self, source: Path | bytes) -> Iterator[np.ndarray[Any, Any]]:
        """The frames in turn, equal to those that were written."""
        import numpy as np
        from PIL import Image

        for picture in _files(source):
            yield np.asarray(Image.open(BytesIO(picture)).convert("RGB"))

    def metadata(self, source: Path | bytes) -> dict[str, Any]:
        """The JSON of the first frame's Comment."""
        from PIL import Image

        with Image.open(BytesIO(next(_files(source)))) as picture:
            return dict(json.loads(picture.info["Comment"]))

    def copy(self, source: Path | bytes, to: Path) -> None:
        """Write the pictures of a folder or archive into another folder, as they are."""
        with readable(source):
            files = list(_files(source))
        with writable(to):
            to.mkdir(exist_ok=True)
            for name, data in zip(frame_names(len(files)), files, strict=True):
                (to / name).write_bytes(data)


def is_folder_of_frames(path: Path) -> bool:
    """Whether a path is a folder, no symbolic link, that has only the names of frames in it."""
    return (
        path.is_dir()
        and not path.is_symlink()
        and all(_NAME.fullmatch(file.name) and file.is_file() for file in path.iterdir())
    )


def frame_names(count: int) -> list[str]:
    """The names of so many frames; all have the same number of digits."""
    digits = max(4, len(str(count)))
    return [f"{n:0{digits}}.png" for n in range(1, count + 1)]


def _pictures(frames: Frames, metadata: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """The name and the content of each PNG."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    title = str(metadata.get("prompt", ""))[:200]
    text.add_text("Title", title.replace("\0", "").encode("latin-1", "replace").decode("latin-1"))
    text.add_text("Comment", comment(metadata, ascii_only=True))
    for name, frame in zip(frame_names(len(frames)), frames, strict=True):
        out = BytesIO()
        Image.fromarray(frame).save(out, "PNG", pnginfo=text)
        text = PngInfo()
        yield name, out.getvalue()


def _files(source: Path | bytes) -> Iterator[bytes]:
    """The PNGs of a folder or archive, in order.

    Raises:
        FileNotFoundError: when one of them is missing.
    """
    if isinstance(source, bytes):
        with ZipFile(BytesIO(source)) as archive:
            for name in archive.namelist():
                yield archive.read(name)
        return
    count = sum(_NAME.fullmatch(file.name) is not None for file in source.iterdir())
    for name in frame_names(max(count, 1)):
        yield (source / name).read_bytes()


PNG = Png()
