"""Errors of the hub client as one line each, from calls that send no telemetry."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from cogmagic._errors import CheckpointError, CogMagicError, OutputError, error_line
from cogmagic._models.hub.network import network_problem, setup_problem
from cogmagic._models.hub.pages import RETRY, is_page, page_problem
from cogmagic._models.hub.proxies import renew_session
from cogmagic._models.hub.switches import without_telemetry

__all__ = ["explained"]


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
    renew_session()
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

    if isinstance(error, CogMagicError):
        return None
    repository = _repository_problem(repo_id, error)
    if repository is not None:
        return repository
    setup = setup_problem(repo_id, error)
    if constants.is_offline_mode() and (setup or isinstance(error, HTTPError | OSError)):
        return CheckpointError(
            f"{repo_id} is incomplete in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE"
            " is set. Unset it and restart the kernel to download, or give --model a folder."
        )
    problem = setup or network_problem(repo_id, error)
    if problem is not None or not isinstance(error, OSError):
        return problem
    return _disk_problem(repo_id, error)


def _repository_problem(repo_id: str, error: Exception) -> CheckpointError | None:
    """The error for a repository that is gated, missing or misnamed, or for a false hub."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        FileMetadataError,
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError | RepositoryNotFoundError) and is_page(error.response):
        return None  # a proxy or a login page refused the request
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
    if any(isinstance(e, JSONDecodeError | FileMetadataError) for e in (error, error.__cause__)):
        return page_problem(repo_id)
    if isinstance(error, OSError) and str(error).startswith("Consistency check failed"):
        return page_problem(repo_id, "a file was not of the size that it announced")
    return None


def _disk_problem(repo_id: str, error: Exception) -> OutputError:
    from huggingface_hub.constants import HF_HUB_CACHE as CACHE

    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OutputError(
            f"The disk of {CACHE} filled up while downloading {repo_id}. Free some space, and"
            f" {RETRY}"
        )
    return OutputError(
        f"{repo_id} cannot be written to {CACHE} ({error_line(error)})."
        " Set HF_HOME to a writable folder and restart the kernel."
    )
