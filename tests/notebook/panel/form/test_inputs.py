"""The panel's inputs: their conversions, and checkboxes from the registry of weight storages."""

from __future__ import annotations

import pytest

from cogmagic._notebook.panel.form.inputs import make_inputs
from cogmagic._pipeline.storage import STORAGES
from cogmagic._units import GIB


@pytest.mark.parametrize(
    ("name", "shown", "value"),
    [
        ("vram_limit", 0.0, None),
        ("vram_limit", 10.5, round(10.5 * GIB)),
        ("dtype", "the model's", None),
        ("dtype", "float16", "float16"),
        ("save", "", None),
        ("seed", str(2**64 - 1), 2**64 - 1),
        ("seed", "x", "x"),
        ("fp8", True, True),
    ],
)
def test_value_is_read_and_entered(name: str, shown: object, value: object) -> None:
    field = make_inputs()[name]
    field.widget.value = shown
    assert field.read() == value
    other = make_inputs()[name]
    other.enter(value)
    assert other.widget.value == shown


def test_registered_storage_has_a_checkbox(monkeypatch: pytest.MonkeyPatch) -> None:
    class Int4(type(STORAGES["fp8"])):  # type: ignore[misc]
        name = "int4"
        help = "4 bits"

    monkeypatch.setitem(STORAGES, "int4", Int4())
    checkbox = make_inputs()["int4"].widget
    assert (checkbox.description, checkbox.tooltip) == ("int4 weights", "4 bits")
