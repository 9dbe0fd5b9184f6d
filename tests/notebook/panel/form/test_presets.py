"""Presets in the panel: a dropdown that enters their values."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape
from pathlib import Path

from cogmagic import Machine
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.toy import PROMPT


def test_panel_offers_presets_and_enters_their_values(
    cwd: Path, panel_on: Callable[..., Panel]
) -> None:
    presets = cwd / "presets.toml"
    presets.write_text("[quick]\nmodels = ['tiny']\ntimesteps = [999, 749]\nguidance_scale = 1")
    panel = panel_on({"now": Machine.of("RTX 3060", ram=32)}, presets=str(presets))
    fields = panel.fields
    assert [label for label, _ in fields.inputs["preset"].options] == ["none", "tdm", "quick"]
    fields.inputs["prompt"].value = PROMPT
    fields.inputs["preset"].value = f"{presets}:quick"
    entered = [fields.inputs[n].value for n in ("num_inference_steps", "guidance_scale")]
    assert entered == [2, 1]
    assert not panel.generate.disabled
    assert "Preset quick: " in unescape(panel.advice.value)
    assert " instead of " in unescape(panel.advice.value)
    assert as_cell(PROMPT, fields.options()).startswith("%%cogvideo --model tiny")
    assert f"--preset {presets}:quick" in as_cell(PROMPT, fields.options())
    fields.inputs["num_inference_steps"].value = 8
    assert "steps 8 contradicts preset quick" in unescape(fields.errors["preset"].value)
    assert panel.generate.disabled
    fields.inputs["preset"].value = ""
    entered = [fields.inputs[n].value for n in ("num_inference_steps", "guidance_scale")]
    assert entered == [20, 2.5]
    fields.inputs["preset"].value = "tdm"
    assert "tdm is for 2b: add model 2b" in fields.errors["preset"].value
