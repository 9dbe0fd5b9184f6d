"""The memory meter's bars."""

from __future__ import annotations

from dataclasses import replace

import cogmagic
from cogmagic import Machine
from cogmagic._notebook.panel.machine.bars import bars
from cogmagic._notebook.panel.machine.readings import Reading, Vitals
from cogmagic._units import GIB


def test_gpu_bar_divides_its_vram() -> None:
    gpu = replace(
        Machine.of("RTX 3060").gpus[0],
        total=12 * GIB, free=5 * GIB, reserved=4 * GIB, allocated=3 * GIB,
    )  # fmt: skip
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060", ram=32))
    reading = Reading((gpu,), Machine.of(ram=32).ram, (Vitals(61, 120.4, 97),), {0: 2 * GIB})
    first, ram = bars(reading, plan, {0: 6 * GIB})["bars"]
    parts = {words: nbytes / GIB for _, nbytes, words in first["parts"]}
    assert parts == {
        "this kernel's weights": 2, "this kernel's other memory": 2, "others about": 3, "free": 5,
    }  # fmt: skip
    assert sum(parts.values()) == 12
    assert (first["peak"], first["need"]) == (6 * GIB, plan.peak_vram)
    assert first["note"].endswith("61 °C · 120 W · 97 % busy")
    assert ram["need"] == plan.peak_ram


def test_predicted_need_is_drawn_on_the_gpus_of_the_plan() -> None:
    machine = Machine.of("RTX 3090 + RTX 4090", ram=64)
    for options, used in (({"tier": "stream"}, [0]), ({"gpus": "1"}, [1]), ({}, [0, 1])):
        plan = cogmagic.plan(model="5b", machine=machine, **options)
        drawn = bars(Reading(machine.gpus), plan, {})["bars"]
        assert [i for i, bar in enumerate(drawn) if bar["need"]] == used


def test_unknown_amounts_are_left_out() -> None:
    gpu = replace(Machine.of("RTX 3060").gpus[0], total=None, free=None, reserved=None)
    drawn = bars(Reading((gpu,)), None, {})
    assert len(drawn["bars"]) == 1
    assert all(part[1] is not None for part in drawn["bars"][0]["parts"])
    assert bars(Reading(note="3 GPUs hidden"), None, {}) == {"bars": [], "note": "3 GPUs hidden"}
    assert "runs use the CPU" in bars(Reading(), None, {})["note"]
