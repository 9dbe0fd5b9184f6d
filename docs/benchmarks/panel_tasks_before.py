"""The ten tasks of ``panel_tasks.py`` in an older panel: clicks, keys, seconds, or what one did.

It had no gallery, no queue and no list of models.

    git worktree add /tmp/before b1472ca
    PYTHONPATH=/tmp/before python docs/benchmarks/panel_tasks_before.py [mouse] [keyboard]

The kernel of the notebook imports cogmagic from ``PYTHONPATH``. Appends a JSON row for each task to
``panel_tasks.jsonl``, with the commit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from panel_tasks import (
    BOX,
    PLAYS,
    PROMPT,
    Hand,
    NotPossible,
    button,
    cancel,
    notebook_page,
    timed,
    write,
)

READY = "() => !document.querySelector('.cogmagic-generate').disabled"
STEPS = "//label[text()='Steps']/following-sibling::input"
FIRST_FRAME = "//label[text()='First frame']/following-sibling::input"
VALUE = "([path, value]) => document.evaluate(path, document).iterateNext().value.startsWith(value)"
RESULTS = f"() => document.querySelectorAll('{BOX} img[alt^=Video]').length"


def field(label: str, kind: str = "input") -> str:
    """The entry with that label."""
    return f"{BOX} .widget-inline-hbox:has(label:text-is('{label}')) {kind}"


def enter(hand: Hand, label: str, text: str) -> None:
    """Replace the text of a field, and leave it."""
    hand.type(field(label), text)
    hand.press("Enter")


def run(hand: Hand) -> None:
    """Press Generate, and wait for the next result: the same request makes the same video."""
    before = hand.page.evaluate(RESULTS)
    hand.page.wait_for_function(READY)
    hand.use(".cogmagic-generate")
    hand.page.wait_for_function(f"before => ({RESULTS})() > before", arg=before)
    hand.page.wait_for_function(PLAYS)


def find_a_model_that_fits(_: Hand) -> None:
    raise NotPossible(
        "type the name of one model after the other, and read the recommendation for each: the"
        " list offers those that begin with what the field has, one"
    )


def make_a_clip(hand: Hand) -> None:
    hand.type(field("Prompt", "textarea"), PROMPT)
    run(hand)


def make_three_seeds(hand: Hand) -> None:
    for seed in ("1", "2", "3"):
        enter(hand, "Seed", seed)
        run(hand)


def lock_the_seed(_: Hand) -> None:
    """The seed of the form is that of every run."""


def use_a_clips_settings_again(hand: Hand) -> None:
    """The run had 2 steps, and the form has 7."""
    hand.use(button("Use these settings again"))
    hand.page.wait_for_function(VALUE, arg=[STEPS, "2"])


def extend_it(_: Hand) -> None:
    raise NotPossible("write a cell: %%cogvideo --model tiny-i2v --extend clip.mp4")


def use_a_picture(hand: Hand) -> None:
    enter(hand, "Model", "tiny-i2v")
    hand.page.wait_for_selector(button("Upload a first frame"), state="visible")
    with hand.page.expect_file_chooser() as chooser:
        hand.use(button("Upload a first frame"))
    chooser.value.set_files("picture.png")
    hand.page.wait_for_function(VALUE, arg=[FIRST_FRAME, "first_frame"])
    hand.page.wait_for_function(READY)


def read_why_5b_does_not_fit(hand: Hand) -> None:
    enter(hand, "Model", "5b")
    hand.page.wait_for_selector(".cogmagic-hint .cogmagic-error:has-text('lacks')")


def find_yesterdays_clip(_: Hand) -> None:
    raise NotPossible(
        "look for the file by its time in JupyterLab's file browser, and open it there: the panel"
        " shows the clips of its own session"
    )


TASKS: tuple[Callable[[Hand], None], ...] = (
    find_a_model_that_fits, make_a_clip, make_three_seeds, lock_the_seed,
    use_a_clips_settings_again, extend_it, use_a_picture, read_why_5b_does_not_fit, cancel,
    find_yesterdays_clip,
)  # fmt: skip


def reset(page: Any, steps: int) -> None:
    """The form as at the beginning of a task; not counted."""
    page.wait_for_function("() => document.querySelector('.cogmagic-generate')")
    for label, text in (("Model", "tiny"), ("Steps", str(steps))):
        page.locator(field(label)).fill(text)
        page.locator(field(label)).press("Tab")
        page.wait_for_timeout(500)
    page.locator(field("Frames", "select")).select_option(index=0)
    page.locator(field("Prompt", "textarea")).fill(PROMPT)
    page.locator(field("Prompt", "textarea")).focus()
    page.wait_for_timeout(1000)


def main(*parts: str) -> None:
    folder = os.environ["PYTHONPATH"].partition(os.pathsep)[0]
    command = ["git", "-C", folder, "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    with notebook_page() as page:
        for by in parts or ("mouse", "keyboard"):
            for task in TASKS:
                reset(page, {cancel: 900, use_a_clips_settings_again: 7}.get(task, 2))
                if task is cancel:
                    page.locator(".cogmagic-generate").click()
                    page.locator(field("Prompt", "textarea")).focus()
                hand = Hand(page, keyboard=by == "keyboard")
                write(timed(task, hand) | {"commit": commit.stdout.strip()})


if __name__ == "__main__":
    main(*sys.argv[1:])
