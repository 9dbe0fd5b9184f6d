"""Checkpoints of the embedded models, which share files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cogmagic import CheckpointError
from cogmagic._files import cache_folder
from cogmagic._models.checkpoints import embedded, linked
from cogmagic._models.checkpoints.embedded import embedded_folder
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import find_model

SHARED = (
    "scheduler/scheduler_config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "vae/diffusion_pytorch_model.safetensors",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COGMAGIC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's models, to be changed."""
    copy = shutil.copytree(embedded._PACKAGE, tmp_path / "models")
    monkeypatch.setattr(embedded, "_PACKAGE", copy)
    return Path(copy)


def test_image_to_video_checkpoint_shares_all_but_the_transformer() -> None:
    folder, whole = embedded_folder("tiny-i2v"), embedded_folder()
    for path in SHARED:
        assert (folder / path).samefile(whole / path)
    assert not (folder / "transformer/config.json").samefile(whole / "transformer/config.json")
    assert embedded_folder("tiny-i2v") == folder


def test_checkpoint_is_complete_and_identified_as_a_folder() -> None:
    folder = embedded_folder("tiny-i2v")
    check_folder(folder)
    model = identify(folder, str(folder))
    assert (model.name, model.task) == ("tiny-i2v", "i2v")
    assert model.architecture == find_model("tiny-i2v").architecture


def test_another_version_of_the_package_gets_another_folder(package: Path) -> None:
    first = embedded_folder("tiny-i2v")
    config = package / "tiny" / "vae" / "config.json"
    config.write_text(config.read_text() + "\n")
    second = embedded_folder("tiny-i2v")
    assert second != first
    assert (second / "vae" / "config.json").read_text() == config.read_text()


def test_damaged_folder_is_made_again() -> None:
    folder = embedded_folder("tiny-i2v")
    (folder / SHARED[0]).unlink()
    shutil.rmtree(folder / "vae")
    assert embedded_folder("tiny-i2v") == folder
    assert all((folder / path).is_file() for path in SHARED)
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_files_are_copied_where_links_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = embedded_folder("tiny-i2v")
    assert not any(p.is_symlink() for p in folder.rglob("*"))
    for path in SHARED:
        assert (folder / path).read_bytes() == (embedded_folder() / path).read_bytes()


def test_cache_that_cannot_be_written_is_no_error(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file where the folder would be")
    temporary = tmp_path / "temporary"
    monkeypatch.setattr(linked, "_temporary", lambda: str(temporary))
    assert embedded_folder("tiny-i2v") == temporary / "tiny-i2v"
    temporary.rename(tmp_path / "gone")
    temporary.write_text("nor here")
    with pytest.raises(CheckpointError, match="Set COGMAGIC_CACHE") as raised:
        embedded_folder("tiny-i2v")
    assert str(cache_folder()) in str(raised.value)
