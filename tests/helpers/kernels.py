"""A real kernel for tests: run a cell, collect what it sends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

PROMPT = "a red circle moves to the right"
PATIENCE = 600.0
"""Seconds after which a test gives up: only a hang takes that long."""


@dataclass
class Ran:
    """One cell's reply and everything that it sent to the front ends, in order."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Contents of the messages of that type."""
        return [m["content"] for m in self.messages if m["msg_type"] == kind]

    @property
    def text(self) -> str:
        """What it printed."""
        return "".join(content["text"] for content in self.of("stream"))


class Kernel:
    """A kernel of this environment with a blocking client."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def send(self, source: str) -> str:
        """Queue a cell; its id."""
        return str(self.client.execute(source))

    def run(self, source: str) -> Ran:
        return self.wait(self.send(source))

    def wait(self, sent: str, seen: Callable[[dict[str, Any]], None] | None = None) -> Ran:
        """What the cell `sent` replied and sent; `seen` gets every message as it comes."""
        messages: list[dict[str, Any]] = []
        while True:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") != sent:
                continue
            messages.append(message)
            if seen is not None:
                seen(message)
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return Ran(self.reply(sent), messages)

    def reply(self, sent: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            message = self.client.get_shell_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == sent:
                return dict(message["content"])
        raise TimeoutError(f"no reply to {sent}")

    def value(self, expression: str) -> str:
        """The value of an expression there, as text."""
        ran = self.run(f"print({expression})")
        assert ran.reply["status"] == "ok", ran.reply
        return ran.text.strip()


@contextmanager
def kernel(folder: Path) -> Iterator[Kernel]:
    """A fresh kernel in `folder`, with the extension loaded.

    Its ipykernel is this environment's, or the one in the folder ``COGMAGIC_TEST_IPYKERNEL``.
    """
    other = os.environ.get("COGMAGIC_TEST_IPYKERNEL", "")
    env = os.environ | ({"PYTHONPATH": other} if other else {})
    manager, client = start_new_kernel(startup_timeout=PATIENCE, cwd=str(folder), env=env)
    try:
        started = Kernel(manager, client)
        assert started.run("%load_ext cogmagic").reply["status"] == "ok"
        yield started
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cell(model: Path, options: str = "", body: str = PROMPT) -> str:
    return f"%%cogvideo --model '{model}' --size 48x32 --frames 9 {options}\n{body}"


def long_cell(model: Path, options: str = "") -> str:
    """A cell that takes minutes, and so is still running when it is interrupted."""
    size = "--size 384x384 --frames 17 --steps 1000"
    return f"%%cogvideo --model '{model}' {size} {options}\n{PROMPT}"


def failed(ran: Ran, name: str) -> dict[str, Any]:
    """The one error that `ran` sent: of that name, and of one line."""
    (error,) = ran.of("error")
    assert error["ename"] == name
    assert error["traceback"] == [f"{name}: {error['evalue']}"]
    assert "\n" not in error["evalue"]
    assert ran.reply["status"] == "error"
    assert ran.reply["ename"] == name
    return error
