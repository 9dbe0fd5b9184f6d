"""Repositories of other makes and quantised ones: refused before any weights are downloaded."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import CheckpointError
from cogmagic._models.find import find_model
from cogmagic._models.hub.download import download, fetch_tokenizer
from cogmagic._progress import silent
from cogmagic._spelling import as_python
from tests.helpers.hub import REPO
from tests.helpers.hub_server import Hub, Repository
from tests.helpers.toy import PROMPT

FIVE = "zai-org/CogVideoX-5b"


def change(folder: Path, file: str, **changes: Any) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("model_index.json", {"_class_name": "CogVideoXFunControlPipeline"}, "CogVideoX-Fun Cont"),
        ("transformer/config.json", {"in_channels": 8}, "seems to be CogVideoX-Fun Con"),
        (
            "text_encoder/config.json",
            {"quantization_config": {"quant_method": "gptq"}},
            "gptqmodel",
        ),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**12}, "1,000 to 10,000"),
        ("tokenizer/tokenizer_config.json", {"extra_ids": 10**12}, "extra_ids to 1000000000000"),
    ],
    ids=str,
)
def test_repository_is_refused_before_its_weights_are_downloaded(
    hub: Hub,
    repository: Repository,
    cwd: Path,
    file: str,
    changes: dict[str, Any],
    message: str,
) -> None:
    change(repository.folder, file, **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        cogmagic.generate(PROMPT, model=REPO)
    assert str(error.value).startswith(REPO)
    hub.repositories[FIVE] = repository  # a model of the catalogue, which needs no identifying
    for start in fetch_tokenizer, partial(download, on_progress=silent):
        with pytest.raises(CheckpointError, match=message):
            start(find_model(FIVE))
    assert not hub.gets(".safetensors ")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ("pytorch_lora_weights.safetensors", "a LoRA"),
        ("transformer_i2v/1/mp_rank_00_model_states.pt vae/3d-vae.pt", "SAT weights"),
        ("CogVideoX-Fun-V1.5/model_index.json", "that folder of a local copy"),
        ("README.md", "it has no model_index.json. Use --model 5b"),
    ],
)
def test_repository_without_an_index_is_named(
    hub: Hub, tmp_path: Path, files: str, message: str
) -> None:
    for name in files.split():
        (tmp_path / "repository" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repository" / name).write_text("x")
    hub.repositories[REPO] = Repository(tmp_path / "repository")
    with pytest.raises(CheckpointError, match=as_python(message)):
        cogmagic.plan(model=REPO)
    assert not hub.gets()
