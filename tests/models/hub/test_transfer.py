"""Transfers that break, stop, are damaged or are resumed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import CheckpointError, Progress
from cogmagic._errors import Cancelled
from cogmagic._models.find import find_model
from cogmagic._models.hub import transfer
from cogmagic._models.hub.download import cached_folder, download
from cogmagic._progress import silent
from tests.helpers.hub import REPO, SHARD, kernel, parts, same, stop_at
from tests.helpers.hub_server import Hub, Repository
from tests.helpers.toy import PROMPT, QUICK


@pytest.fixture(autouse=True)
def two_short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of minutes, after a broken connection."""
    monkeypatch.setattr(transfer, "_PAUSES", (0.01, 0.01))


def test_download_resumes_after_a_broken_connection(hub: Hub, original: Path) -> None:
    size = (original / SHARD).stat().st_size
    hub.repositories[REPO].cut_after = {SHARD: size // 3}
    folder = download(find_model(REPO), silent)
    assert same(folder, original)
    starts = [int(r.split()[3][:-1]) for r in hub.gets(SHARD)]
    assert starts == [0, size // 3, 2 * (size // 3), 3 * (size // 3)][: len(starts)]
    assert len(starts) >= 3


def test_download_resumes_after_a_read_timeout(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1.5)  # no busy core is so slow
    hub.repositories[REPO] = Repository(
        original, cut_after={SHARD: 1000}, cuts=1, silent_seconds=60.0
    )
    assert same(download(find_model(REPO), silent), original)
    assert [r.split()[3] for r in hub.gets(SHARD)] == ["0-", "1000-"]


def test_download_fails_after_repeated_broken_connections(hub: Hub, tmp_path: Path) -> None:
    hub.repositories[REPO].cut_after = {SHARD: 0}
    with pytest.raises(CheckpointError, match=r"cannot be reached .*resumes where it stopped"):
        download(find_model(REPO), silent)
    assert len(hub.gets(SHARD)) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_interrupted_download_is_resumed_by_the_next_run(
    hub: Hub, original: Path, tmp_path: Path, ranges: bool
) -> None:
    hub.repositories[REPO].ranges = ranges
    model = find_model(REPO)
    with pytest.raises(Cancelled):
        download(model, stop_at(0.5))
    (part,) = parts(tmp_path)
    partial = part.stat().st_size
    assert partial > 0
    assert cached_folder(model) is None
    hub.requests.clear()
    progress: list[Progress] = []
    folder = download(model, progress.append)
    assert progress[0].done > 0.5 * (progress[0].total or 0)
    assert {p.start for p in progress} == {progress[0].done}
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    assert hub.gets(".safetensors ")[0].endswith(f" {partial}-")
    assert same(folder, original)
    assert not parts(tmp_path)


def test_run_can_be_cancelled_while_it_downloads(hub: Hub, cwd: Path, session: Any) -> None:
    before = set(cwd.iterdir())
    with pytest.raises(Cancelled):
        cogmagic.generate(PROMPT, model=REPO, on_progress=stop_at(0.5), **QUICK)
    assert set(cwd.iterdir()) - before <= {cwd / "cache"}
    assert len(parts(cwd)) == 1
    assert session.loaded is None
    video = cogmagic.generate(PROMPT, model=REPO, **QUICK)
    assert video.path.is_file()


def test_token_is_sent_to_the_hub_only(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.tokens = {"hub": set(), "cdn": set()}
    download(find_model(REPO), silent)
    assert hub.tokens == {"hub": {"Bearer hf_secret"}, "cdn": {None}}


def test_corrupted_download_is_refused_and_removed(
    hub: Hub, original: Path, tmp_path: Path
) -> None:
    hub.repositories[REPO].corrupt = {SHARD}
    model = find_model(REPO)
    with pytest.raises(CheckpointError, match="arrived damaged"):
        download(model, silent)
    assert not parts(tmp_path)
    hub.repositories[REPO].corrupt = set()
    assert same(download(model, silent), original)


def test_interrupt_leaves_the_partial_file(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.5
    process = kernel(hub, tmp_path)
    assert process.stdout
    for _ in range(4):
        process.stdout.readline()
    hub.repositories[REPO].seconds_per_chunk = 600  # it cannot end in any other way
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=300)
    assert out.splitlines()[-1] == "interrupted"
    assert (process.returncode, errors) == (0, "")
    (part,) = parts(tmp_path)
    partial = part.read_bytes()
    assert partial
    assert partial == (original / hub.gets()[-1].split()[2]).read_bytes()[: len(partial)]
    hub.repositories[REPO].seconds_per_chunk = 0
    assert same(download(find_model(REPO), silent), original)
    assert hub.gets(".safetensors ")[1].endswith(f" {len(partial)}-")


def test_killed_kernel_leaves_no_lock(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.05
    process = kernel(hub, tmp_path)
    assert process.stdout
    for _ in range(4):
        process.stdout.readline()
    process.kill()
    process.communicate()
    hub.repositories[REPO].seconds_per_chunk = 0
    assert same(download(find_model(REPO), silent), original)
