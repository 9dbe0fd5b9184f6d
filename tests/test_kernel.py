"""Cells in a real kernel: what reaches the front end, interrupts, errors, and what stays behind."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cogmagic._html import MARK, VOLATILE
from tests.kernels import Kernel, Ran, kernel

PROMPT = "a red circle moves to the right"
TENSORS = """
import gc, sys
def tensors():
    torch = sys.modules.get("torch")
    gc.collect()
    # not isinstance: asking a lazy proxy for its class would import what it stands for
    return torch and sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def one(folder: Path) -> Iterator[Kernel]:
    with kernel(folder) as started:
        yield started


@pytest.fixture
def there(folder: Path) -> Iterator[Path]:
    """The kernel's folder, emptied afterwards."""
    yield folder
    for path in folder.iterdir():
        path.unlink()


def cell(model: Path, options: str = "", body: str = PROMPT) -> str:
    return f"%%cogvideo --model '{model}' --size 48x32 --frames 9 {options}\n{body}"


def failed(ran: Ran, name: str) -> dict[str, Any]:
    """The one error that `ran` sent: of that name, and of one line."""
    (error,) = ran.of("error")
    assert error["ename"] == name
    assert error["traceback"] == [f"{name}: {error['evalue']}"]
    assert "\n" not in error["evalue"]
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == name
    return error


def test_a_cell_shows_a_live_line_and_then_the_video(one: Kernel, toy: Path, there: Path) -> None:
    ran = one.run(cell(toy, "--steps 3 --seed 7 --out fox"))
    assert ran.reply["status"] == "ok"
    kinds = [m["msg_type"] for m in ran.messages]
    assert kinds[:3] == ["status", "execute_input", "display_data"]
    assert kinds[-2:] == ["display_data", "status"]
    assert set(kinds[3:-2]) == {"update_display_data"}  # nothing is printed or logged
    live, player = ran.of("display_data")
    updates = ran.of("update_display_data")
    assert {u["transient"]["display_id"] for u in updates} == {live["transient"]["display_id"]}
    for shown in (live, *updates):
        assert shown["data"]["text/html"].startswith(f'<div class="{VOLATILE}"')
        assert shown["data"]["text/plain"].startswith(MARK)
    lines = [u["data"]["text/plain"].removeprefix(MARK) for u in updates]
    phases = list(dict.fromkeys(line.split()[0] for line in lines))
    phases = phases[phases[0] == "starting…" :]  # shown again if importing takes a while
    assert phases == ["load", "encode", "denoise", "decode", "save", "none"]
    assert "denoise · 3/3" in " ".join(lines)
    assert lines[-1].startswith("none (no GPU: nothing is offloaded) · peak VRAM n/a · ")
    assert " · seed 7 · cogvideo-" in lines[-1]
    assert "<video" in player["data"]["text/html"]
    assert 'src="data:video/mp4;base64,' in player["data"]["text/html"]
    assert [p.suffix for p in there.iterdir()] == [".mp4"]
    assert one.value("fox.frames().shape, fox.frames().dtype") == "(9, 32, 48, 3) uint8"


def test_the_live_lines_thread_ends(one: Kernel, toy: Path, there: Path) -> None:
    names = "sorted(t.name for t in __import__('threading').enumerate())"
    one.run(cell(toy, "--steps 1"))
    one.run(cell(toy, "--steps 1 --save missing/"))
    assert "cogmagic-live" not in one.value(names)


def test_the_same_seed_makes_the_same_frames(one: Kernel, toy: Path, there: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert one.run(cell(toy, f"--steps 2 --seed {seed} --out {name}")).of("error") == []
    digest = "[v.report.frames_sha256 for v in (a, b, c)]"
    a, b, c = json.loads(one.value(f"__import__('json').dumps({digest})"))
    assert len(a) == 64
    assert a == b != c


@pytest.mark.parametrize(
    ("options", "name", "says"),
    [
        ("--stepps 3", "RequestError", "Did you mean '--steps'?"),
        ("--truncate --tier balanced", "TierError", "there is none to use"),
        ("--save nowhere/", "OutputError", "Make it first."),
    ],
)
def test_errors_are_sent_as_one_line(
    one: Kernel, toy: Path, there: Path, options: str, name: str, says: str
) -> None:
    ran = one.run(cell(toy, options))
    assert says in failed(ran, name)["evalue"]
    assert ran.of("stream") == []
    assert list(there.iterdir()) == []


def test_an_error_turns_the_live_line_red(one: Kernel, toy: Path, there: Path) -> None:
    ran = one.run(cell(toy, "--save nowhere/"))
    last = ran.of("update_display_data")[-1]["data"]
    assert last["text/plain"].startswith(f"{MARK}failed: ")
    assert 'style="color:' in last["text/html"]


def test_an_interrupt_stops_the_cell_and_the_kernel_goes_on(
    one: Kernel, toy: Path, there: Path
) -> None:
    sent = one.send(cell(toy, "--steps 1000 --out never"))
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
    assert error["evalue"] == "Stopped; the GPU is free again."
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
import time
from cogmagic._session import session as s
before = s.Clock.phase
def hold(clock, phase, *rest, **more):
    before(clock, phase, *rest, **more)
    if phase == "{phase}":
        print("holding", flush=True)
        time.sleep(60)
s.Clock.phase = hold
"""


@pytest.mark.parametrize("phase", ["load", "encode", "denoise", "decode", "save"])
def test_an_interrupt_in_any_phase_frees_all(
    one: Kernel, toy: Path, there: Path, phase: str
) -> None:
    assert one.run("%cogvideo release --prompts").reply["status"] == "ok"
    assert one.run(HOLD.format(phase=phase)).reply["status"] == "ok"
    stopped: list[float] = []

    def stop(message: dict[str, Any]) -> None:
        if message["content"].get("text", "").startswith("holding"):
            stopped.append(time.monotonic())
            one.manager.interrupt_kernel()
            one.manager.interrupt_kernel()  # people press twice

    try:
        sent = one.send(cell(toy, "--steps 2 --out never"))
        queued = one.send("print('queued')")
        failed(one.wait(sent, stop), "Cancelled")
        assert time.monotonic() - stopped[0] < 30
        assert one.reply(queued)["status"] == "aborted"
    finally:
        one.run("s.Clock.phase = before")
    assert list(there.iterdir()) == []
    assert one.value("'never' in dir()") == "False"
    assert one.run(cell(toy, "--steps 1")).reply["status"] == "ok"


def test_the_panel_runs_while_other_cells_do(one: Kernel, toy: Path, there: Path) -> None:
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
        end = time.monotonic() + 60
        while one.value(condition) != "True":
            assert time.monotonic() < end, one.value("the_panel().status.value")
            time.sleep(0.05)

    values = {"model": str(toy), "prompt": PROMPT, "num_inference_steps": 1000, "num_frames": 9}
    for name, value in values.items():
        one.run(f"the_panel().fields.inputs[{name!r}].value = {value!r}")
    click("generate")
    until("the_panel().status.value.startswith('denoise')")
    began = time.monotonic()
    assert one.value("6 * 7") == "42"
    assert time.monotonic() - began < 10
    assert one.value("the_panel()._job is not None") == "True"
    refused = one.run(cell(toy))
    failed(refused, "BusyError")
    click("cancel")
    until("the_panel().status.value.startswith('Stopped')")
    one.run("the_panel().fields.inputs['num_inference_steps'].value = 1")
    click("generate")
    until("'<video' in the_panel().result.value")
    click("release")
    until("the_panel().status.value.startswith('Freed')")
    assert (
        one.run("from cogmagic._notebook.panel.widget import close_panel; close_panel()").reply[
            "status"
        ]
        == "ok"
    )
    assert (
        one.value("[t.name for t in __import__('threading').enumerate() if 'cog' in t.name]")
        == "[]"
    )


def test_the_kernel_is_the_one_that_was_asked_for(one: Kernel) -> None:
    asked = os.environ.get("COGMAGIC_TEST_IPYKERNEL")
    path = one.value("__import__('ipykernel').__file__")
    assert path.startswith(asked or sys.prefix)


def test_an_interrupt_during_the_first_import_breaks_nothing(toy: Path, tmp_path: Path) -> None:
    interrupted = []
    with kernel(tmp_path) as fresh:
        assert fresh.value("'torch' in __import__('sys').modules") == "False"

        def stop(message: dict[str, Any]) -> None:
            if message["msg_type"] == "update_display_data" and not interrupted:
                interrupted.append(message["content"]["data"]["text/plain"])
                fresh.manager.interrupt_kernel()

        failed(fresh.wait(fresh.send(cell(toy, "--steps 1")), stop), "Cancelled")
        assert interrupted[0].startswith(f"{MARK}starting…")
        assert list(tmp_path.iterdir()) == []
        assert fresh.run(cell(toy, "--steps 1")).reply["status"] == "ok"


@pytest.mark.parametrize("how", ["error", "interrupt"])
def test_a_failed_run_keeps_no_tensor_alive(
    toy: Path, tmp_path: Path, one: Kernel, there: Path, how: str
) -> None:
    one.run(TENSORS)
    assert one.run(cell(toy, "--steps 1")).reply["status"] == "ok"
    loaded = int(one.value("tensors()"))
    one.run("%cogvideo release")
    before = int(one.value("tensors()"))
    assert loaded > before + 50  # the counting counts
    if how == "error":
        one.run(
            "import cogmagic._pipeline.generate as generation\n"
            "whole = generation._decode\n"
            "def broken(pipe, latents, clock): raise RuntimeError('broke')\n"
            "generation._decode = broken"
        )
        ran = one.run(cell(toy, "--steps 2"))
        one.run("generation._decode = whole")
        assert [e["evalue"] for e in ran.of("error")] == ["broke"]
    else:
        sent = one.send(cell(toy, "--steps 1000"))
        stopped = []

        def stop(message: dict[str, Any]) -> None:
            text = str(message["content"].get("data", {}).get("text/plain"))
            if not stopped and "/1000" in text and "denoise" in text:
                stopped.append(1)
                one.manager.interrupt_kernel()

        failed(one.wait(sent, stop), "Cancelled")
    one.run("%cogvideo release")
    assert int(one.value("tensors()")) <= before


def test_completion_reaches_the_front_end(one: Kernel) -> None:
    line = "%%cogvideo --tier mo"
    one.client.complete(f"{line}\n{PROMPT}", len(line))
    content = one.client.get_shell_msg(timeout=60)["content"]
    assert content["matches"] == ["model"]
    assert line[content["cursor_start"] : content["cursor_end"]] == "mo"


def test_unloading_leaves_no_thread_and_no_magic(one: Kernel, toy: Path, there: Path) -> None:
    count = "len(__import__('threading').enumerate())"
    before = one.value(count)
    one.run(cell(toy, "--steps 1"))
    one.run("%unload_ext cogmagic")
    assert one.value(count) == before
    assert "not found" in one.run("%cogvideo status").text
    one.run("%load_ext cogmagic")
    assert one.run("%cogvideo status").reply["status"] == "ok"


def test_a_cell_that_awaits_is_stopped_as_well(one: Kernel, toy: Path, there: Path) -> None:
    sent = one.send(
        "import asyncio, cogmagic\nawait asyncio.sleep(0)\n"
        f"cogmagic.generate({PROMPT!r}, model={str(toy)!r}, num_inference_steps=1000, seed=1,"
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


def test_modules_that_are_reloaded_leave_nothing_behind(
    one: Kernel, toy: Path, there: Path
) -> None:
    count = "len(__import__('threading').enumerate())"
    one.run("%load_ext autoreload\n%autoreload 2\nimport os, sys, time, cogmagic")
    one.run(cell(toy, "--steps 1"))
    threads = one.value(count)
    one.run(
        "for name in ('_session', '_held', '_magics', '_display', '_run', '_loaded'):\n"
        "    os.utime(sys.modules[f'cogmagic.{name}'].__file__, (time.time() + 5,) * 2)"
    )
    again = one.run(cell(toy, "--steps 1"))
    assert again.reply["status"] == "ok", again.reply
    assert "Error" not in again.text
    assert one.value(count) == threads
    one.run("%cogvideo release\n%unload_ext cogmagic")
    alive = "sum(type(o).__name__ == 'CogVideoXPipeline' for o in __import__('gc').get_objects())"
    assert one.value(alive) == "0"


def test_a_kernel_with_a_panel_shuts_down_at_once(tmp_path: Path, toy: Path) -> None:
    with kernel(tmp_path) as own:
        own.run("import cogmagic\ndisplay(cogmagic.panel())")
        own.run(cell(toy, "--steps 1"))
        began = time.monotonic()
        own.manager.shutdown_kernel()
        assert time.monotonic() - began < 10
        assert not own.manager.is_alive()
    assert [p.suffix for p in tmp_path.iterdir()] == [".mp4"]
