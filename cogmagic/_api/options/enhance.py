"""The options of ``%cogvideo enhance`` beside those of a cell."""

from __future__ import annotations

from cogmagic._api.options.option import Option
from cogmagic._api.options.table import cell_options

__all__ = ["ENHANCE_OPTIONS", "enhance_options"]


_ENDPOINT = "Rewriting a prompt"


ENHANCE_OPTIONS: tuple[Option, ...] = (
    Option(
        "endpoint",
        "base URL of an OpenAI-compatible server, such as http://localhost:11434/v1",
        _ENDPOINT,
        "URL",
    ),
    Option("endpoint-model", "name of the language model on that server", _ENDPOINT, "NAME"),
)


def enhance_options() -> tuple[Option, ...]:
    """Every option of ``%cogvideo enhance``; those of a cell are for the cell that it prints."""
    return (*cell_options(), *ENHANCE_OPTIONS)
