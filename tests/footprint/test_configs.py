"""Configurations that are in the table, and those that are traced."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from cogmagic import Request
from cogmagic._footprint.configs import configs_of, decisive, same, table
from cogmagic._footprint.footprint import footprint
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import embedded_folder
from tests.helpers.footprints import model_named, request_for


def test_table_matches_the_embedded_models_configurations() -> None:
    assert same(configs_of(embedded_folder())) == "tiny"
    assert table()["models"]["tiny"]["configs"] == decisive(configs_of(embedded_folder()))


def test_folder_of_a_known_model_uses_the_table(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, config in script.published(model_named("5b")).items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config | {"dropout": 0.1}))
    request = request_for("5b", 512, 320, 17)
    monkeypatch.setattr("cogmagic._footprint.passes.profile", None)
    assert footprint(request, "bfloat16", tmp_path) == footprint(request, "bfloat16")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["toy", "toy_i2v"])
def test_other_architectures_are_traced(kind: str, request: pytest.FixtureRequest) -> None:
    from PIL import Image

    folder = request.getfixturevalue(kind)
    model = identify(folder, str(folder))
    image = {"image": Image.new("RGB", (8, 8))} if model.task == "i2v" else {}
    native = Request.of("a", model, width=256, height=192, num_frames=9, **image)
    ours = footprint(native, "float16", folder)
    assert (ours.transformer.blocks, ours.text_encoder.blocks) == (2, 1)
    assert ours.tokens == 16 + 3 * 12 * 16
    assert (ours.encode_image is None) == (model.task == "t2v")
    larger = footprint(replace(native, width=320), "float16", folder)
    assert larger.denoise.peak > ours.denoise.peak
    assert larger.decode.operations > ours.decode.operations
    with pytest.raises(ValueError, match="not in the catalogue"):
        footprint(native, "float16")


def test_other_architecture_with_a_known_name_is_not_mistaken_for_it() -> None:
    model = model_named("5b")
    other = replace(model, architecture=replace(model.architecture, num_layers=7))
    with pytest.raises(ValueError, match="name its folder"):
        footprint(Request.of("a", other), "bfloat16")
