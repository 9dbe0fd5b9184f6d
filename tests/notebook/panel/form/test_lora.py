"""LoRA adapters in the panel: a line of text, its errors, the plan and the cell."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from cogmagic import Machine
from cogmagic._models.adapters import adapter as adapter_module
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.form.inputs import make_inputs
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.toy import PROMPT


def lora(file: Path, model: str = "tiny", rank: int = 4) -> Path:
    return write(file, diffusers_keys(factors(model=model, rank=rank)))


@pytest.fixture
def form(cwd: Path, panel_on: Callable[..., Panel]) -> Panel:
    panel = panel_on({"now": Machine.of("RTX 3060", ram=32)})
    panel.fields.inputs["prompt"].value = PROMPT
    return panel


def error(panel: Panel, name: str = "lora") -> str:
    return unescape(panel.fields.errors[name].value)


def test_adapters_are_a_line_of_text(cwd: Path, form: Panel) -> None:
    lora(cwd / "red.safetensors")
    lora(cwd / "my soft, style.safetensors", rank=2)
    typed = '"my soft, style.safetensors@-0.5", red.safetensors@0.8'
    form.fields.inputs["lora"].value = typed
    assert error(form) == ""
    assert not form.generate.disabled
    assert "red.safetensors@0.8 (rank 4, scale 1)" in unescape(form.advice.value)
    assert "my soft, style.safetensors@-0.5 (rank 2, scale 1)" in unescape(form.advice.value)
    texts = ["my soft, style.safetensors@-0.5", "red.safetensors@0.8"]
    assert form.fields.options()["lora"] == texts
    cell = as_cell(PROMPT, form.fields.entered())
    assert '--lora "my soft, style.safetensors@-0.5" --lora red.safetensors@0.8' in cell
    entered = form.fields.entered()
    form.fields.inputs["lora"].value = ""
    assert form.fields.options()["lora"] is None
    assert "LoRA" not in unescape(form.advice.value)
    form.fields.enter(PROMPT, entered)
    assert form.fields.inputs["lora"].value == typed
    assert ".safetensors file" in form.fields.inputs["lora"].tooltip


def test_adapters_count_in_the_recommendation(cwd: Path, form: Panel) -> None:
    form.fields.inputs["model"].value = "5b"
    before = form.watch.plan
    name = lora(cwd / "large.safetensors", "5b", rank=64).name
    form.fields.inputs["lora"].value = name
    assert before is not None
    assert form.watch.plan is not None
    plans = [
        {c.placement.name: c.peak_vram or 0 for c in p.candidates}
        for p in (before, form.watch.plan)
    ]
    assert plans[1]["none"] - plans[0]["none"] > 130e6  # attention of 5b: 2,064,384 bytes a rank


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("reds.safetensors", "No LoRA at reds.safetensors. Did you mean 'red'?"),
        ("red.safetensors@x", "not a finite number"),
        ("red.safetensors, red", "is given twice"),
        ("large.safetensors", "does not fit tiny"),
        ("broken.safetensors", "broken.safetensors"),
    ],
)
def test_errors_are_beside_the_field(cwd: Path, form: Panel, typed: str, message: str) -> None:
    lora(cwd / "red.safetensors")
    lora(cwd / "large.safetensors", "2b")
    (cwd / "broken.safetensors").write_bytes(b"no")
    form.fields.inputs["lora"].value = typed
    assert message in error(form)
    assert unescape(form.hint.value).startswith('<span class="cogmagic-error">LoRA: ')
    assert form.generate.disabled
    form.fields.inputs["lora"].value = "red.safetensors"
    assert error(form) == ""
    assert not form.generate.disabled


def test_an_adapter_is_read_once_until_it_changes(
    cwd: Path, form: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    original = adapter_module.read_file

    def read(file: Path, label: str) -> Any:
        reads.append(file.name)
        return original(file, label)

    monkeypatch.setattr(adapter_module, "read_file", read)
    lora(cwd / "red.safetensors")
    form.fields.inputs["lora"].value = "red.safetensors"
    for typed in ("a", "a red", "a red circle"):
        form.fields.inputs["prompt"].value = typed
    assert reads == ["red.safetensors"]
    lora(cwd / "red.safetensors", rank=2)
    form.refresh()
    assert "red.safetensors@1 (rank 2, scale 1)" in unescape(form.advice.value)
    (cwd / "red.safetensors").unlink()
    form.refresh()
    assert "No LoRA at" in error(form)
    assert form.generate.disabled


def test_an_adapter_of_a_preset_that_does_not_fit_is_an_error_of_the_preset(
    cwd: Path, panel_on: Callable[..., Panel]
) -> None:
    lora(cwd / "large.safetensors", "2b")
    (cwd / "presets.toml").write_text("[quick]\nlora = 'large.safetensors'\nsteps = 2")
    panel = panel_on({"now": Machine.of("RTX 3060", ram=32)}, presets="presets.toml")
    panel.fields.inputs["prompt"].value = PROMPT
    panel.fields.inputs["preset"].value = "presets.toml:quick"
    assert "does not fit tiny" in error(panel, "preset")
    panel.fields.inputs["preset"].value = ""
    assert error(panel, "preset") == ""
    assert not panel.generate.disabled


@pytest.mark.parametrize(
    ("text", "loras"),
    [
        (" , ", []),
        ("a@1 b,c", ["a@1", "b", "c"]),
        ('"a b.safetensors"@-0.5,b', ["a b.safetensors@-0.5", "b"]),
        (r"C:\loras\a.safetensors@2 'D:\b, c'", [r"C:\loras\a.safetensors@2", r"D:\b, c"]),
        ("it's.safetensors", ["it's.safetensors"]),
        ('"a', ['"a']),
    ],
)
def test_texts_are_separated_by_commas_or_spaces(text: str, loras: list[str]) -> None:
    field = make_inputs()["lora"]
    field.widget.value = text
    assert field.read() == loras
    field.enter(loras)
    assert (field.read() or []) == loras
