"""Whether Generate is on, and the line below it: the reason, or the download."""

from __future__ import annotations

from collections.abc import Callable
from html import unescape

import pytest

from cogmagic import Machine
from cogmagic._notebook.panel.widget import Panel
from tests.helpers.toy import PROMPT

GB = 10**9


def hint(panel: Panel) -> str:
    """The text beside Generate, which is its tooltip, too."""
    text = unescape(panel.hint.value).removesuffix("</span>").rpartition(">")[2]
    assert panel.generate.tooltip == (text or "make the video")
    return text


def test_generate_waits_for_a_prompt(panel: Panel) -> None:
    assert panel.generate.disabled
    assert hint(panel) == "Enter a prompt."
    panel.fields.inputs["prompt"].value = PROMPT
    assert not panel.generate.disabled
    assert hint(panel) == "", "the time is not known before the first run on a CPU"


def test_generate_is_off_while_nothing_fits_and_says_why(panel_on: Callable[..., Panel]) -> None:
    machine = {"now": Machine.of("RTX 3060", ram=1)}
    panel = panel_on(machine)
    panel.fields.enter(PROMPT, {"model": "5b"})
    assert panel.generate.disabled
    assert "5b" in hint(panel)
    assert "GiB of RAM" in hint(panel)
    assert "cogmagic-error" in panel.hint.value
    machine["now"] = Machine.of("RTX 3060", ram=64)
    panel.refresh()
    assert not panel.generate.disabled
    assert hint(panel).startswith("A clip takes about ")


def test_generate_names_the_download(panel_on: Callable[..., Panel]) -> None:
    panel = panel_on({"now": Machine.of("RTX 3090", ram=64)}, download=21_500_000_000)
    panel.fields.enter(PROMPT, {"model": "5b"})
    assert not panel.generate.disabled
    download = "Generate downloads 21.5 GB from zai-org/CogVideoX-5b first."
    assert hint(panel) == f"A clip takes about 11 min. {download}"


@pytest.mark.parametrize("asked", [{"tier": "none"}, {"policy": "rule", "vram_limit": 4 * 2**30}])
def test_only_ram_and_disk_stop_a_tier_that_was_asked_for(
    panel_on: Callable[..., Panel], asked: dict[str, str]
) -> None:
    machine = {"now": Machine.of("RTX 3060", ram=64)}
    panel = panel_on(machine)
    panel.fields.enter(PROMPT, {"model": "5b", **asked})
    assert panel.watch.plan is not None
    assert not panel.watch.plan.fits
    assert not panel.generate.disabled
    assert "although it lacks" in hint(panel)
    machine["now"] = Machine.of("RTX 3060", ram=1)
    panel.refresh()
    assert panel.generate.disabled
    assert "GiB of RAM" in hint(panel)


def test_compile_without_a_tier_for_it_switches_generate_off(
    panel_on: Callable[..., Panel],
) -> None:
    panel = panel_on({"now": Machine.of("RTX 3090", ram=64)})
    panel.fields.enter(PROMPT, {"model": "5b", "tier": "sequential", "compile": True})
    assert panel.generate.disabled
    assert "compile" in hint(panel)
    panel.fields.inputs["compile"].value = False
    assert not panel.generate.disabled


def test_recommendation_warns_of_words_that_the_model_does_not_know(panel: Panel) -> None:
    panel.fields.enter("一只猫", {"model": "tiny"})
    assert "tiny does not know 3 of 3 words of the prompt (一只猫): " in panel.advice.value
    assert not panel.generate.disabled
    panel.fields.inputs["prompt"].value = PROMPT
    assert "does not know" not in panel.advice.value
