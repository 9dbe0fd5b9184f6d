"""One component after the other, read from the files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic._session import session as session_module
from cogmagic._session.session import Session
from cogmagic._tiers.hooks import modules
from tests.helpers.toy import run


def test_staged_loading_keeps_one_component_and_nothing_in_host_memory(
    toy: Path, cwd: Path, session: Session
) -> None:
    there: set[tuple[str, ...]] = set()

    def look(_: Any) -> None:
        loaded = session_module.session().loaded
        if loaded is not None:
            parts = {"text_encoder", "transformer", "vae"} & set(loaded.pipe.components)
            held = (p for p in parts if (c := getattr(loaded.pipe, p)) and not is_empty(c))
            there.add(tuple(sorted(held)))

    video = run(toy, tier="staged", on_progress=look)
    assert there >= {("text_encoder",), ("transformer",), ("vae",)}
    assert max(len(parts) for parts in there) == 1
    loaded = session_module.session().loaded
    assert loaded is not None
    assert loaded.nbytes == 0
    assert all(is_empty(component) for component in modules(loaded.pipe))
    assert "not kept" in video.report.kept


def is_empty(component: Any) -> bool:
    return all(p.is_meta for p in component.parameters())


def test_staged_loading_is_undone_when_a_run_fails(toy: Path, cwd: Path, session: Session) -> None:
    expected = run(toy, tier="staged").report.frames_sha256

    def fail(progress: cogmagic.Progress) -> None:
        if progress.phase == "decode":
            raise RuntimeError("mid-run")

    with pytest.raises(RuntimeError, match="mid-run"):
        run(toy, tier="staged", on_progress=fail)
    loaded = session_module.session().loaded
    assert loaded is not None
    assert all(is_empty(component) for component in modules(loaded.pipe))
    assert run(toy, tier="staged").report.frames_sha256 == expected


def test_files_changed_during_a_staged_run_are_an_error(
    toy: Path, cwd: Path, session: Session, tmp_path: Path
) -> None:
    folder = tmp_path / "toy"
    shutil.copytree(toy, folder)

    def damage(progress: cogmagic.Progress) -> None:
        if progress.phase == "denoise" and not progress.done:
            (folder / "transformer" / "config.json").unlink(missing_ok=True)

    with pytest.raises(cogmagic.CheckpointError, match="changed during the run"):
        run(folder, tier="staged", on_progress=damage)
    loaded = session_module.session().loaded
    assert loaded is not None
    assert all(is_empty(component) for component in modules(loaded.pipe))
