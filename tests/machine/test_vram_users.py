"""Users of VRAM: variables by name, processes by notebook or program."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from cogmagic._machine import nvml as _nvml
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.vram_users import (
    VramUser,
    other_processes,
    variables,
    vram_users,
    vram_users_line,
)


def test_variables_are_listed_with_their_bytes() -> None:
    shared = torch.zeros(1000)
    layer = torch.nn.Linear(10, 10, bias=False)
    layer(torch.ones(1, 10)).sum().backward()
    names: dict[str, Any] = {
        "__builtins__": {"no": torch.zeros(9)},
        "In": [torch.zeros(9)],
        "one": shared,
        "view": shared[:10],
        "_12": {"deep": [(torch.zeros(10),)]},
        "layer": layer,
        "pipe": SimpleNamespace(components={"vae": torch.nn.Linear(4, 4, bias=False), "x": None}),
        "other": torch.zeros(10, device="meta"),
        "text": "x" * 100,
    }
    users = [(h.name, h.nbytes) for h in variables(names, "cpu")]
    assert users == [
        ("your variable one", 4000),
        ("your variable Out[12]", 40),
        ("your variable layer", 800),
        ("your variable pipe", 64),
    ]
    assert [h.name for h in variables(names, "meta")] == ["your variable other"]
    assert vram_users((), names) == []


def test_recursive_container_does_not_hang() -> None:
    names: dict[str, Any] = {"loop": [torch.zeros(1)]}
    names["loop"].append(names["loop"])
    assert [h.nbytes for h in variables(names, "cpu")] == [4]


def test_processes_are_named_by_notebook_or_program(monkeypatch: pytest.MonkeyPatch) -> None:
    env = os.environ | {"JPY_SESSION_NAME": "/home/x/train.ipynb"}
    code = "import time; print('up', flush=True); time.sleep(600)"
    kernel = subprocess.Popen(
        [sys.executable, "-c", code, "ipykernel_launcher"], env=env, stdout=subprocess.PIPE
    )
    assert kernel.stdout is not None
    kernel.stdout.readline()
    seen = [(os.getpid(), 1), (kernel.pid, 2 * 2**30), (2**22 + 1, None)]
    monkeypatch.setattr(_nvml, "gpu_processes", lambda _: seen)
    try:
        users = other_processes(Gpu(0, "any", uuid="GPU-1"))
    finally:
        kernel.kill()
        kernel.wait()
    assert users[0].name == f"the kernel of train.ipynb, process {kernel.pid}"
    assert [str(h) for h in users[1:]] == ["process 4194305 (n/a)"]
    assert vram_users_line(users).startswith("VRAM is still in use by the kernel of train.ipynb")


def test_long_list_of_users_is_shortened() -> None:
    assert vram_users_line([VramUser(f"p{i}", 2**30) for i in range(7)], 2) == (
        "VRAM is still in use by p0 (1.00 GiB), p1 (1.00 GiB) and 5 more."
    )
    assert vram_users_line([]) == ""
