"""The panel in a real kernel."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.helpers.kernels import PATIENCE, PROMPT, Kernel, cell, failed

pytestmark = pytest.mark.ipykernel


def test_panel_generates_while_other_cells_run(one: Kernel, toy: Path, there: Path) -> None:
    """The buttons by comm messages, as a front end sends them."""
    assert (
        one.run("%cogvideo panel\nfrom cogmagic._notebook.panel.widget import the_panel").reply[
            "status"
        ]
        == "ok"
    )

    def click(button: str) -> None:
        data = {"method": "custom", "content": {"event": "click"}}
        model = one.value(f"the_panel().{button}.model_id")
        content = {"comm_id": model, "data": data}
        one.client.shell_channel.send(one.client.session.msg("comm_msg", content))

    def until(condition: str) -> None:
        end = time.monotonic() + PATIENCE
        while one.value(condition) != "True":
            assert time.monotonic() < end, one.value("the_panel().run.status.value")
            time.sleep(0.05)

    values = {"model": str(toy), "prompt": PROMPT, "num_inference_steps": 1000, "num_frames": 9}
    values |= {"width": 384, "height": 384}  # which takes minutes
    for name, value in values.items():
        one.run(f"the_panel().fields.inputs[{name!r}].value = {value!r}")
    click("generate")
    until("the_panel().run.status.value.startswith('denoise')")
    began = time.monotonic()
    assert one.value("6 * 7") == "42"
    assert time.monotonic() - began < 100
    assert one.value("the_panel().runs.job is not None") == "True"
    refused = one.run(cell(toy))
    failed(refused, "BusyError")
    click("cancel")
    until("the_panel().run.status.value.startswith('Stopped')")
    for name, value in {"num_inference_steps": 1, "width": 48, "height": 32}.items():
        one.run(f"the_panel().fields.inputs[{name!r}].value = {value}")
    click("generate")
    until("'<video' in the_panel().results.clip.player.value")
    click("release")
    until("the_panel().run.status.value.startswith('Freed')")
    assert (
        one.run("from cogmagic._notebook.panel.widget import close_panel; close_panel()").reply[
            "status"
        ]
        == "ok"
    )
    names = "[t.name for t in __import__('threading').enumerate() if 'cog' in t.name]"
    end = time.monotonic() + PATIENCE
    while one.value(names) != "[]":  # a thread that has reported its end may still be leaving
        assert time.monotonic() < end, one.value(names)
        time.sleep(0.05)
