"""Colours of videos, posters and previews as Chromium shows them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cogmagic import Video
from cogmagic._notebook.panel.runs.progress import RunDisplay
from cogmagic._video.formats.registry import FORMATS
from cogmagic.training.trackers import _gif
from tests.helpers.colours import COLOURS, SIZES, TOLERANCE, clip_of, patches

NOTEBOOK = "http://notebook.invalid/"
"""Answered by the test, without a network; the linked file has the same origin."""

CENTRES = """async (element) => {
    const ready = () => element.tagName === 'VIDEO' ? element.readyState >= 2 : element.complete;
    for (let tenths = 0; !ready() && !element.error && tenths < 3000; tenths++)
        await new Promise(done => setTimeout(done, 100));
    if (!ready()) throw new Error(element.error?.message || 'nothing to show after five minutes');
    const width = element.videoWidth || element.naturalWidth;
    const height = element.videoHeight || element.naturalHeight;
    const canvas = new OffscreenCanvas(width, height).getContext('2d');
    canvas.drawImage(element, 0, 0);
    const middle = (i, side) => Math.floor((2 * i + 1) * side / 8);
    const pixel = i => canvas.getImageData(middle(i % 4, width), middle(i >> 2, height), 1, 1);
    return Array.from({length: 16}, (_, i) => [...pixel(i).data].slice(0, 3));
}"""
"""The pixels in the middle of the 16 patches of a video or an image, read from a canvas."""


def player_of(name: str, video: Video) -> str:
    """The player of the same patches in another format."""
    kind = FORMATS[f".{name}"]
    path = video.path.with_name(f"other{kind.ending}")
    kind.write(path, patches(video.width, video.height), 8, {})
    return replace(video, path=path, format=name).player_html()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_chromium_shows_the_colours_of_the_frames(
    page: Any, cwd: Path, width: int, height: int
) -> None:
    video = clip_of(cwd / "clip.mp4", patches(width, height))
    panel = RunDisplay()
    panel.show_preview(patches(width // 8, height // 8))
    shown = {
        "embedded video": video.player_html(),
        "linked video": replace(video, embed_limit=0).player_html(),
        **{f"embedded {name}": player_of(name, video) for name in ("webm", "gif", "png")},
        "poster": f'<img src="{video._poster()}">',
        "preview": panel.preview.value,
        "tracker": f'<img src="data:image/gif;base64,{b64encode(_gif(video)[0]).decode()}">',
    }
    html = "".join(shown.values())
    page.route(NOTEBOOK, lambda route: route.fulfill(body=html, content_type="text/html"))
    page.route(f"{NOTEBOOK}clip.mp4", lambda route: route.fulfill(path=str(video.path)))
    page.goto(NOTEBOOK)
    elements = page.query_selector_all("video, img")
    assert len(elements) == len(shown)
    for name, element in zip(shown, elements, strict=True):
        differences = np.abs(np.array(element.evaluate(CENTRES)) - COLOURS.astype(int))
        assert differences.max() <= TOLERANCE, f"{name}: {differences.max(1).tolist()}"
