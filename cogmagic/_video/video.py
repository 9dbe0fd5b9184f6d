"""A finished video: its file, its report, and its display under a cell."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import escape
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogmagic._errors import OutputError, plain_line
from cogmagic._html import MARK, VOLATILE
from cogmagic._units import gib
from cogmagic._video.link import NoLinkError, relative_url
from cogmagic._video.mp4 import readable
from cogmagic._video.output_file import OutputFile
from cogmagic._video.report import Report

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Video"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Video:
    """The result of a run: a path and facts, never frames."""

    path: Path
    prompt: str
    model: str
    width: int
    height: int
    num_frames: int
    fps: int
    seed: int
    report: Report
    embed_limit: int = field(default=8_000_000, compare=False)
    """Largest file in bytes that is embedded in the notebook; larger ones are linked."""
    unsaved: bytes | None = field(default=None, compare=False)
    """The whole file, if it could not be written to `path`; `save` writes it elsewhere."""

    def __repr__(self) -> str:
        clip = f"{self.num_frames} frames of {self.width}×{self.height} at {self.fps} fps"
        return f"Video({str(_relative(self.path))!r}, {clip}, {self.model}, seed {self.seed})"

    def frames(self) -> np.ndarray[Any, Any]:
        """The frames as decoded from the file: uint8, frames × height × width × 3.

        Raises:
            OutputError: when the file is missing or damaged.
        """
        import av
        import numpy as np

        source: Any = str(self.path) if self.unsaved is None else BytesIO(self.unsaved)
        with readable(self.path), av.open(source) as file:
            return np.stack([f.to_ndarray(format="rgb24") for f in file.decode(video=0)])

    def save(self, path: str | Path, *, overwrite: bool = False) -> Video:
        """Write the video to another path, atomically, and return it with that path.

        Args:
            path: a file ending in ``.mp4``, or an existing folder.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: when it cannot be written, or the file exists already.
        """
        target = OutputFile.claim(path, self.seed, overwrite=overwrite)
        try:
            target.write(self._bytes())
            saved = target.commit()
        finally:
            target.drop()
        return replace(self, path=saved, unsaved=None)

    def _bytes(self) -> bytes:
        if self.unsaved is not None:
            return self.unsaved
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read ({error.strerror}).") from None

    def facts_line(self) -> str:
        """One line: tier with its reason, peak VRAM, time, seed, file, warning."""
        r = self.report
        return " · ".join(
            (
                f"tier {r.tier} ({r.reason})",
                *([f"preset {r.preset}"] if r.preset else []),
                *(f"--{option.replace('_', '-')}" for option in r.options),
                f"peak VRAM {gib(r.peak_vram)}",
                f"{r.total_seconds:.1f} s",
                f"seed {self.seed}",
                "not saved" if self.unsaved else plain_line(str(_relative(self.path))),
                *filter(None, (r.kept, r.warning)),
            )
        )

    def player_html(self) -> str:
        """The player alone, with the video embedded up to `embed_limit` and linked above it.

        A larger video that cannot be linked is a picture, with its path and the reason.
        """
        size = f"{self.width}×{self.height}"
        label = escape(f"{self.num_frames} frames of {size} at {self.fps} fps", quote=True)
        shown = min(max(self.width, 288), 720)  # the embedded model's small clips are enlarged
        style = f'style="width:{shown}px;max-width:100%;height:auto"'
        if self.unsaved is None and not self.path.is_file():
            return f"<div>{escape(plain_line(str(self.path)))} no longer exists.</div>"
        if self.unsaved is None and self.path.stat().st_size > self.embed_limit:
            try:
                source = escape(relative_url(self.path), quote=True)
            except NoLinkError as error:
                poster = f'<img alt="{label}" title="{label}" {style} src="{self._poster()}">'
                return f"{poster}<div>{escape(self._not_playable(str(error)))}</div>"
        else:
            source = "data:video/mp4;base64," + b64encode(self._bytes()).decode()
        return (
            f'<video class="cogmagic-video" controls autoplay loop muted playsinline'
            f' aria-label="{label}" title="{label}" poster="{self._poster()}"'
            f' {style} src="{source}"></video>'
        )

    def _not_playable(self, reason: str) -> str:
        """Why the video is not played in the notebook, and what to do."""
        size, limit = self.path.stat().st_size / 1e6, self.embed_limit / 1e6
        return (
            f"{plain_line(str(self.path))} cannot be linked: {reason}. It is not embedded because"
            f" its {size:.2f} MB exceed the limit of {limit:g} MB. Save it in the notebook's folder"
            f" (--save), or embed it: %config CogMagic.embed_limit_mb = {ceil(size)}."
        )

    def _poster(self) -> str:
        """The middle frame as a JPEG data URL, for viewers that do not show the video."""
        from PIL import Image

        frames = self.frames()
        out = BytesIO()
        Image.fromarray(frames[len(frames) // 2]).save(out, "JPEG", quality=80)
        return "data:image/jpeg;base64," + b64encode(out.getvalue()).decode()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        facts = f'<div class="{VOLATILE}">{escape(self.facts_line())}</div>'
        return {
            "text/html": f"<div>{self.player_html()}{facts}</div>",
            "text/plain": f"{MARK}{self!r}",
        }


def _relative(path: Path) -> Path:
    """`path` relative to the working directory, if it is inside."""
    with suppress(OSError, ValueError):  # the working directory may have been removed
        return path.resolve().relative_to(Path.cwd())
    return path
