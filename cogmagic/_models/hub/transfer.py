"""The download of one large file into the cache: resumable, interruptible and verified.

The hub client discards a partial file when it is interrupted (and ``hf_xet`` writes none), so the
bytes are streamed here, over plain HTTP, into a ``.part`` file beside the cache's blobs, which the
next run resumes. The client then sees the finished blob and only links it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cogmagic._errors import CheckpointError
from cogmagic._models.hub.cache import (
    PART,
    SHA256,
    file_size,
    intact,
    intact_weights,
    repository_folder,
)
from cogmagic._models.hub.pages import check_answer, page_problem

__all__ = ["HubFile", "fetch", "hub_file"]


_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts that bring no new byte; after the last, the download fails."""


_CHUNK = 2**20


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at one commit, as the hub describes it."""

    repo_id: str
    path: str
    commit: str
    url: str
    etag: str
    size: int

    @property
    def blob(self) -> Path:
        """The cache's file of its content."""
        return repository_folder(self.repo_id) / "blobs" / self.etag

    @property
    def part(self) -> Path:
        """The partial file; named by the content, so that versions never mix."""
        return self.blob.with_name(self.etag + PART)

    @property
    def lock(self) -> Path:
        """The hub client's own lock of this content, so that both wait for each other."""
        repository = repository_folder(self.repo_id)
        return repository.parent / ".locks" / repository.name / f"{self.etag}.lock"

    def is_complete(self) -> bool:
        """Whether the cache has all of its bytes."""
        return intact_weights(self.blob, self.size)

    def present(self) -> int:
        """How many of its bytes are in the cache already."""
        if self.is_complete() or _twin(self):
            return self.size
        partial = max(file_size(self.blob), file_size(self.part))
        return partial if partial < self.size else 0  # full length, yet not intact: start over


def hub_file(repo_id: str, path: str, commit: str) -> HubFile:
    """Ask the hub for a file's length and ETag."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo_id, path, revision=commit)
    metadata = get_hf_file_metadata(url)
    if not metadata.etag or metadata.size is None:
        raise page_problem(repo_id, f"it gives no length or ETag for {path}")
    return HubFile(repo_id, path, commit, url, metadata.etag, int(metadata.size))


def fetch(file: HubFile, on_bytes: Callable[[HubFile, int], None]) -> None:
    """Bring a file into the cache; `on_bytes` is called with the number of its bytes in the cache.

    Raises:
        CheckpointError: when its content is not what the hub announced.
    """
    from huggingface_hub import hf_hub_download

    pointer = repository_folder(file.repo_id) / "snapshots" / file.commit / file.path
    with _locked(file, on_bytes):
        if not intact(pointer, file.size):  # else another kernel fetched it while this one waited
            pointer.unlink(missing_ok=True)  # perhaps a copy of a truncated blob
            if not file.is_complete():
                _reuse(file)
            if not file.is_complete():
                _complete(file, on_bytes)
    linked = Path(hf_hub_download(file.repo_id, file.path, revision=file.commit))
    if not linked.is_symlink():  # Windows: the client made a copy, and one is enough
        file.blob.unlink(missing_ok=True)
    on_bytes(file, file.size)


@contextmanager
def _locked(file: HubFile, on_bytes: Callable[[HubFile, int], None]) -> Iterator[None]:
    """Hold the file's lock; while another kernel holds it, report that kernel's progress."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    file.lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(WeakFileLock(file.lock, timeout=0.5))
                break
            except Timeout:
                on_bytes(file, min(file_size(file.part), file.size))
        yield


def _reuse(file: HubFile) -> None:
    """Take the same content from elsewhere in the cache, without fetching it.

    From the same checkpoint under its older name, or the text encoder that the models share.
    """
    file.blob.parent.mkdir(parents=True, exist_ok=True)
    if file_size(file.part) < file_size(file.blob) < file.size:  # truncated: it is resumed
        file.blob.replace(file.part)
    elif not file.is_complete():
        file.blob.unlink(missing_ok=True)
    twin = _twin(file)
    if twin is not None:
        with suppress(OSError):  # no hard links on this disk: it is fetched
            os.link(twin.resolve(), file.blob)


def _twin(file: HubFile) -> Path | None:
    """A blob of the same content in another repository of the cache."""
    if not SHA256.fullmatch(file.etag):
        return None
    blobs = file.blob.parents[2].glob(f"models--*/blobs/{file.etag}")
    return next((b for b in blobs if b != file.blob and intact_weights(b, file.size)), None)


def _complete(file: HubFile, on_bytes: Callable[[HubFile, int], None]) -> None:
    """Fetch the rest of the ``.part`` file and, if its content is right, make it the blob."""
    if file_size(file.part) > file.size:
        file.part.unlink(missing_ok=True)
    digest = hashlib.sha256()
    file.part.touch()
    # Written at its offset instead of appended: on a file system that ignores locks, two kernels
    # then write the same bytes to the same place.
    with file.part.open("r+b") as out:
        while chunk := out.read(_CHUNK):
            digest.update(chunk)
        on_bytes(file, out.tell())
        failures = 0
        try:
            while out.tell() < file.size:
                failures = _attempt(file, out, digest, failures, on_bytes)
        finally:
            if not out.tell():
                file.part.unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # on such a file system another kernel was first
        _accept(file, digest.hexdigest())


def _accept(file: HubFile, sha256: str) -> None:
    """Make the ``.part`` file the blob if it is what the hub announced, else remove it."""
    known = SHA256.fullmatch(file.etag)
    if intact_weights(file.part, file.size) and (not known or sha256 == file.etag):
        file.part.replace(file.blob)
        return
    file.part.unlink()
    raise CheckpointError(
        f"{file.path} of {file.repo_id} arrived damaged (it does not match its checksum or header)"
        " and has been removed. Run it again."
    )


def _attempt(
    file: HubFile,
    out: IO[bytes],
    digest: Any,
    failures: int,
    on_bytes: Callable[[HubFile, int], None],
) -> int:
    """Receive until the end or a broken connection; return how often it broke in a row."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    before = out.tell()
    try:
        for chunk in _stream(file, before):
            out.write(chunk)
            digest.update(chunk)
            on_bytes(file, out.tell())
    except HfHubHTTPError:
        raise
    except HTTPError:
        if out.tell() > before:
            failures = 0
        if failures == len(_PAUSES):
            raise
        time.sleep(_PAUSES[failures])
        return failures + 1
    if out.tell() < file.size:  # a short answer on a sound connection is not this file
        received = out.tell()
        out.truncate(before)
        out.seek(before)  # an empty file is then removed
        raise CheckpointError(
            f"The hub sent {received:,} of {file.size:,} bytes of {file.path}. Run it again."
        )
    return 0


def _stream(file: HubFile, start: int) -> Iterator[bytes]:
    """The file's bytes from `start`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    headers = {**build_hf_headers(), "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    with http_stream_backoff(
        "GET",
        file.url,  # not the redirected one, which expires
        headers=headers,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        retry_on_exceptions=(),
    ) as response:
        hf_raise_for_status(response)
        rest = file.size - (start if response.status_code == 206 else 0)
        check_answer(file.repo_id, file.path, response, rest)
        skip = 0 if response.status_code == 206 else start  # the server may send the whole file
        for chunk in response.iter_bytes():
            new = chunk[skip:]
            skip = max(skip - len(chunk), 0)
            if new:
                yield new
