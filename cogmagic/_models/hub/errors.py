"""Errors of the hub client as one line each, from calls that send no telemetry."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from cogmagic._errors import CheckpointError, CogMagicError, OutputError, causes, first_line
from cogmagic._models.hub.switches import without_telemetry

__all__ = ["explained"]


_RETRY = "run it again: the download resumes where it stopped. Or give --model a folder."


@contextmanager
def explained(repo_id: str) -> Iterator[None]:
    """Raise the hub client's errors as one line; silence its telemetry, progress bars and log."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
        logging,
    )

    bars, level = not are_progress_bars_disabled(), logging.get_verbosity()
    disable_progress_bars()
    logging.set_verbosity(logging.CRITICAL)
    try:
        with without_telemetry():
            yield
    except Exception as error:
        problem = _problem(repo_id, error)
        if problem is None:
            raise
        raise problem from None
    finally:
        logging.set_verbosity(level)
        if bars:
            enable_progress_bars()


def _problem(repo_id: str, error: Exception) -> CogMagicError | None:
    """The error to raise instead, or None for an error that is not the hub's."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HTTPError

    repository = _repository_problem(repo_id, error)
    if repository is not None or not isinstance(error, HTTPError | OSError):
        return repository
    if constants.is_offline_mode():
        return CheckpointError(
            f"{repo_id} is incomplete in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE"
            " is set. Unset it and restart the kernel to download, or give --model a folder."
        )
    return _network_problem(repo_id, error) or _disk_problem(repo_id, error)


def _repository_problem(repo_id: str, error: Exception) -> CheckpointError | None:
    """The error for a repository that is gated, missing or misnamed, or for a false hub."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        FileMetadataError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{repo_id} is gated: accept its terms at {constants.ENDPOINT}/{repo_id}, then run"
            " `hf auth login` in a terminal and try again."
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"The hub has no model {repo_id}, and no folder has that name. If it is"
            " private, run `hf auth login` in a terminal."
        )
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{repo_id} is neither a hub id (owner/name) nor a folder.")
    if isinstance(error, JSONDecodeError | FileMetadataError):
        return CheckpointError(
            f"{repo_id} cannot be fetched: {constants.ENDPOINT} does not answer as a Hugging Face"
            f" hub does (a login page, a proxy?). Check the network and HF_ENDPOINT, and {_RETRY}"
        )
    return None


def _network_problem(repo_id: str, error: Exception) -> CheckpointError | None:
    """The error for an HTTP status, or a hub that cannot be reached."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    chain = list(causes(error))
    answers = [e for e in chain if isinstance(e, HfHubHTTPError)]
    if answers:
        status = answers[-1].response.status_code
        advice = "Check your token (`hf auth login`)" if status in {401, 403} else "Wait a little"
        return CheckpointError(
            f"{repo_id} cannot be fetched: {constants.ENDPOINT} answered {status}. {advice}, and"
            f" {_RETRY}"
        )
    last = next((e for e in chain if isinstance(e, HTTPError)), None)
    if last is None:
        return None
    return CheckpointError(
        f"{repo_id} cannot be fetched: {constants.ENDPOINT} cannot be reached"
        f" ({type(last).__name__}: {first_line(last)}). Check the network, and {_RETRY}"
    )


def _disk_problem(repo_id: str, error: Exception) -> OutputError:
    from huggingface_hub.constants import HF_HUB_CACHE as CACHE

    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutputError(
            f"The disk of {CACHE} filled up while downloading {repo_id}. Free some space, and"
            f" {_RETRY}"
        )
    return OutputError(
        f"{repo_id} cannot be written to {CACHE} ({type(error).__name__}: {first_line(error)})."
        " Set HF_HOME to a writable folder and restart the kernel."
    )
