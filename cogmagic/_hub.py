"""The hub download as a phase of its own: sizes known first, disk space checked, resumable.

Files land in Hugging Face's own cache, so other programs find them. Only safetensors and the small
files that describe them are fetched, and only for a model that the person named.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cogmagic._catalog import Model
from cogmagic._errors import CheckpointError, OutputError
from cogmagic._progress import OnProgress, Progress

__all__ = ["cached_folder", "download", "fetch_configs", "fetch_tokenizer"]

_CONFIGS = ("model_index.json", "*/config.json", "scheduler/*.json")
_TOKENIZER = ("tokenizer/*",)
_WEIGHTS = ("*/*.safetensors", "*/*.safetensors.index.json")
_NOT = ("*.fp16.*", "*.non_ema.*", "*.bf16.*")  # second copies in another precision
_CHUNK = 2**20
_SPARE = 2**30
"""Bytes left free on the disk after a download."""


def fetch_configs(repo_id: str) -> Path:
    """Fetch the small files that say what a repository holds; the folder they are in."""
    return _snapshot(repo_id, _CONFIGS)


def fetch_tokenizer(model: Model) -> Path:
    """Fetch the tokenizer and configurations (a megabyte); the folder they are in."""
    return _snapshot(model.source, _CONFIGS + _TOKENIZER)


def cached_folder(model: Model) -> Path | None:
    """The whole checkpoint in the local cache, under any of the model's ids, or None."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from cogmagic._checkpoint import check_folder

    for repo_id in (model.source, *model.also):
        try:
            folder = Path(snapshot_download(repo_id, local_files_only=True))
            check_folder(folder)
        except (LocalEntryNotFoundError, CheckpointError):
            continue
        return folder
    return None


def download(model: Model, on_progress: OnProgress) -> Path:
    """Bring a model's checkpoint into the cache, from where it was left off; its folder.

    Raises:
        OutputError: when the disk has too little room, before anything is fetched.
        CheckpointError: when the hub cannot be reached or has no such repository.
    """
    from huggingface_hub import snapshot_download

    repo_id, patterns = model.source, _CONFIGS + _TOKENIZER + _WEIGHTS
    started = time.monotonic()
    with _explained(repo_id):
        files = snapshot_download(
            repo_id, allow_patterns=list(patterns), ignore_patterns=list(_NOT), dry_run=True
        )
        total = sum(f.file_size or 0 for f in files)
        done = sum(f.file_size or 0 for f in files if f.is_cached)
        missing = [f for f in files if f.will_download]
        _check_room(repo_id, sum(_remaining(repo_id, f) for f in missing))
        for file in missing:
            for fetched in _fetch(repo_id, file):
                on_progress(Progress("download", done + fetched, total, time.monotonic() - started))
            done += file.file_size or 0
        return Path(
            snapshot_download(repo_id, allow_patterns=list(patterns), ignore_patterns=list(_NOT))
        )


def _fetch(repo_id: str, file: Any) -> Iterator[int]:
    """Stream one file into the cache, yielding the bytes it has so far.

    The hub client throws a partial file away when it is stopped, so the bytes are put into the
    cache's blob folder here, kept under a ``.part`` name when stopped, and continued from there.
    The client then finds the blob and only links it.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    url = hf_hub_url(repo_id, file.filename, revision=file.commit_hash)
    metadata = get_hf_file_metadata(url)
    blob = _blobs(repo_id) / str(metadata.etag)
    part = blob.with_name(f"{metadata.etag}.cogmagic.part")
    if not blob.exists():
        blob.parent.mkdir(parents=True, exist_ok=True)
        start = part.stat().st_size if part.exists() else 0
        if metadata.size is None or start < metadata.size:
            headers = build_hf_headers() | {
                "Range": f"bytes={start}-",
                "Accept-Encoding": "identity",
            }
            with get_session().stream(
                "GET", url, headers=headers, follow_redirects=True
            ) as response:
                response.raise_for_status()
                resumed = response.status_code == 206  # else the server sends it all again
                with part.open("ab" if resumed else "wb") as out:
                    for chunk in response.iter_bytes(_CHUNK):
                        out.write(chunk)
                        yield out.tell()
        if metadata.size is not None and part.stat().st_size != metadata.size:
            part.unlink()
            raise CheckpointError(f"{file.filename} of {repo_id} arrived damaged. Run it again.")
        part.rename(blob)
    hf_hub_download(repo_id, file.filename, revision=file.commit_hash)
    yield file.file_size or 0


def _blobs(repo_id: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=repo_id, repo_type="model")
    return Path(str(constants.HF_HUB_CACHE), str(folder), "blobs")


def _remaining(repo_id: str, file: Any) -> int:
    """Bytes still to fetch of one file; what an earlier, stopped download left counts as there."""
    parts = _blobs(repo_id).glob("*.cogmagic.part")
    left = [p.stat().st_size for p in parts if p.stat().st_size < (file.file_size or 0)]
    return int(file.file_size or 0) - (max(left) if len(left) == 1 else 0)


def _check_room(repo_id: str, needed: int) -> None:
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(there).free
    if needed + _SPARE > free:
        raise OutputError(
            f"{repo_id} needs {needed / 1e9:.1f} GB of disk (and {_SPARE / 1e9:.1f} GB to spare),"
            f" but {cache} has {free / 1e9:.1f} GB free. Free some, or set HF_HOME to a larger disk"
            " and restart the kernel."
        )


def _snapshot(repo_id: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    with _explained(repo_id):
        return Path(snapshot_download(repo_id, allow_patterns=list(patterns)))


@contextmanager
def _explained(repo_id: str) -> Iterator[None]:
    """Turn the hub client's many errors into one line each; silence its progress bars."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    problem = ""
    try:
        yield
    except GatedRepoError:
        problem = f"{repo_id} is gated: accept its terms on the hub, then run: hf auth login"
    except RepositoryNotFoundError:
        problem = f"The hub has no model {repo_id} (or it is private: hf auth login)."
    except (HfHubHTTPError, OSError) as error:
        if isinstance(error, OSError) and error.errno == 28:  # ENOSPC
            problem = f"The disk filled up while downloading {repo_id}. Free some and run it again."
        else:
            reason = str(error).strip().splitlines()[0]
            problem = (
                f"{repo_id} cannot be fetched ({type(error).__name__}: {reason}). Check the"
                " network and run it again: it goes on where it stopped. Or give --model a folder."
            )
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {
            "httpx",
            "httpx2",
            "httpcore",
            "httpcore2",
        }:
            raise
        problem = (
            f"{repo_id} cannot be fetched ({type(error).__name__}: {error}). Check the network and"
            " run it again: it goes on where it stopped. Or give --model a folder."
        )
    finally:
        if shown:
            enable_progress_bars()
    if problem:
        raise CheckpointError(problem)
