"""What the package offers and what it weighs."""

from __future__ import annotations

import tomllib

import cogmagic
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.find import embedded_folder
from tests.helpers.benchmarks import ROOT


def test_the_public_names() -> None:
    names = [n for n in cogmagic.__all__ if n != "__version__"]
    assert names == sorted(names)
    for name in names:
        assert getattr(cogmagic, name).__doc__
    assert set(cogmagic.__all__) <= set(dir(cogmagic))
    assert not hasattr(cogmagic, "nothing")


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cogmagic.__version__ == project["version"]
    assert f"## [{cogmagic.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_embedded_models_are_small_and_safe() -> None:
    check_folder(embedded_folder())
    check_folder(embedded_folder("tiny-i2v"))
    check_folder(embedded_folder("tiny-inp"))
    files = [f for f in embedded_folder().parent.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 36_000_000
    assert {f.suffix for f in files} <= {".json", ".safetensors"}


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(w for extra in extras for w in extra)]
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    names = {w.partition(">=")[0].lower() for w in wanted} - {"cogmagic[cluster,completion,lab]"}
    assert names <= pins
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {cogmagic.__version__}\n" in (ROOT / "CITATION.cff").read_text()
