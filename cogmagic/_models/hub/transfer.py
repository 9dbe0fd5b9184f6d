"""One big file from the hub into the cache: resumable, interruptible, verified, one at a time.

The hub client throws a partial file away when it is stopped (and ``hf_xet`` keeps none), so the
bytes are streamed here, over plain HTTP, into a ``.part`` file beside the cache's blobs, which is
continued by the next run. The client then finds the finished blob and only links it.
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
    intact,
    intact_weights,
    length,
    repository_folder,
)

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
        """Where the cache keeps its content."""
        return repository_folder(self.repo_id) / "blobs" / self.etag

    @property
    def part(self) -> Path:
        """Where its first bytes wait; named for the content, so that versions never mix."""
        return self.blob.with_name(self.etag + PART)

    @property
    def lock(self) -> Path:
        """The hub client's own lock for this content, so that each waits for the other."""
        repository = repository_folder(self.repo_id)
        return repository.parent / ".locks" / repository.name / f"{self.etag}.lock"

    def whole(self) -> bool:
        """Whether the cache has all of it."""
        return intact_weights(self.blob, self.size)

    def present(self) -> int:
        """How many of its bytes need not be fetched."""
        if self.whole() or _twin(self):
            return self.size
        begun = max(length(self.blob), length(self.part))
        return begun if begun < self.size else 0  # not fewer, yet not whole: not to be trusted


def hub_file(repo_id: str, path: str, commit: str) -> HubFile:
    """Ask the hub for a file's length and the name of its content."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo_id, path, revision=commit)
    found = get_hf_file_metadata(url)
    if not found.etag or found.size is None:
        raise CheckpointError(
            f"The hub gives no length or ETag for {path} of {repo_id}. If HF_ENDPOINT is set, check"
            " that it names a Hugging Face hub."
        )
    return HubFile(repo_id, path, commit, url, found.etag, int(found.size))


def fetch(file: HubFile, tell: Callable[[HubFile, int], None]) -> None:
    """Bring a file into the cache; `tell` hears how many of its bytes are here.

    Raises:
        CheckpointError: when what arrived is not what the hub announced.
    """
    from huggingface_hub import hf_hub_download

    pointer = repository_folder(file.repo_id) / "snapshots" / file.commit / file.path
    with _locked(file, tell):
        if not intact(pointer, file.size):  # else another kernel brought it while this one waited
            pointer.unlink(missing_ok=True)  # it may be a copy of something cut short
            if not file.whole():
                _reuse(file)
            if not file.whole():
                _complete(file, tell)
    linked = Path(hf_hub_download(file.repo_id, file.path, revision=file.commit))
    if not linked.is_symlink():  # Windows: the client copied it, and one of the two is enough
        file.blob.unlink(missing_ok=True)
    tell(file, file.size)


@contextmanager
def _locked(file: HubFile, tell: Callable[[HubFile, int], None]) -> Iterator[None]:
    """Hold the file's lock; while another kernel does, tell how far that one is."""
    from filelock import Timeout
    from huggingface_hub.utils import WeakFileLock

    file.lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(WeakFileLock(file.lock, timeout=0.5))
                break
            except Timeout:
                tell(file, min(length(file.part), file.size))
        yield


def _reuse(file: HubFile) -> None:
    """Make use of what the cache has of this content elsewhere.

    The same checkpoint under its older name, or the text encoder that the models share.
    """
    file.blob.parent.mkdir(parents=True, exist_ok=True)
    if length(file.part) < length(file.blob) < file.size:  # cut short: it goes on from there
        file.blob.replace(file.part)
    elif not file.whole():
        file.blob.unlink(missing_ok=True)
    twin = _twin(file)
    if twin is not None:
        with suppress(OSError):  # no hard links on this disk: then it is fetched
            os.link(twin.resolve(), file.blob)


def _twin(file: HubFile) -> Path | None:
    """The same content in another repository of the cache."""
    if not SHA256.fullmatch(file.etag):
        return None
    blobs = file.blob.parents[2].glob(f"models--*/blobs/{file.etag}")
    return next((b for b in blobs if b != file.blob and intact_weights(b, file.size)), None)


def _complete(file: HubFile, tell: Callable[[HubFile, int], None]) -> None:
    """Fetch what is missing of the ``.part`` file and, if all is right, make it the blob."""
    if length(file.part) > file.size:
        file.part.unlink(missing_ok=True)
    digest = hashlib.sha256()
    file.part.touch()
    # Written at its place instead of appended: on a file system that ignores locks, two kernels
    # then put the same bytes into the same places.
    with file.part.open("r+b") as out:
        while chunk := out.read(_CHUNK):
            digest.update(chunk)
        tell(file, out.tell())
        failures = 0
        while out.tell() < file.size:
            failures = _attempt(file, out, digest, failures, tell)
    with suppress(FileNotFoundError):  # on such a file system another kernel was here first
        _accept(file, digest.hexdigest())


def _accept(file: HubFile, sha256: str) -> None:
    """Make the ``.part`` file the blob if it is what the hub announced, else remove it."""
    known = SHA256.fullmatch(file.etag)
    if intact_weights(file.part, file.size) and (not known or sha256 == file.etag):
        file.part.replace(file.blob)
        return
    file.part.unlink()
    raise CheckpointError(
        f"{file.path} of {file.repo_id} arrived damaged (not what its checksum or header says) and"
        " has been removed. Run it again."
    )


def _attempt(
    file: HubFile,
    out: IO[bytes],
    digest: Any,
    failures: int,
    tell: Callable[[HubFile, int], None],
) -> int:
    """Receive until the end or until the connection breaks; how often it broke in a row."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    before = out.tell()
    try:
        for chunk in _stream(file, before):
            out.write(chunk)
            digest.update(chunk)
            tell(file, out.tell())
    except HfHubHTTPError:
        raise
    except HTTPError:
        if out.tell() > before:
            failures = 0
        if failures == len(_PAUSES):
            raise
        time.sleep(_PAUSES[failures])
        return failures + 1
    if out.tell() < file.size:  # an answer that ends early without being cut: the hub's own error
        raise CheckpointError(
            f"The hub sent {out.tell():,} of {file.size:,} bytes of {file.path}. Run it again."
        )
    return 0


def _stream(file: HubFile, start: int) -> Iterator[bytes]:
    """The file's bytes from `start`."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    headers = {**build_hf_headers(), "Range": f"bytes={start}-", "Accept-Encoding": "identity"}
    with http_stream_backoff(
        "GET",
        file.url,  # not its redirected address, which expires
        headers=headers,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT,
        retry_on_exceptions=(),
    ) as response:
        hf_raise_for_status(response)
        skip = 0 if response.status_code == 206 else start  # it may send everything again
        for chunk in response.iter_bytes():
            kept = chunk[skip:]
            skip = max(skip - len(chunk), 0)
            if kept:
                yield kept
