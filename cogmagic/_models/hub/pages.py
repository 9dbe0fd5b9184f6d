"""Web pages, as of a login page or a filter, in place of the hub's answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from cogmagic._errors import CheckpointError
from cogmagic._models.hub.proxies import proxy_for

__all__ = ["RETRY", "check_answer", "is_page", "page_problem"]


RETRY = "run it again: the download resumes where it stopped. Or give --model a folder."


def page_problem(repo_id: str, answer: str = "") -> CheckpointError:
    """The error for a web page, or anything else, in place of the hub's answer."""
    from huggingface_hub import constants

    proxy = proxy_for(constants.ENDPOINT)
    through = f" through the proxy {proxy}" if proxy else ""
    return CheckpointError(
        f"{repo_id} cannot be fetched: {constants.ENDPOINT} does not answer as a Hugging Face"
        f" hub does{through} ({answer or 'a login page, a proxy?'}). Open it in a browser and log"
        f" in to the network if asked, check HF_ENDPOINT, and {RETRY}"
    )


def is_page(response: Any) -> bool:
    """Whether an HTTP answer is a web page; the hub's own errors name an error code."""
    kind = response.headers.get("Content-Type", "").lower()
    return kind.startswith(("text/html", "application/xhtml")) and not response.headers.get(
        "X-Error-Code"
    )


def check_answer(repo_id: str, path: str, response: Any, size: int) -> None:
    """Refuse an answer that cannot be the `size` bytes of a file, before any of it is stored.

    Raises:
        CheckpointError: for a web page, or another length.
    """
    sender = urlsplit(str(response.url)).hostname
    if is_page(response):
        raise page_problem(repo_id, f"{sender} sent a web page in place of {path}")
    length = response.headers.get("Content-Length", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    if length.isdecimal() and int(length) != size and not encoded:
        sizes = f"{int(length):,} bytes in place of {size:,}"
        raise page_problem(repo_id, f"{sender} sent {sizes} of {path}")
