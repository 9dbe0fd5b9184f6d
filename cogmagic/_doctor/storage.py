"""Checks of disks, folders and the checkpoints in the hub's cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cogmagic._doctor.check import Finding, failure, ok, warning
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._errors import CogMagicError, plain_line
from cogmagic._files import cache_folder
from cogmagic._models.catalog import MODELS
from cogmagic._models.checkpoints.folder import check_complete
from cogmagic._models.find import local_folder
from cogmagic._models.hub.cache import main_snapshot
from cogmagic._models.hub.disk import bytes_to_download, disk_for_downloads
from cogmagic._models.model import Model

__all__ = ["check_checkpoints", "check_disk", "check_folders"]


_LEAST_FREE = 100 * 10**6
"""Bytes that a video with its temporary file takes at most, apart from folders of frames."""


def check_disk(here: Surroundings) -> Finding:
    """Space for checkpoints in the hub's cache."""
    from huggingface_hub import constants

    cache, free = Path(constants.HF_HUB_CACHE), disk_for_downloads()
    place = plain_line(str(cache))
    if not _writable(cache):
        return failure(
            f"the hub's cache {place} cannot be written",
            "export HF_HOME=FOLDER with a writable folder, and restart the kernel",
        )
    missing = {m.name: bytes_to_download(m) for m in MODELS if not m.embedded}
    least = min(missing, key=lambda name: missing[name])
    text = f"{free / 1e9:.1f} GB free for downloads in {place}"
    if missing[least] <= free:
        return ok(text)
    return warning(
        f"{text}, but {least}, the smallest download, needs {missing[least] / 1e9:.1f} GB",
        "free some space, or export HF_HOME=FOLDER on a larger disk and restart the kernel",
    )


def check_folders(here: Surroundings) -> Finding:
    """The folders that videos, and cogmagic's own records, are written to."""
    try:
        working = Path.cwd()
    except OSError:
        return failure("the working directory no longer exists", "cd to a folder that exists")
    free = shutil.disk_usage(working).free
    if not _writable(working):
        return failure(
            f"the working directory {plain_line(str(working))} cannot be written",
            "cd to a writable folder, or give --save FOLDER",
        )
    if free < _LEAST_FREE:
        return failure(
            f"{free / 1e6:.0f} MB free in the working directory, where videos are written",
            "free some space, or give --save FOLDER on another disk",
        )
    own = cache_folder()
    if not _writable(own):
        return warning(
            f"cogmagic's cache {plain_line(str(own))} cannot be written, so it learns nothing"
            " from past runs",
            "export COGMAGIC_CACHE=FOLDER with a writable folder",
        )
    return ok(f"the working directory and {plain_line(str(own))} can be written")


def _writable(folder: Path) -> bool:
    """Whether a folder that may not exist yet can be written, or made."""
    # Not Path.exists, which raises in a folder that may not be entered.
    existing = next(p for p in (folder, *folder.parents) if os.access(p, os.F_OK))
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def check_checkpoints(here: Surroundings) -> Finding:
    """The checkpoints on this machine: whole, begun, or damaged."""
    whole, problems, names = list[str](), list[str](), list[str]()
    for model in MODELS:
        try:
            if local_folder(model) is not None:
                whole.append(model.name)
            elif problem := _unfinished(model):
                problems.append(problem)
                names.append(model.name)
        except CogMagicError as error:
            problems.append(f"{model.name}: {error}")
            names.append(model.name)
    text = f"whole: {', '.join(whole) or 'none'}"
    if problems:
        if here.environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            return warning(
                f"{text}; {'; '.join(problems)}; HF_HUB_OFFLINE is set",
                "unset HF_HUB_OFFLINE, and restart the kernel, to continue the download",
            )
        runs = " or ".join(f"--model {name}" for name in names)
        return warning(f"{text}; {'; '.join(problems)}", f"a run with {runs} downloads the rest")
    return ok(text)


def _unfinished(model: Model) -> str:
    """What a checkpoint in the cache lacks; empty where no download was begun."""
    folder = next(filter(None, map(main_snapshot, (model.source, *model.also))), None)
    missing = bytes_to_download(model)
    if folder is None or not any(folder.glob("*/*.safetensors")):
        begun = model.download_bytes - missing
        return f"{model.name}: {missing / 1e9:.1f} GB are missing" if begun > _CONFIGS else ""
    try:
        check_complete(folder)
    except CogMagicError as error:
        return f"{model.name}: {error}"
    return f"{model.name}: a small file is damaged"


_CONFIGS = 10**7
"""More bytes than the small files of any checkpoint, which a plan may have fetched."""
