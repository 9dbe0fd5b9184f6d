"""The report of a run."""

from __future__ import annotations

import json
from pathlib import Path

from cogmagic import Request, Video
from cogmagic._video.report import metadata
from tests.helpers.adapters import diffusers_keys, factors, sat_keys, write


def test_report_serialises_to_json(video: Video) -> None:
    assert json.loads(json.dumps(video.report.facts()))["tier"] == "none"


def test_metadata_list_each_adapter_with_its_weight_and_scales(video: Video, cwd: Path) -> None:
    write(cwd / "red.safetensors", diffusers_keys(factors()))
    write(cwd / "private/adapter_model.safetensors", sat_keys(factors(seed=1)))
    loras = ["red.safetensors@0.5", str(cwd / "private")]
    stored = json.dumps(metadata(Request.of("a red circle", "tiny", lora=loras), video.report))
    assert json.loads(stored)["loras"] == [
        {"name": "red.safetensors", "weight": 0.5, "scales": [1.0]},
        {"name": "private/adapter_model.safetensors", "weight": 1.0, "scales": [0.25]},
    ]
    assert str(cwd) not in stored
