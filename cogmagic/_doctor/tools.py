"""Checks of the compiler, and of the encoder of videos."""

from __future__ import annotations

import sysconfig
from io import BytesIO
from pathlib import Path

from cogmagic._doctor.check import Finding, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import OutputError
from cogmagic._video.formats.mp4 import MP4

__all__ = ["check_compiler", "check_encoder"]


def check_compiler(here: Surroundings) -> Finding:
    """What ``--speed fast`` and ``--compile`` need: a compiler, Triton, the headers of Python."""
    if problem := here.machine.compiler:
        what, _, fix = problem.partition(": ")
        return warning(f"{what}, so --speed fast and --compile do not work", fix)
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if not header.is_file():
        return warning(
            "the header Python.h is missing, without which compiled code may fail to build",
            f"apt-get install python{sysconfig.get_python_version()}-dev",
        )
    return ok("a compiler and Python.h are here")


def check_encoder(here: Surroundings) -> Finding:
    """The H.264 encoder, by a short video that is written to memory and read back."""
    import numpy as np

    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, 16:48, 16:48] = 220, 40, 40
    file = BytesIO()
    try:
        MP4.write(file, frames, 8, {"prompt": "a red square"})
        back = MP4.frames(file.getvalue())
    except OutputError as error:
        what, _, fix = str(error).partition(". ")
        return failure(what, fix.removeprefix("Install one that has it: ") or _REINSTALL)
    if back.shape != frames.shape:
        return failure(f"of {len(frames)} frames, {len(back)} were read back", _REINSTALL)
    difference = float(np.abs(back.astype(int) - frames).mean())
    if difference > _MOST_DIFFERENCE:
        text = f"a video that was written and read back differs by {difference:.0f} of 255"
        return failure(text, _REINSTALL)
    return ok(f"H.264 written and read back by PyAV {here.packages.get('av', '')}".rstrip())


_REINSTALL = "pip install --force-reinstall --only-binary=:all: av"


_MOST_DIFFERENCE = 3.0
"""Mean difference of a pixel above which the colours are wrong: H.264 itself loses less than 1."""
