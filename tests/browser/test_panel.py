"""The panel in JupyterLab in Chromium: readings, edits, runs, cancel, copy, release."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from PIL import Image

from tests.helpers.lab import KERNEL_IS_IDLE, PATIENCE, RUN_ALL

RUN_CELL = """i => {
    const { content } = window.jupyterapp.shell.currentWidget;
    content.activeCellIndex = i;
    window.jupyterapp.commands.execute('notebook:run-cell');
}"""
ADD_CELL = """source => {
    const { content } = window.jupyterapp.shell.currentWidget;
    content.model.sharedModel.addCell({ cell_type: 'code', source });
}"""
PLAYS = "() => document.querySelector('.cogmagic-panel video')?.readyState === 4"
WORDS = "() => [...document.querySelectorAll('.cogmagic-words')].map(e => e.textContent).join()"

UNHEARD = """count => new Promise((done, fail) => {
    const meter = document.querySelector('.cogmagic-meter');
    const silence = meter.querySelector('.cogmagic-silence'), early = [];
    let last = 0;
    setTimeout(() => fail('no more readings'), 300_000);
    new MutationObserver((changes) => {
        for (const { target } of changes) {
            if (silence.contains(target)) {
                const text = silence.textContent;
                if (text && Date.now() - last < 5000) early.push(text);
            } else if (target.tagName === 'polyline') {
                last = Date.now();
                if (--count === 0) done(early);
            }
        }
    }).observe(meter, { attributes: true, characterData: true, childList: true, subtree: true });
})"""
"""After so many readings: the reports of silence that came within five seconds of a reading."""

GALLERY_TOP = """() => document.querySelector('.cogmagic-gallery').getBoundingClientRect().top
    - document.querySelector('.cogmagic-panel').getBoundingClientRect().top"""
DROP = """([data, field]) => {
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], 'a.png'));
    const drop = new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true });
    document.querySelector(`.cogmagic-at-${field} input`).dispatchEvent(drop);
}"""

CONTROLS = ".cogmagic-panel :is(input, select, textarea, button)"
ALL_HAVE_TOOLTIPS = (
    f"() => [...document.querySelectorAll('{CONTROLS}')].filter(e => e.checkVisibility())"
    ".every(e => e.closest('[title]')?.title)"
)


@pytest.fixture
def panel(lab: Any, opened: Callable[[list[str]], Path]) -> Any:
    """JupyterLab with a notebook whose first cell shows the panel; it is not run yet.

    All of the notebook is in view: a panel that is scrolled out of sight takes no readings.
    """
    lab.set_viewport_size({"width": 1500, "height": 2400})
    opened(["%load_ext cogmagic\n%cogvideo panel", "print(6 * 7)"])
    return lab


def field(page: Any, label: str, kind: str = "input") -> Any:
    return page.locator(f".cogmagic-panel .widget-inline-hbox:has(label:text-is('{label}')) {kind}")


def enter(page: Any, label: str, value: str, kind: str = "input") -> None:
    entry = field(page, label, kind)
    entry.fill(value)
    entry.press("Tab")


def has_value(page: Any, label: str, value: str) -> None:
    from playwright.sync_api import expect

    expect(field(page, label)).to_have_value(value, timeout=PATIENCE * 1000)


def choose(page: Any, model: str) -> None:
    page.locator(f".cogmagic-choice input[value='{model}']").check()


def press(page: Any, label: str) -> None:
    page.locator(f".cogmagic-panel button:has-text('{label}')").first.click()


def status(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => [...document.querySelectorAll('.cogmagic-panel .widget-html-content')]"
        ".some(e => e.textContent.includes(text))",
        arg=text,
    )


def test_panel_from_the_first_reading_to_release(panel: Any) -> None:
    errors: list[str] = []
    page = panel
    page.set_viewport_size({"width": 1200, "height": 1600})
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.evaluate(RUN_CELL, 0)
    page.wait_for_selector(".cogmagic-words")

    before = page.evaluate(WORDS)
    assert "this kernel" in before
    page.wait_for_function(f"before => ({WORDS})() !== before", arg=before)

    advice = page.locator(".cogmagic-table").inner_text()
    choose(page, "5b")
    page.wait_for_function(
        "before => document.querySelector('.cogmagic-table').innerText !== before", arg=advice
    )
    has_value(page, "Width", "720")
    field(page, "Width").select_text()
    field(page, "Width").press_sequentially("721", delay=30)
    assert field(page, "Width").input_value() == "721"
    field(page, "Width").press("Tab")
    page.wait_for_selector(".cogmagic-error:has-text('multiples of 16')")
    choose(page, "tiny")
    page.wait_for_selector(".cogmagic-hint:has-text('Enter a prompt.')")
    generate = page.locator(".cogmagic-generate")
    assert generate.is_disabled()
    assert described_by(page, generate) == "Enter a prompt."

    page.wait_for_function(ALL_HAVE_TOOLTIPS)

    unfold = page.locator("button:has-text('More options')")
    unfold.press("Enter")
    page.wait_for_selector("[aria-expanded='true']:has-text('More options')")
    field(page, "Scheduler", "select").wait_for(state="visible")
    enter(page, "Prompt", "a red circle moves to the right", "textarea")
    enter(page, "Seed", str(2**60))
    enter(page, "Steps", "900")
    top = page.evaluate(GALLERY_TOP)
    field(page, "Prompt", "textarea").press("Control+Enter")
    status(page, "denoise · ")
    page.wait_for_selector(".cogmagic-panel img[alt='The video as it forms']", state="visible")
    assert page.evaluate(GALLERY_TOP) == top, "the gallery has moved"
    field(page, "Prompt", "textarea").press("Control+Enter")
    page.wait_for_selector(".cogmagic-queue-title:has-text('a red circle moves')")
    problems = serious(page)
    assert problems == [], problems
    page.locator(".cogmagic-queue [data-act='remove']").press("Enter")
    page.wait_for_selector(".cogmagic-queue", state="hidden")
    page.evaluate(RUN_CELL, 1)
    page.wait_for_selector(".jp-OutputArea-output:has-text('42')")
    assert not page.locator("button:has-text('Cancel')").is_disabled()
    press(page, "Cancel")
    status(page, "Stopped")

    enter(page, "Steps", "3")
    press(page, "Generate")
    page.wait_for_function(PLAYS)
    press(page, "Copy as a cell")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.cogmagic-panel textarea')]"
        ".some(e => e.value.startsWith('%%cogvideo'))"
    )
    page.wait_for_selector(".cogmagic-clip [role=status]:text-matches('Copied|did not copy it')")
    texts = [t.input_value() for t in page.locator(".cogmagic-panel textarea").all()]
    cell = next(text for text in texts if text.startswith("%%cogvideo"))
    assert f"--seed {2**60}" in cell
    assert cell.endswith("\na red circle moves to the right")
    page.wait_for_selector(".jp-OutputArea-output:not(:has(.cogmagic-panel)) figure video")
    page.wait_for_selector(".cogmagic-tile img")
    page.locator(".cogmagic-tile button").first.press("Enter")
    with page.expect_download() as download:
        press(page, "Download")
    assert download.value.suggested_filename.startswith("cogvideo-")
    page.evaluate(ADD_CELL, cell)
    page.evaluate(RUN_CELL, 2)
    page.wait_for_selector(".jp-Cell .jp-OutputArea-output video.cogmagic-video >> nth=1")
    page.wait_for_function(KERNEL_IS_IDLE)

    assert page.evaluate(GALLERY_TOP) == top, "the gallery has moved"
    page.locator(".cogmagic-choice input[value='tiny']").press("ArrowDown")
    assert page.locator(".cogmagic-choice input[value='tiny-i2v']").is_checked()
    field(page, "How many clips", "select").press("3")  # in a cell, a command that makes a heading
    assert field(page, "How many clips", "select").input_value() == "3"
    page.locator(".cogmagic-at-image").wait_for(state="visible")
    page.evaluate(DROP, [picture(), "image"])
    page.wait_for_selector(".cogmagic-at-image img")
    has_value(page, "First frame", "first_frame")
    choose(page, "tiny-inp")
    enter(page, "First frame", "")
    enter(page, "Clip to begin from", download.value.suggested_filename)
    page.wait_for_selector(".cogmagic-at-video img")
    page.evaluate(DROP, [mask(), "mask"])
    page.wait_for_selector(".cogmagic-at-mask img")
    page.wait_for_selector(".cogmagic-at-mask:has-text('96×96, white is made new')")
    has_value(page, "Mask", "uploads/a.png")
    problems = serious(page)
    assert problems == [], problems
    press(page, "Release")
    status(page, "Freed ")
    assert errors == []


def test_panel_reports_a_restarted_kernel(panel: Any) -> None:
    page = panel
    page.evaluate(RUN_ALL)
    page.wait_for_selector(".cogmagic-words")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
    page.wait_for_selector(".cogmagic-silence:has-text('No reading from the kernel')")
    panels = page.locator(".cogmagic-panel.jupyter-widgets-disconnected")
    line = panels.evaluate("panel => getComputedStyle(panel, '::before').content")
    assert line == '"The kernel of this panel has ended. Run %cogvideo panel again."'


WAIT = """
import pathlib, time
while not pathlib.Path('seen').exists():
    time.sleep(0.1)
print('slept')
"""
"""A cell that keeps the kernel busy until that file is in the notebook's folder."""


def test_busy_kernel_is_not_reported_as_silent(panel: Any, folder: Path) -> None:
    page = panel
    page.evaluate(ADD_CELL, WAIT)
    page.evaluate(RUN_ALL)
    page.wait_for_selector(".cogmagic-silence:has-text('busy with a cell')")
    assert page.locator(".cogmagic-silence:has-text('No reading')").count() == 0
    (folder / "seen").touch()
    page.wait_for_selector(".jp-OutputArea-output:has-text('slept')")
    page.wait_for_selector(".cogmagic-words")
    page.wait_for_function("() => document.querySelector('.cogmagic-silence').textContent === ''")
    assert page.locator(".cogmagic-stale").count() == 0

    (folder / "seen").unlink()
    page.evaluate(RUN_CELL, 2)  # once the panel has readings, a busy kernel does not stop them
    assert page.evaluate(UNHEARD, 14) == []
    page.wait_for_function("() => document.querySelector('.cogmagic-silence').textContent === ''")
    (folder / "seen").touch()


def test_hiding_another_page_does_not_stop_the_readings(panel: Any) -> None:
    """Pages of one kernel share `visible`; here Python sets it, in place of the other page."""
    page = panel
    page.evaluate(RUN_ALL)
    page.wait_for_selector(".cogmagic-words")
    hide = "from cogmagic._notebook.panel.widget import the_panel as p\n"
    hide += "p().watch.meter.visible = False\nprint('hid')"
    page.evaluate(ADD_CELL, hide)
    page.evaluate(ADD_CELL, "print(f'seen {p().watch.meter.visible}')")
    page.evaluate(RUN_CELL, 2)
    page.wait_for_selector(".jp-OutputArea-output:has-text('hid')")
    assert page.evaluate(UNHEARD, 14) == []
    page.evaluate(RUN_CELL, 3)
    page.wait_for_selector(".jp-OutputArea-output:has-text('seen True')")


def picture() -> str:
    """A PNG of 6 MB, which is uploaded in two parts."""
    return png(Image.frombytes("RGB", (1400, 1400), token_bytes(3 * 1400**2)))


def mask() -> str:
    """A PNG whose left half is white."""
    half = Image.new("L", (96, 96))
    half.paste(255, (0, 0, 48, 96))
    return png(half)


def png(image: Image.Image) -> str:
    """A picture as a PNG, in base64."""
    out = BytesIO()
    image.save(out, "PNG")
    return b64encode(out.getvalue()).decode()


def described_by(page: Any, element: Any) -> str:
    """The text that `aria-describedby` points to."""
    return str(page.locator(f"#{element.get_attribute('aria-describedby')}").inner_text())


def serious(page: Any) -> list[str]:
    """The serious and critical violations that axe-core reports for the panel."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page, context=".cogmagic-panel").response["violations"]
    return [
        f"{v['id']}: {v['help']}: {[n['html'][:150] for n in v['nodes']][:3]}"
        for v in violations
        if v["impact"] in ("serious", "critical")
    ]
