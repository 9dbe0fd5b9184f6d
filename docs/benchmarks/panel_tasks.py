"""Ten tasks in the panel in JupyterLab, by mouse and by keyboard: clicks, keys, seconds.

    python docs/benchmarks/panel_tasks.py [mouse] [keyboard] [states] [click]    # without: all

Each task begins with the focus on the prompt and ends when the page shows what the task asks for. A
key pressed counts once; the characters of a text that is typed are counted apart. Seconds include
the run, if the task has one: two steps of the embedded model. Then axe-core checks each state of
the panel. Last, the milliseconds from a click on Generate to the text *Starting* in the page, in
each of five fresh kernels, which have not imported torch. Run it from the repository, with the test
extra. Prints a JSON row for each, and appends them to ``panel_tasks.jsonl``.
``panel_tasks_before.py`` does the same tasks in an older panel.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.helpers.lab import (  # noqa: E402 - after the path
    KERNEL_IS_IDLE,
    RUN_ALL,
    browser,
    jupyterlab,
    page_of,
)

OUT = ROOT / "docs" / "benchmarks" / "panel_tasks.jsonl"
PROMPT = "a red circle moves to the right"
BOX = ".cogmagic-panel"
CLIPS = f"() => document.querySelectorAll('{BOX} .cogmagic-tile img').length"
PLAYS = f"() => document.querySelector('{BOX} video')?.readyState === 4"
IDLE = "() => document.querySelector('.cogmagic-generate').textContent === 'Generate'"
READY = "() => !document.querySelector('.cogmagic-generate').disabled"
RESTART = "() => window.jupyterapp.shell.currentWidget.sessionContext.restartKernel()"
# Keeps the times of the click on Generate and of the text that a run begins with.
WATCH = """() => {
    window.clickAt = window.textAt = 0;
    const now = document.querySelector('.cogmagic-now');
    const look = () => {
        if (now.textContent.includes('Starting')) window.textAt ||= performance.now();
    };
    new MutationObserver(look).observe(now, { subtree: true, childList: true });
    const click = () => (window.clickAt = performance.now());
    document.querySelector('.cogmagic-generate').addEventListener('click', click, true);
}"""
WIDTH_IS_96 = "() => document.querySelector('.cogmagic-at-width input').value === '96'"
# The places of the focused element and of another one in the order of the Tab key.
PLACES = """target => {
    const panel = document.querySelector('.cogmagic-panel');
    const all = 'button, input, select, textarea, video, [tabindex="0"]';
    const places = [...panel.querySelectorAll(all)].filter(e => e.checkVisibility() && !e.disabled
        && e.type !== 'file' && (e.type !== 'radio' || e.checked || e === target));
    return [places.indexOf(document.activeElement), places.indexOf(target)];
}"""


class NotPossible(Exception):
    """A task that a panel cannot do; its text says what to do instead."""


class Hand:
    """A person at the page, by mouse or by keyboard alone, whose clicks and keys are counted.

    Args:
        page: with the panel.
        keyboard: whether the mouse is not used.
    """

    def __init__(self, page: Any, *, keyboard: bool) -> None:
        self.page, self.keyboard = page, keyboard
        self.clicks = self.keys = self.typed = 0

    def press(self, key: str) -> None:
        """Press a key."""
        self.page.keyboard.press(key)
        self.keys += 1

    def reach(self, selector: str) -> Any:
        """Tab to an element, forwards or back."""
        target = self.page.locator(selector).first
        handle = target.element_handle()
        for _ in range(99):
            now, there = self.page.evaluate(PLACES, handle)
            if now == there:
                return target
            self.press("Tab" if there > now else "Shift+Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    def use(self, selector: str) -> None:
        """Press a button, or open a field."""
        if self.keyboard:
            self.reach(selector)
            self.press("Enter")
        else:
            self.page.locator(selector).first.click()
            self.clicks += 1

    def type(self, selector: str, text: str) -> None:
        """Replace the text of a field."""
        if self.keyboard:
            self.reach(selector)
        else:
            self.page.locator(selector).first.click(click_count=3)
            self.clicks += 1
        self.press("Control+A")
        self.page.keyboard.type(text)
        self.typed += len(text)

    def choose_clip(self, selector: str) -> None:
        """Press a clip of the gallery, past the fields of the request by the panel's skip link."""
        if self.keyboard:
            self.press("Shift+Tab")
            self.press("Enter")
        self.use(selector)
        self.page.wait_for_function(PLAYS)

    def choose_model(self, name: str) -> None:
        """Choose a model of the list."""
        wanted = f"{BOX} .cogmagic-models input[value='{name}']"
        if not self.keyboard:
            self.page.locator(wanted).click()
            self.clicks += 1
            return
        self.reach(f"{BOX} .cogmagic-models input:checked")
        for _ in range(9):
            if self.page.locator(wanted).is_checked():
                return
            self.press("ArrowDown")

    def generate(self) -> None:
        """Begin a run."""
        if self.keyboard:
            self.press("Control+Enter")
        else:
            self.use(".cogmagic-generate")


def button(text: str) -> str:
    return f"{BOX} button:has-text('{text}')"


def named(name: str, kind: str) -> str:
    return f"{BOX} .cogmagic-at-{name} {kind}"


def find_a_model_that_fits(hand: Hand) -> None:
    hand.page.wait_for_selector(".cogmagic-choice-fits[data-ok='true']")
    hand.choose_model("tiny-i2v")
    hand.page.wait_for_selector(".cogmagic-models input[value='tiny-i2v']:checked", timeout=9000)


def make_a_clip(hand: Hand) -> None:
    hand.type(named("prompt", "textarea"), PROMPT)
    before = hand.page.evaluate(CLIPS)
    hand.generate()
    hand.page.wait_for_function(f"n => ({CLIPS})() > n", arg=before)
    hand.page.wait_for_function(PLAYS)


def make_three_seeds(hand: Hand) -> None:
    before = hand.page.evaluate(CLIPS)
    if hand.keyboard:
        hand.reach(named("num-videos", "select"))
        hand.press("3")
    else:
        hand.use(named("num-videos", "select"))
        hand.page.locator(named("num-videos", "select")).select_option("3")
        hand.clicks += 1
    hand.page.wait_for_timeout(300)
    hand.generate()
    hand.page.wait_for_function(f"n => ({CLIPS})() >= n + 3", arg=before)


def lock_the_seed(hand: Hand) -> None:
    hand.use(button("Lock"))
    hand.page.wait_for_selector(f"{button('Lock')}.mod-active")


def use_a_clips_settings_again(hand: Hand) -> None:
    hand.choose_clip(f"{BOX} .cogmagic-tile button")
    hand.use(button("Use these settings again"))
    hand.page.wait_for_selector("text=The settings are entered.")


def extend_it(hand: Hand) -> None:
    hand.choose_clip(f"{BOX} .cogmagic-tile button")
    hand.use(button("Extend"))
    hand.page.wait_for_selector("text=Generate continues from the end of")
    hand.page.wait_for_selector(named("extend", "img"))
    hand.page.wait_for_function(READY)


def use_a_picture(hand: Hand) -> None:
    hand.choose_model("tiny-i2v")
    hand.page.wait_for_selector(named("image", ".cogmagic-upload"), state="visible")
    with hand.page.expect_file_chooser() as chooser:
        hand.use(named("image", ".cogmagic-upload"))
    chooser.value.set_files("picture.png")
    hand.page.wait_for_selector(named("image", "img"))
    hand.page.wait_for_function(READY)


def read_why_5b_does_not_fit(hand: Hand) -> None:
    hand.choose_model("5b")
    hand.page.wait_for_selector(".cogmagic-hint .cogmagic-error:has-text('lacks')")


def cancel(hand: Hand) -> None:
    hand.page.wait_for_selector("text=/denoise · .*left/")
    hand.use(button("Cancel"))
    hand.page.wait_for_selector("text=Stopped")


def find_yesterdays_clip(hand: Hand) -> None:
    hand.choose_clip(f"{BOX} .cogmagic-tile button[title*='yesterday.mp4']")


TASKS: tuple[Callable[[Hand], None], ...] = (
    find_a_model_that_fits, make_a_clip, make_three_seeds, lock_the_seed,
    use_a_clips_settings_again, extend_it, use_a_picture, read_why_5b_does_not_fit, cancel,
    find_yesterdays_clip,
)  # fmt: skip


def reset(page: Any, steps: int = 2) -> None:
    """The form as at the beginning of a task; not counted."""
    page.wait_for_function(IDLE)
    page.locator(".cogmagic-models input[value='tiny-i2v']").check()
    for name in ("image", "extend"):
        page.locator(named(name, "input:not([type=file])")).fill("")
    page.locator(".cogmagic-models input[value='tiny']").check()
    page.wait_for_function(WIDTH_IS_96)
    page.locator(named("prompt", "textarea")).fill(PROMPT)
    page.locator(named("num-videos", "select")).select_option("1")
    page.locator(named("num-frames", "select")).select_option(index=0)
    page.locator(named("num-inference-steps", "input")).fill(str(steps))
    if page.locator(f"{button('Lock')}.mod-active").count():
        page.locator(button("Lock")).click()
    page.locator(named("prompt", "textarea")).focus()
    page.wait_for_timeout(1000)


def measured(page: Any, keyboard: bool) -> None:
    """Write a row for each task."""
    for task in TASKS:
        reset(page, 900 if task is cancel else 2)
        if task is cancel:
            page.keyboard.press("Control+Enter")
        write(timed(task, Hand(page, keyboard=keyboard)))


def timed(task: Callable[[Hand], None], hand: Hand) -> dict[str, Any]:
    """Do a task, and count; a task that cannot be done names what one does instead."""
    row: dict[str, Any] = {
        "task": task.__name__.replace("_", " "), "by": "keyboard" if hand.keyboard else "mouse"
    }  # fmt: skip
    load, began = round(os.getloadavg()[0], 1), time.monotonic()
    try:
        task(hand)
    except NotPossible as instead:
        return row | {"instead": str(instead)}
    seconds = round(time.monotonic() - began, 1)
    counts = {"clicks": hand.clicks, "keys": hand.keys, "typed": hand.typed}
    return row | counts | {"seconds": seconds, "load": load}


def write(row: dict[str, Any]) -> None:
    """Print a row, and append it to the file."""
    line = json.dumps(row) + "\n"
    sys.stdout.write(line)
    sys.stdout.flush()
    with OUT.open("a") as file:
        file.write(line)


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical in the panel."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=BOX).response["violations"]
    return [v["id"] for v in found if v["impact"] in ("serious", "critical")]


def checked(page: Any) -> None:
    """Write axe-core's serious findings in each state of the panel, and in each theme and width."""

    def state(name: str) -> None:
        page.wait_for_timeout(1500)
        write({"state": name, "serious": serious(page)})

    def theme(name: str) -> None:
        change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"
        page.evaluate(change, f"JupyterLab {name}")
        page.wait_for_function(
            "name => document.body.dataset.jpThemeName === name", arg=f"JupyterLab {name}"
        )

    reset(page, 900)
    state("idle, with the gallery")
    page.locator(".cogmagic-unfold").click()
    page.locator(named("width", "input")).fill("721")
    page.keyboard.press("Tab")
    for name in ("Light", "Dark", "Dark High Contrast"):
        theme(name)
        state(f"error, {name.lower()}")
    reset(page, 900)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".cogmagic-stage img[alt='The video as it forms']")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    for name in ("Light", "Dark", "Dark High Contrast"):
        theme(name)
        state(f"running and queued, {name.lower()}")
    theme("Light")
    page.set_viewport_size({"width": 520, "height": 3600})
    state("running and queued, narrow")
    page.emulate_media(forced_colors="active")
    state("running and queued, forced colours")
    page.emulate_media(forced_colors="none")
    page.locator("button:has-text('Clear the queue')").click()
    page.locator(button("Cancel")).click()
    page.wait_for_function(IDLE)
    page.locator(f"{BOX} .cogmagic-tile button").first.click()
    page.wait_for_function(PLAYS)
    state("done, with a clip")


def clicked(page: Any) -> None:
    """Write the milliseconds from the click to the first text of a run, in fresh kernels."""
    load, times = round(os.getloadavg()[0], 1), []
    for _ in range(5):
        page.evaluate(RESTART)
        page.wait_for_function(KERNEL_IS_IDLE)
        page.evaluate(RUN_ALL)
        page.wait_for_selector(f"{BOX}:not(.jupyter-widgets-disconnected) .cogmagic-words")
        reset(page)
        page.wait_for_function(READY)
        page.evaluate(WATCH)
        page.locator(".cogmagic-generate").click()
        page.wait_for_function("() => window.textAt")
        times.append(page.evaluate("() => Math.round(window.textAt - window.clickAt)"))
        page.wait_for_function(IDLE)
    write({"click_ms": times, "median": sorted(times)[2], "load": load})


def main(*parts: str) -> None:
    with notebook_page() as page:
        page.wait_for_selector(f"{BOX} .cogmagic-tile img")
        if not parts or "mouse" in parts:
            measured(page, keyboard=False)
        if not parts or "keyboard" in parts:
            measured(page, keyboard=True)
        if not parts or "states" in parts:
            checked(page)
        if not parts or "click" in parts:
            clicked(page)


@contextmanager
def notebook_page() -> Iterator[Any]:
    """A page of JupyterLab with a panel, a clip of yesterday and a picture in its folder."""
    with tempfile.TemporaryDirectory() as folder:
        work, state = Path(folder, "work"), Path(folder, "state")
        work.mkdir()
        state.mkdir()
        os.chdir(work)
        Image.new("RGB", (96, 96), (220, 30, 30)).save("picture.png")
        prepare(work / "yesterday.mp4")
        made = v4.new_notebook(cells=[v4.new_code_cell("%load_ext cogmagic\n%cogvideo panel")])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(made, work / "panel.ipynb")
        with (
            jupyterlab(work, state) as address,
            browser() as context,
            page_of(context, Path(folder, "page.png"), 1400, 2600) as page,
        ):
            page.goto(f"{address}/lab/tree/panel.ipynb")
            page.wait_for_function(KERNEL_IS_IDLE)
            page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
            page.evaluate(RUN_ALL)
            page.wait_for_selector(f"{BOX} textarea")
            yield page


def prepare(clip: Path) -> None:
    """Make a clip whose file is a day old."""
    import cogmagic

    cogmagic.generate("a blue square moves up", model="tiny", num_inference_steps=2, save=clip)
    cogmagic.release()
    day_ago = time.time() - 86_400
    os.utime(clip, (day_ago, day_ago))


if __name__ == "__main__":
    main(*sys.argv[1:])
