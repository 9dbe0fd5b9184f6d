"""The panel's first frame for image-to-video: an upload becomes a variable that a cell can name."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from cogmagic._errors import RequestError
from cogmagic._models.pictures import as_picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FirstFrame"]


class FirstFrame:
    """The upload button, and the variables that its pictures are put into.

    Args:
        variables: the user's variables.
        name_frame: called with the name of the variable of a new upload.
        changed: called after every upload.
    """

    def __init__(
        self,
        variables: MutableMapping[str, Any],
        name_frame: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self.variables = variables
        self.error = ""
        self._name_frame, self._changed = name_frame, changed
        self.upload = w.FileUpload(
            accept="image/*",
            description="Upload a first frame",
            layout=w.Layout(width="auto", align_self="flex-start"),
        )
        self.upload.observe(self._on_upload, "value")

    def resolve(self, name: str | None) -> Any:
        """The image of that variable, or `name` itself as a path; None for None."""
        return None if name is None else self.variables.get(name, name)

    def _on_upload(self, change: Any) -> None:
        if not change["new"]:
            return
        try:
            picture = as_picture(change["new"][-1]["content"].tobytes())
        except RequestError as error:
            self.error = f"{error} Upload another."
        else:
            self.add(picture)
        self.upload.value = ()
        self._changed()

    def add(self, picture: Image) -> str:
        """Put a picture into a new variable, enter its name, and return it."""
        self.error = ""
        names = ("first_frame", *(f"first_frame_{i}" for i in range(2, 1000)))
        name = next(n for n in names if n not in self.variables)
        self.variables[name] = picture
        self._name_frame(name)
        return name
