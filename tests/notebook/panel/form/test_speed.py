"""The panel's field for the speed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from traitlets import TraitError

from cogmagic import Machine
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.toy import PROMPT


def test_speed_field_has_the_seconds_of_all_speeds(panel_on: Callable[..., Panel]) -> None:
    panel = panel_on({"now": Machine.of("H100 80GB", ram=128)}, speed="fast")
    fields = panel.fields
    fields.enter(PROMPT, {"model": "5b"})
    rows = fields.inputs["speed"].rows
    assert [row["value"] for row in rows] == ["exact", "fast", "faster"]
    assert panel.watch.plan is not None
    assert panel.watch.plan.options.speed == "fast"
    assert [row["fits"] for row in rows] == list(panel.watch.plan.speeds.texts.values())
    assert all(row["fits"] for row in rows)
    assert "--speed fast" in as_cell(PROMPT, fields.entered())
    fields.inputs["speed"].value = "faster"
    assert panel.watch.plan.savings.storage == "fp8_products"
    fields.inputs["fp8"].value = True
    assert "cannot be combined with speed faster" in fields.errors["speed"].value
    assert panel.generate.disabled
    assert [row["fits"] for row in fields.inputs["speed"].rows] == ["", "", ""]
    fields.inputs["fp8"].value, fields.inputs["speed"].value = True, "fast"
    assert [row["fits"] for row in fields.inputs["speed"].rows][2] == "not here"
    fields.inputs["speed"].value = "exact"
    assert not panel.generate.disabled


def test_recommendation_names_what_the_speed_leaves_out(panel_on: Callable[..., Panel]) -> None:
    panel = panel_on({"now": Machine.of("A100 80GB", ram=128)})
    panel.fields.enter(PROMPT, {"model": "5b", "speed": "faster"})
    assert "speed faster leaves out fp8 products: they take an Ada" in panel.advice.value


def test_speed_is_a_default_of_the_kernel(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.speed = 'fast'")
    shell.run("%cogvideo plan --model 5b --gpu H100")
    assert (
        "\nspeed    fast: compiled blocks, FlashAttention-3, fast decoding\n"
        in capsys.readouterr().out
    )
    shell.run("%cogvideo plan --model 5b --gpu H100 --speed exact")
    assert "\nspeed  " not in capsys.readouterr().out
    with pytest.raises(TraitError, match=r"Unknown speed 'quick'\. Did you mean 'fast'"):
        shell.run("get_ipython().magics_manager.registry['CogMagic'].speed = 'quick'")
