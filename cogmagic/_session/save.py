"""Writing a finished video, and keeping it in memory where the disk refuses."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

from cogmagic._errors import OutputError, RequestError
from cogmagic._machine.allocator import empty_cache
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._video.extension import Extended
from cogmagic._video.formats.base import Frames
from cogmagic._video.output_file import OutputFile
from cogmagic._video.video import Video

__all__ = ["save_video"]


def save_video(
    video: Video,
    frames: Frames,
    facts: dict[str, Any],
    output: OutputFile,
    slot: PipelineSlot,
) -> tuple[Video, OutputError | None]:
    """Write the file; return the video with its final path, and None.

    Where that fails, return the video with its bytes in memory, and the error to raise.

    Args:
        video: the finished video.
        frames: its frames; where a clip that it extends can no longer be read, only the new ones
            are kept.
        facts: the file's metadata.
        output: the file.
        slot: emptied if writing fails, since memory may have been the cause.
    """
    video = replace(video, format=output.format.suffix[1:])
    try:
        output.format.write(output.part, frames, video.fps, facts)
        path = output.commit()
    except Exception as error:  # whatever it is, the frames took long to make
        cause = str(error) or type(error).__name__
        problem = cause if isinstance(error, OutputError) else f"Saving failed: {cause}."
    else:
        return replace(video, path=path), None
    slot.drop()
    empty_cache()
    data, what = BytesIO(), "The video is kept in memory: %cogvideo save PATH writes it elsewhere."
    try:
        output.format.write(data, frames, video.fps, facts)
    except RequestError:
        if not isinstance(frames, Extended):
            raise
        data, count = BytesIO(), len(frames.new)
        what = f"Its {count} new frames are kept in memory: %cogvideo save PATH writes them."
        output.format.write(data, frames.new, video.fps, facts)
        video = replace(video, num_frames=count)
    return replace(video, unsaved=data.getvalue()), OutputError(f"{problem} {what}")
