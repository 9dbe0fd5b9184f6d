"""Example prompts, in the form that each kind of model was trained on."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as w

from cogmagic._models.model import Model
from cogmagic._notebook.panel.parts.looks import make

__all__ = ["Examples"]


# The embedded models know only these words; the others were trained on long descriptions.
_EMBEDDED = (
    ("Red circle", "a red circle moves to the right on a black background"),
    ("Blue square", "a blue square moves up on a black background"),
    ("Green triangle", "a green triangle moves to the left on a black background"),
)


_LONG = (
    ("Panda", "A panda in a small red jacket sits on a wooden stool in a quiet bamboo forest and"
     " strums a tiny guitar. Other pandas gather around it and watch. Sunlight filters through the"
     " tall bamboo and casts a soft glow over the scene. The camera moves slowly closer."),
    ("Lighthouse", "A white lighthouse stands on a rocky cliff at dusk while heavy waves break"
     " against the rocks below and throw spray into the air. The lamp turns and sweeps a warm beam"
     " through thin fog. The camera flies in a wide arc around the tower."),
    ("Street", "A young woman with a transparent umbrella walks along a narrow street in the rain"
     " at night. Neon signs in pink and blue are reflected in the wet pavement. The camera follows"
     " her at shoulder height, and the background is softly blurred."),
)  # fmt: skip


_MOTION = (
    ("Turn the head", "The subject slowly turns its head towards the camera and blinks. The light"
     " changes softly, and the background stays still."),
    ("Wind", "A gentle wind moves hair, leaves and fabric in the scene. Clouds drift slowly across"
     " the sky, and the camera stays still."),
    ("Move closer", "The camera moves slowly closer to the subject, in one smooth movement, while"
     " the background falls softly out of focus."),
)  # fmt: skip


class Examples:
    """Three buttons that enter an example as the prompt.

    Args:
        enter: called with the prompt.
    """

    def __init__(self, enter: Callable[[str], None]) -> None:
        self._shown: tuple[tuple[str, str], ...] = ()
        self._enter = enter
        self.buttons = tuple(make(w.Button) for _ in range(3))
        for i, button in enumerate(self.buttons):
            button.add_class("cogmagic-example")
            button.on_click(lambda _, i=i: self._enter(self._shown[i][1]))
        self.view = make(w.HBox, [make(w.HTML, "Examples"), *self.buttons])
        self.view.add_class("cogmagic-examples")

    def show_for(self, model: Model | None) -> None:
        """Offer the examples for a model; None is any other."""
        takes_image = model is not None and model.takes("image")
        self._shown = _MOTION if takes_image else _LONG
        if model is not None and model.embedded:
            self._shown = _EMBEDDED
        for button, (name, prompt) in zip(self.buttons, self._shown, strict=True):
            button.description, button.tooltip = name, prompt
