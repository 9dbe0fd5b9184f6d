"""The script that takes pictures of a real GPU: what it keeps of a run, and what it draws of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from cogmagic import Gpu, Machine
from cogmagic._machine.ram import Ram
from cogmagic._notebook.panel.machine.readings import Reading, Vitals
from cogmagic._units import GIB
from tests.docs.test_tables import site_module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return site_module("shoot_gpu", "images")


def rows() -> list[dict[str, Any]]:
    """Readings of an RTX 4090 of which the kernel takes more and more, and then nothing."""
    (card,) = Machine.of("RTX 4090", ram=32).gpus
    made = []
    for held in (0, 4, 14, 0):
        gpu = Gpu(0, card.name, "GPU-1", card.total, 20 * GIB, held * GIB, 0, None, (8, 9), "nvml")
        made.append(Reading((gpu,), Ram(32 * GIB, 20 * GIB), (Vitals(50),), {0: held * GIB}))
    return json.loads(json.dumps([asdict(reading) for reading in made]))


def test_readings_are_kept_up_to_the_peak(script: ModuleType) -> None:
    kept = script.until_peak(rows())
    assert [row["gpus"][0]["reserved"] // GIB for row in kept] == [0, 4, 14]
    assert script.thinned(list(range(100)), 40)[-1] == 99
    assert len(script.thinned(list(range(100)), 40)) <= 40
    assert script.thinned([], 40) == []


def test_the_panel_plans_for_the_recorded_card(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = Machine.of("RTX 4090", ram=32).rates
    assert rates is not None
    record = {"readings": rows()[:3], "rates": asdict(rates), "driver": "580.1"}
    (tmp_path / "record.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"MODEL": "5b"}
    exec(script.PANEL.partition("panel = ")[0], names)  # noqa: S102 - the script's own cell
    plan = names["plan"]("a fox", model="5b")
    assert plan.tier == "model"
    assert plan.seconds is not None
    assert names["readings"][2].weights == {0: 14 * GIB}


def test_pictures_are_labelled_and_made_once(script: ModuleType, tmp_path: Path) -> None:
    facts = {"gpus": ["NVIDIA H200"], "driver": "580.1", "versions": {"torch": "2.11.0"}}
    line = script.label(facts | {"date": "2026-11-30"}, "plan")
    assert line == "NVIDIA H200 · driver 580.1 · torch 2.11.0 · 2026-11-30 · cell “plan”"
    assert script.label(facts | {"gpus": [], "date": ""}, "panel").startswith("CPU, no GPU · ")
    picture = tmp_path / "plan.png"
    Image.new("RGB", (640, 80), "white").save(picture)
    script.labelled(picture, line)
    assert Image.open(picture).size == (640, 80 + script.BAR)
    assert script.missing(tmp_path, ("plan", "panel")) == ["panel"]


def test_a_folder_is_named_by_its_model(script: ModuleType) -> None:
    assert script.named("/scratch/5b") == script.named("5b") == "5b"
    assert script.named("/scratch/mine") == "tiny"
