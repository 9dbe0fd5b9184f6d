"""Threads, tensors and magics that must not stay in a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers.kernels import Kernel, cell, failed, kernel, long_cell

TENSORS = """
import gc, sys
def tensors():
    torch = sys.modules.get("torch")
    gc.collect()
    # not isinstance: asking a lazy proxy for its class would import what it stands for
    return torch and sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())
"""


@pytest.mark.ipykernel
def test_thread_of_the_live_line_ends(one: Kernel, toy: Path, there: Path) -> None:
    names = "sorted(t.name for t in __import__('threading').enumerate())"
    one.run(cell(toy, "--steps 1"))
    one.run(cell(toy, "--steps 1 --save missing/"))
    assert "cogmagic-live" not in one.value(names)


@pytest.mark.ipykernel
@pytest.mark.parametrize("how", ["error", "interrupt"])
def test_failed_run_keeps_no_tensor_alive(
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
            "def broken(*_): raise RuntimeError('broke')\n"
            "generation._decode = broken"
        )
        ran = one.run(cell(toy, "--steps 2"))
        one.run("generation._decode = whole")
        assert [e["evalue"] for e in ran.of("error")] == ["broke"]
    else:
        sent = one.send(long_cell(toy))
        stopped = []

        def stop(message: dict[str, Any]) -> None:
            text = str(message["content"].get("data", {}).get("text/plain"))
            if not stopped and "/1000" in text and "denoise" in text:
                stopped.append(1)
                one.manager.interrupt_kernel()

        failed(one.wait(sent, stop), "Cancelled")
    one.run("%cogvideo release")
    assert int(one.value("tensors()")) <= before


@pytest.mark.ipykernel
def test_unloading_leaves_no_thread_and_no_magic(one: Kernel, toy: Path, there: Path) -> None:
    count = "len(__import__('threading').enumerate())"
    before = one.value(count)
    one.run(cell(toy, "--steps 1"))
    one.run("%unload_ext cogmagic")
    assert one.value(count) == before
    assert "not found" in one.run("%cogvideo status").text
    one.run("%load_ext cogmagic")
    assert one.run("%cogvideo status").reply["status"] == "ok"


def test_reloaded_modules_leave_no_thread_and_no_pipeline(tmp_path: Path, toy: Path) -> None:
    count = "len(__import__('threading').enumerate())"
    with kernel(tmp_path) as own:
        own.run("%load_ext autoreload\n%autoreload 2\nimport os, sys, time, cogmagic")
        own.run(cell(toy, "--steps 1"))
        threads = own.value(count)
        touched = own.run(
            "import pkgutil\n"
            "for _, name, package in pkgutil.walk_packages(cogmagic.__path__, 'cogmagic.'):\n"
            "    if name in sys.modules and not package:\n"
            "        os.utime(sys.modules[name].__file__, (time.time() + 5,) * 2)\n"
            "        print(name)"
        )
        assert "cogmagic._session.session\n" in touched.text
        again = own.run(cell(toy, "--steps 1"))
        assert again.reply["status"] == "ok", again.reply
        assert "Error" not in again.text
        assert own.value(count) == threads
        own.run("%cogvideo release\n%unload_ext cogmagic")
        alive = (
            "sum(type(o).__name__ == 'CogVideoXPipeline' for o in __import__('gc').get_objects())"
        )
        assert own.value(alive) == "0"
