"""Validation videos in accelerate's trackers: TensorBoard and Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from cogmagic._video.formats.gif import GIF
from cogmagic._video.video import Video

__all__ = ["log_videos"]


_WIDTH = 360
"""Width in pixels of clips for TensorBoard, which stores them in its event file."""


def log_videos(trackers: Iterable[Any], videos: Mapping[int, Video], step: int) -> None:
    """Log videos, by the index of their request, to each tracker that can show them."""
    for tracker in trackers:
        if tracker.name == "tensorboard":
            for i, video in videos.items():
                _to_tensorboard(tracker.writer, f"validation/{i}", video, step)
        elif tracker.name == "wandb":
            from wandb import Video as Clip

            clips = [Clip(str(v.path), caption=v.prompt, format="mp4") for v in videos.values()]
            tracker.log({"validation": clips}, step=step)


def _to_tensorboard(writer: Any, tag: str, video: Video, step: int) -> None:
    """As an animated GIF; the writer's own ``add_video`` does the same, but needs moviepy."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    data, width, height = _gif(video)
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
    summary = Summary(value=[Summary.Value(tag=tag, image=image)])
    writer._get_file_writer().add_summary(summary, step)
    writer.add_text(f"{tag}/prompt", video.prompt, step)


def _gif(video: Video) -> tuple[bytes, int, int]:
    import numpy as np
    from PIL import Image

    frames = video.frames()
    width = min(_WIDTH, frames.shape[2])
    height = round(width * frames.shape[1] / frames.shape[2])
    small = [np.asarray(Image.fromarray(frame).resize((width, height))) for frame in frames]
    out = BytesIO()
    GIF.write(out, np.stack(small), min(video.fps, GIF.most_fps), {"prompt": video.prompt})
    return out.getvalue(), width, height
