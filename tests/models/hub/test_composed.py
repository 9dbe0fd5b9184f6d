"""A checkpoint whose transformer is one file of a repository, and whose rest is another's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import cogmagic
from cogmagic import CheckpointError
from cogmagic._models.catalog import catalogued
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import local_folder
from cogmagic._models.hub.disk import bytes_to_download
from cogmagic._models.hub.download import cached_folder, download
from cogmagic._models.model import Model
from cogmagic._progress import silent
from tests.helpers.checkpoints import save_checkpoint
from tests.helpers.hub_server import Hub, Repository

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The base, which is an inpainting model, and a repository with a transformer alone."""
    folder = tmp_path_factory.mktemp("composed")
    base = save_checkpoint(folder / "base", inp=True, v15=True)
    whole, own = save_checkpoint(folder / "whole", void=True), folder / "own"
    own.mkdir()
    shutil.copy(whole / WEIGHTS, own / "void_pass1.safetensors")
    (own / "void_pass2.safetensors").write_bytes(b"never fetched")
    return base, own


@pytest.fixture
def void(hub: Hub, folders: tuple[Path, Path]) -> Model:
    """The catalogue's model, of the toy repositories."""
    known = catalogued("void")
    assert known is not None
    base, own = folders
    hub.repositories[known.base] = Repository(base)
    hub.repositories[known.source] = Repository(own, commit="2" * 40)
    return replace(known, architecture=replace(known.architecture, in_channels=12))


def test_only_the_one_file_and_the_rest_of_the_base_are_fetched(hub: Hub, void: Model) -> None:
    assert cached_folder(void) is None
    folder = download(void, silent)
    assert cached_folder(void) == folder == local_folder(void)
    fetched = {r.split()[1] + " " + r.split()[2] for r in hub.gets(".safetensors")}
    assert fetched == {
        f"{void.source} void_pass1.safetensors",
        f"{void.base} text_encoder/model.safetensors",
        f"{void.base} vae/diffusion_pytorch_model.safetensors",
    }
    config = json.loads((folder / "transformer/config.json").read_text())
    assert (config["in_channels"], config["add_noise_in_inpaint_model"]) == (12, True)
    assert (folder / WEIGHTS).is_symlink()
    assert identify(folder, str(folder)).task == "void"


def test_offline_it_is_found_and_runs(
    hub: Hub, void: Model, offline: Callable[[], None], cwd: Path
) -> None:
    folder = download(void, silent)
    offline()
    assert cached_folder(void) == folder
    clip, mask = np.zeros((5, 96, 96, 3), np.uint8), np.zeros((96, 96), bool)
    mask[20:50, 20:50] = True
    made = cogmagic.generate(
        "a red circle", model=str(folder), video=clip, mask=mask, num_inference_steps=1, seed=1
    )
    assert made.num_frames == 5


def test_what_the_base_has_already_is_no_download(hub: Hub, void: Model) -> None:
    before = bytes_to_download(void)
    folder = download(void, silent)
    have = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert before - bytes_to_download(void) == pytest.approx(have, abs=5000)


def test_a_repository_without_the_file_is_refused(hub: Hub, void: Model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("moved")
    hub.repositories[void.source] = Repository(tmp_path / "empty")
    with pytest.raises(CheckpointError, match=r"has no void_pass1\.safetensors on the hub now"):
        download(void, silent)
