"""The panel's gallery and the enhancer in JupyterLab in Chromium, by the keyboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cogmagic
from tests.browser.test_panel import RUN_CELL, serious
from tests.helpers.chat_server import completion, serving
from tests.helpers.toy import QUICK

SHOWN = "names => [...document.querySelectorAll('.cogmagic-tile button')].filter("
SHOWN += "e => e.offsetParent).map(e => e.title.split(/[\\n,]/)[1]).join() === names"
FOCUSED = "text => document.activeElement?.innerText.trim() === text"


def test_clips_of_another_session_are_found_and_deleted_by_keyboard(
    lab: Any, opened: Callable[[list[str]], Path], folder: Path, toy: Path
) -> None:
    made = cogmagic.generate(
        "a red circle", model=str(toy), progress=False, save=folder / "clip-00.mp4", **QUICK
    )
    for n in range(1, 14):
        shutil.copy(made.path, folder / f"clip-{n:02}.mp4")
    for n in range(14):
        os.utime(folder / f"clip-{n:02}.mp4", (1.7e9 - 90_000 * n,) * 2)
    page = lab
    page.set_viewport_size({"width": 1500, "height": 2400})
    opened(["%load_ext cogmagic\n%cogvideo panel"])
    page.evaluate(RUN_CELL, 0)
    page.wait_for_selector(".cogmagic-gallery [role=status]:text-is('of 2: clips 1 to 12 of 14')")

    search = page.locator(".cogmagic-bar .widget-text:has-text('Search') input")
    search.press_sequentially("circle clip-1")
    page.wait_for_function(SHOWN, arg="clip-10.mp4,clip-11.mp4,clip-12.mp4,clip-13.mp4")
    for key in ("Tab", "Tab", "Tab", "Enter"):  # Refresh, two tiles
        page.keyboard.press(key)
    page.wait_for_selector(".cogmagic-clip :text('clip-11.mp4')")
    page.wait_for_selector(".cogmagic-stage video")
    page.locator(".cogmagic-delete").press("Enter")
    page.wait_for_function(FOCUSED, arg="Keep it")
    page.keyboard.press("Enter")
    page.wait_for_function(FOCUSED, arg="Delete")
    page.keyboard.press("Enter")
    page.wait_for_function(FOCUSED, arg="Keep it")
    problems = serious(page)
    assert problems == [], problems
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_function(SHOWN, arg="clip-10.mp4,clip-12.mp4,clip-13.mp4")
    page.wait_for_function("() => document.activeElement?.title.includes('clip-12.mp4')")
    assert not (folder / "clip-11.mp4").exists()
    assert len(list(folder.glob("*.mp4"))) == 13


def test_prompt_is_enhanced_by_a_server(lab: Any, opened: Callable[[list[str]], Path]) -> None:
    page = lab
    page.set_viewport_size({"width": 1500, "height": 2400})
    with serving() as server:
        server.answer(completion("A red circle moves to the right."))
        config = "\n".join(
            f"%config CogMagic.{name} = '{value}'"
            for name, value in (("endpoint", server.base), ("endpoint_model", "llama"))
        )
        opened([f"%load_ext cogmagic\n{config}\n%cogvideo panel"])
        page.evaluate(RUN_CELL, 0)
        prompt = page.locator(".cogmagic-at-prompt textarea")
        prompt.fill("a red circle")
        page.locator("button:text-is('Enhance')").press("Enter")
        send = page.locator("button:has-text('Send the prompt')")
        send.wait_for()
        send.press("Enter")
        page.wait_for_selector(".cogmagic-enhancer pre:text-is('A red circle moves to the right.')")
        assert prompt.input_value() == "a red circle"
        problems = serious(page)
        assert problems == [], problems
        page.locator("button:has-text('Copy this cell')").press("Enter")
        page.wait_for_selector(".cogmagic-enhancer [role=status]:text-matches('Copied|did not')")
        page.locator("button:has-text('Use as the prompt')").press("Enter")
        page.wait_for_function(
            "() => document.querySelector('.cogmagic-at-prompt textarea').value"
            " === 'A red circle moves to the right.'"
        )
        assert len(server.requests) == 1
