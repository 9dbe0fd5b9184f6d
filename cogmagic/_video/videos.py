"""The videos of a batch: a list, with a table and a gallery."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from cogmagic._errors import OutputError, plain_line
from cogmagic._models.batch_row import Row
from cogmagic._video.link import NoLinkError, relative_url
from cogmagic._video.posters import poster, sheet_paths
from cogmagic._video.video import Video

__all__ = ["Videos"]

_MOST_SHOWN = 100
"""Most videos in a gallery."""

_MOST_BYTES = 2_000_000
"""Most bytes of the posters in a gallery, which is stored in the notebook."""

_POSTER_WIDTH, _MOST_CHARACTERS = 160, 120


class Videos(list[Video]):
    """The finished videos of a batch in the order of its rows. Failed rows have none.

    Args:
        videos: the finished ones.
        folder: the batch's.
        rows: all rows.
        failed: the errors of rows that failed.
    """

    def __init__(
        self,
        videos: Iterable[Video],
        *,
        folder: Path,
        rows: Sequence[Row],
        failed: Mapping[int, str],
    ) -> None:
        super().__init__(videos)
        self.folder = folder
        self.failed: dict[int, str] = dict(failed)
        """The error of each failed row, by the row's number."""
        self._rows = tuple(rows)

    @property
    def table(self) -> Any:
        """One line for each row of the batch: a DataFrame, or a list of dicts without pandas."""
        made = {self._number(video): video for video in self}
        lines = [self._line(row, made.get(row.number)) for row in self._rows]
        try:
            import pandas
        except ImportError:
            return lines
        return pandas.DataFrame(lines).set_index("row")

    @property
    def contact_sheet(self) -> tuple[Path, ...]:
        """The contact sheets in the folder, PNG files of at most a hundred videos each."""
        return tuple(p for p in sheet_paths(self.folder, len(self._rows)) if p.is_file())

    def _line(self, row: Row, video: Video | None) -> dict[str, Any]:
        r = row.request
        return {
            "row": row.number,
            "prompt": r.prompt,
            "seed": r.seed,
            "width": r.width,
            "height": r.height,
            "num_frames": r.num_frames,
            "num_inference_steps": r.num_inference_steps,
            "guidance_scale": r.guidance_scale,
            "file": str(video.path) if video else None,
            "seconds": video.report.total_seconds if video else None,
            "error": self.failed.get(row.number, ""),
        }

    def _number(self, video: Video) -> int | None:
        """The number of a video's row, with which its file's name begins; None of another file."""
        if len(self._rows) == 1:  # whose file may have been named
            return 1
        number = video.path.name.partition("-")[0]
        return int(number) if number.isdecimal() and video.path.parent == self.folder else None

    def __repr__(self) -> str:
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"Videos({len(self)} of {len(self._rows)} in {str(self.folder)!r}{failed})"

    def gallery_html(self) -> str:
        """Posters with prompt, seed and file, each linked to its file where the notebook can."""
        figures, nbytes = list[str](), 0
        for video in self[:_MOST_SHOWN]:
            data = _jpeg(video)
            nbytes += len(data)
            if nbytes > _MOST_BYTES:
                break
            figures.append(_figure(video, data))
        lines = [f"row {n}: {error}" for n, error in list(self.failed.items())[:_MOST_SHOWN]]
        if more := len(self) - len(figures):
            lines.append(f"{more} more videos are in {self.folder}, and on its contact sheets.")
        below = "".join(f"<div>{escape(plain_line(line))}</div>" for line in lines)
        style = "display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start"
        gallery = f'<div class="cogmagic-gallery" style="{style}">{"".join(figures)}</div>'
        return f"<div>{gallery}{below}</div>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        del include, exclude
        return {"text/html": self.gallery_html(), "text/plain": repr(self)}


def _jpeg(video: Video) -> str:
    """The poster as a base64 JPEG; empty where the file is gone or damaged."""
    out = BytesIO()
    try:
        poster(video, _POSTER_WIDTH).save(out, "JPEG", quality=70)
    except OutputError:
        return ""
    return b64encode(out.getvalue()).decode()


def _figure(video: Video, data: str) -> str:
    prompt = plain_line(video.prompt)
    short = prompt if len(prompt) <= _MOST_CHARACTERS else f"{prompt[: _MOST_CHARACTERS - 1]}…"
    name = plain_line(video.path.name)
    if data:
        alt = escape(f"{name}: {short}", quote=True)
        picture = f'<img alt="{alt}" src="data:image/jpeg;base64,{data}" style="width:100%">'
    else:
        picture = f"<div>{escape(name)} cannot be read.</div>"
    try:
        url = escape(relative_url(video.path), quote=True)
        picture = f'<a href="{url}" target="_blank" rel="noopener">{picture}</a>'
    except NoLinkError:
        pass
    caption = f"{escape(short)}<br>seed {video.seed} · {escape(name)}"
    title = escape(prompt, quote=True)
    return (
        f'<figure style="width:{_POSTER_WIDTH}px;margin:0" title="{title}">{picture}'
        f'<figcaption style="font-size:smaller;overflow-wrap:anywhere">{caption}</figcaption>'
        "</figure>"
    )
