"""Interrupts of a real kernel, in every phase of a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cogmagic._html import MARK
from tests.helpers.kernels import PROMPT, Kernel, cell, failed, long_cell


@pytest.mark.ipykernel
def test_interrupt_stops_the_cell_and_the_kernel_stays_usable(
    one: Kernel, toy: Path, there: Path
) -> None:
    sent = one.send(long_cell(toy, "--out never"))
    queued = one.send("print('queued')")
    interrupted = []

    def stop(message: dict[str, Any]) -> None:
        text = str(message["content"].get("data", {}).get("text/plain"))
        if not interrupted and text.startswith(f"{MARK}denoise · ") and "/1000" in text:
            interrupted.append(text)
            assert [p.name.endswith(".part.mp4") for p in there.iterdir()] == [True]
            one.manager.interrupt_kernel()

    ran = one.wait(sent, stop)
    error = failed(ran, "Cancelled")
    assert error["evalue"] == "Stopped. The run's memory has been freed."
    assert ran.of("stream") == []
    last = ran.of("update_display_data")[-1]["data"]["text/plain"]
    assert last.startswith(f"{MARK}stopped: denoise · ")
    assert one.reply(queued)["status"] == "aborted"
    assert list(there.iterdir()) == []
    assert one.value("'never' in dir()") == "False"

    after = one.run(cell(toy, "--steps 1 --out again"))
    assert after.reply["status"] == "ok"
    assert one.value("again.path.exists()") == "True"


HOLD = """
import signal, time
from cogmagic._session import session as s
before, messages = s.Clock.phase, get_ipython().kernel.session
send = messages.send
def hold(clock, phase, *rest, **more):
    before(clock, phase, *rest, **more)
    if phase == "{phase}":
        print("holding", flush=True)
        time.sleep(600)
def press(stream, message, *rest, **more):
    if message == "execute_reply" and "Cancelled" in str(rest[:1]):
        signal.raise_signal(signal.SIGINT)
    return send(stream, message, *rest, **more)
s.Clock.phase, messages.send = hold, press
"""
"""Holds a phase, and interrupts the kernel once more as it replies, as a late second press does."""


MASKED = """
import numpy as np
clip, part = np.zeros((9, 32, 48, 3), np.uint8), np.zeros((32, 48), bool)
clip[:, :, 20:], part[8:20, 10:30] = 200, True
"""


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("t2v", "load"),
        ("inp", "encode"),
        ("void", "encode video"),
        pytest.param("t2v", "denoise", marks=pytest.mark.ipykernel),
        ("inp", "decode"),
        ("t2v", "save"),
    ],
)
def test_interrupt_in_every_phase_leaves_no_file_and_no_name(
    one: Kernel, toy_of: dict[str, Path], there: Path, kind: str, phase: str
) -> None:
    toy, given = toy_of[kind], "--video clip --mask part" * (kind != "t2v")
    assert one.run(MASKED).reply["status"] == "ok"
    assert one.run("%cogvideo release --prompts").reply["status"] == "ok"
    assert one.run(HOLD.format(phase=phase)).reply["status"] == "ok"
    stopped: list[float] = []

    def stop(message: dict[str, Any]) -> None:
        if message["content"].get("text", "").startswith("holding"):
            stopped.append(time.monotonic())
            one.manager.interrupt_kernel()

    try:
        sent = one.send(cell(toy, f"--steps 2 --out never {given}"))
        queued = one.send("print('queued')")
        failed(one.wait(sent, stop), "Cancelled")
        assert time.monotonic() - stopped[0] < 300
        assert one.reply(queued)["status"] == "aborted"
    finally:
        one.run("s.Clock.phase, messages.send = before, send")
    assert list(there.iterdir()) == []
    assert one.value("'never' in dir()") == "False"
    assert one.run(cell(toy, f"--steps 1 {given}")).reply["status"] == "ok"


@pytest.mark.ipykernel
def test_interrupt_during_the_first_import_leaves_the_kernel_usable(
    second: Kernel, beside: Path, toy: Path
) -> None:
    interrupted = []
    assert second.value("'torch' in __import__('sys').modules") == "False"

    def stop(message: dict[str, Any]) -> None:
        if message["msg_type"] == "update_display_data" and not interrupted:
            interrupted.append(message["content"]["data"]["text/plain"])
            second.manager.interrupt_kernel()

    failed(second.wait(second.send(cell(toy, "--steps 1")), stop), "Cancelled")
    assert interrupted[0].startswith(f"{MARK}starting…")
    assert list(beside.iterdir()) == []
    assert second.run(cell(toy, "--steps 1")).reply["status"] == "ok"


@pytest.mark.ipykernel
def test_interrupt_stops_a_cell_that_uses_await(one: Kernel, toy: Path, there: Path) -> None:
    sent = one.send(
        "import asyncio, cogmagic\nawait asyncio.sleep(0)\n"
        f"cogmagic.generate({PROMPT!r}, model={str(toy)!r}, num_inference_steps=1000, seed=1,"
        " size='384x384', num_frames=17,"
        " on_progress=lambda p: print(p.phase, p.done))"
    )
    stopped = []

    def stop(message: dict[str, Any]) -> None:
        if not stopped and "denoise 3" in str(message["content"].get("text")):
            stopped.append(1)
            one.manager.interrupt_kernel()

    failed(one.wait(sent, stop), "Cancelled")
    assert one.run("await asyncio.sleep(0)\nprint('goes on')").text == "goes on\n"
    assert list(there.iterdir()) == []
