"""The frames of a video file with their times, from any second on, and the file's end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cogmagic._models.clips.container import decoder_of, opened

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

__all__ = ["Clock", "TimedFrame", "decoded", "end_of", "frames_from"]


TimedFrame = tuple[Fraction, Fraction, "VideoFrame"]
"""A frame after its time since the first frame and its duration, in seconds."""


Stamps = Literal["pts", "dts", "none"]
"""``none``: frames follow one another by the interval."""


@dataclass(frozen=True)
class Clock:
    """Time base of a file's frames, in seconds."""

    origin: Fraction
    """The time stamp of the first frame."""
    interval: Fraction
    """The usual time from one frame to the next."""
    stamps: Stamps = "pts"
    """The field with the time stamps. Those of an AVI are in decoding order, from 0 on."""
    reordered: bool = False
    """Whether frames are decoded in another order than shown. An MP4 then mixes up how long each is
    shown."""

    def shown_for(self, ticks: int | None, base: Fraction | None) -> Fraction:
        """Seconds for which a frame is shown that lasts `ticks` of `base` by the file."""
        if not ticks or not base:
            return self.interval
        return min(ticks * base, self.interval) if self.reordered else ticks * base


def frames_from(
    source: Path | bytes, shown: str, clock: Clock, start: Fraction
) -> Iterator[TimedFrame]:
    """The frames from the key frame before `start` on; all where the file has no usable index."""
    if start > 0:
        with opened(source, shown) as (container, stream):
            frames = decoded(container, stream, clock)
            if _seek(container, stream, clock, start):
                first = next(frames, None)
                if first is not None and first[0] <= start:
                    yield first
                    yield from frames
                    return
    with opened(source, shown) as (container, stream):
        yield from decoded(container, stream, clock)


def decoded(container: InputContainer, stream: VideoStream, clock: Clock) -> Iterator[TimedFrame]:
    """The frames from the container's position on, in the order of their times.

    Damaged frames are left out, so that the frame before them is shown longer.
    """
    import av

    decoder = decoder_of(stream)
    time = -clock.interval
    for packet in _packets(container, stream):
        try:
            frames = decoder.decode(packet)
        except av.error.FFmpegError:
            continue
        for frame in frames:
            base = frame.time_base or stream.time_base
            stamp = None if clock.stamps == "none" else getattr(frame, clock.stamps)
            if stamp is None or base is None:
                time += clock.interval
            else:
                time = stamp * base - clock.origin
            if not frame.is_corrupt:
                yield time, clock.shown_for(frame.duration, base), frame


def end_of(source: Path | bytes, shown: str, clock: Clock, until: Fraction) -> Fraction:
    """When the clip ends, in seconds since its first frame; or `until` if it goes on till then.

    Reads packets and decodes nothing.
    """
    for sought in (True, False):
        with opened(source, shown) as (container, stream):
            if sought and not _seek(container, stream, clock, until):
                continue
            packets: Iterator[Packet[Any]] = (
                p for p in _packets(container, stream) if p and _is_shown(p)
            )
            if sought:  # before a key frame there may be parts of packets
                packets = dropwhile(lambda packet: not packet.is_keyframe, packets)
            end = Fraction(0)
            for count, packet in enumerate(packets):
                time = _packet_time(packet, clock, count)
                if time >= until:
                    return until
                end = max(end, time + clock.shown_for(packet.duration, packet.time_base))
            if end:
                return end
    return Fraction(0)


def _is_shown(packet: Packet[Any]) -> bool:
    return not packet.is_corrupt and not packet.is_discard


def _packet_time(packet: Packet[Any], clock: Clock, count: int) -> Fraction:
    """When a packet's frame is shown, if `count` came before it."""
    if clock.stamps == "pts" and packet.pts is not None and packet.time_base:
        return packet.pts * packet.time_base - clock.origin
    if clock.stamps != "none" and packet.dts is not None and packet.time_base:
        return packet.dts * packet.time_base
    return count * clock.interval


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[Any] | None]:
    """The video's packets, and None at the end, or where the file is damaged."""
    import av

    while True:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
            break
        except IndexError:  # PyAV's, for a packet of a stream that starts in the middle of the file
            continue
        except av.error.FFmpegError:  # as at the end of a file that is cut off
            break
    yield None


def _seek(container: InputContainer, stream: VideoStream, clock: Clock, time: Fraction) -> bool:
    """Go to the key frame before `time`, and return whether the file lets one do so."""
    import av

    if clock.stamps == "none" or not stream.time_base:
        return False
    try:
        container.seek(int((clock.origin + time) / stream.time_base), stream=stream)
    except (av.error.FFmpegError, OverflowError):
        return False
    return True
