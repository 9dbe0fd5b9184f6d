"""Downloads, by the real hub client, from a hub that is slow, broken, lying, full or not there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import CheckpointError, CogMagicError, OutputError, Progress, RequestError
from cogmagic._api.live_line import describe
from cogmagic._errors import Cancelled
from cogmagic._models.find import find_model, local_folder
from cogmagic._models.hub.download import cached_folder, download, fetch_tokenizer
from cogmagic._models.identify import identify
from cogmagic._progress import silent
from tests.hub_server import Hub, Repository, etag, serving

REPO = "someone/finetune"
SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"
PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"num_inference_steps": 2, "num_frames": 9, "seed": 1}


@pytest.fixture(scope="module")
def original(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy checkpoint as a repository of the hub: in shards, with all that lies about there."""
    folder = Path(shutil.copytree(toy, tmp_path_factory.mktemp("hub") / "repository"))
    _shard(folder / "transformer")
    second_copies = (
        "transformer/diffusion_pytorch_model.fp16.safetensors",
        "transformer/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "lora/pytorch_lora_weights.safetensors",
        "transformer/old/diffusion_pytorch_model.safetensors",
        "README.md",
        ".gitattributes",
        "assets/fox.png",
        "onnx/config.json",
    )
    for name in second_copies:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"never fetched")
    return folder


def _shard(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    single = folder / "diffusion_pytorch_model.safetensors"
    tensors = list(load_file(single).items())
    single.unlink()
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    half = len(tensors) // 2
    for name, some in zip(names, (tensors[:half], tensors[half:]), strict=True):
        save_file(dict(some), folder / name, {"format": "pt"})
    weight_map = {k: names[i >= half] for i, (k, _) in enumerate(tensors)}
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{single.name}.index.json").write_text(json.dumps(index))


NEEDED = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    SHARD,
    SHARD.replace("00001", "00002", 1),
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(
    server: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """The hub, which has one repository; this process' client is pointed at it, cache empty."""
    from huggingface_hub import constants

    url = server.url
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    server.repositories = {REPO: Repository(original)}
    server.requests.clear()
    server.moved.clear()
    yield server
    server.repositories = {}


@pytest.fixture
def repository(hub: Hub, original: Path, tmp_path: Path) -> Repository:
    """The hub's repository, in a copy that a test may change."""
    hub.repositories[REPO].folder = Path(shutil.copytree(original, tmp_path / "changed"))
    return hub.repositories[REPO]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to go offline, as with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def parts(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("cache/*/blobs/*.part"))


def same(folder: Path, original: Path) -> bool:
    """Whether every file is, byte for byte, what the hub has."""
    return all((folder / f).read_bytes() == (original / f).read_bytes() for f in NEEDED)


def stop_at(share: float) -> Callable[[Progress], None]:
    """A listener that interrupts when that share of the checkpoint is here."""

    def listen(progress: Progress) -> None:
        if progress.total and progress.done > share * progress.total:
            raise Cancelled("stopped")

    return listen


# What is fetched, and what is told


def test_the_needed_files_and_no_others(hub: Hub, original: Path) -> None:
    told: list[Progress] = []
    folder = download(find_model(REPO), told.append)
    assert files(folder) == NEEDED
    assert same(folder, original)
    total = sum((original / f).stat().st_size for f in NEEDED)
    assert {p.total for p in told} == {total}
    done = [p.done for p in told]
    assert done == sorted(done)
    assert done[0] == sum((original / f).stat().st_size for f in NEEDED if "safet" not in f[-11:])
    assert done[-1] == total
    assert told[-1].note == REPO
    assert len(hub.gets()) == len(NEEDED)  # each once
    weights = [i for i, r in enumerate(hub.gets()) if ".safetensors " in r]
    assert weights == list(range(len(NEEDED) - 4, len(NEEDED)))  # after everything small


def test_the_cell_downloads_and_then_works_offline(
    hub: Hub, shell: Any, offline: Callable[[], None]
) -> None:
    cell = f"%%cogvideo --model {REPO} --frames 9 --steps 2 --seed 1 --out {{}}\n{PROMPT}"
    shell.run(cell.format("first"))
    assert shell.user_ns["first"].report.seconds["download"] > 0
    assert shell.user_ns["first"].report.revision == "1" * 40
    asked = len(hub.requests)
    offline()
    shell.run(cell.format("second"))
    assert "download" not in shell.user_ns["second"].report.seconds
    assert len(hub.requests) == asked


def test_other_programs_find_the_checkpoint(hub: Hub, offline: Callable[[], None]) -> None:
    from diffusers import CogVideoXPipeline

    download(find_model(REPO), silent)
    offline()
    assert CogVideoXPipeline.from_pretrained(REPO).vae is not None


def test_a_long_prompt_fails_before_any_weights(hub: Hub, cwd: Path) -> None:
    with pytest.raises(RequestError, match="it would ignore"):
        cogmagic.generate("red circle " * 20, model=REPO, **QUICK)
    assert hub.gets("tokenizer.json")
    assert not hub.gets(".safetensors ")


def test_planning_fetches_configurations_only(hub: Hub) -> None:
    found = cogmagic.plan(model=REPO, machine=cogmagic.Machine.of("RTX 3060"))
    assert found.fits
    assert found.peak_allocated
    assert sorted(r.split()[2] for r in hub.gets()) == [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "transformer/config.json",
        "vae/config.json",
    ]


def test_an_unknown_finetune_is_identified_by_its_configs(
    hub: Hub, offline: Callable[[], None]
) -> None:
    model = find_model(REPO)
    assert (model.name, model.source, model.task) == ("finetune", REPO, "t2v")
    assert (model.width, model.height, model.max_tokens) == (96, 96, 16)
    offline()
    assert find_model(REPO) == model  # from the cache


# Interrupted, resumed


def test_a_broken_connection_goes_on_where_it_broke(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._models.hub.transfer._PAUSES", (0.01,))
    size = (original / SHARD).stat().st_size
    hub.repositories[REPO].cut_after = {SHARD: size // 3}
    folder = download(find_model(REPO), silent)
    assert same(folder, original)
    starts = [int(r.split()[3][:-1]) for r in hub.gets(SHARD)]
    assert starts == [0, size // 3, 2 * (size // 3), 3 * (size // 3)][: len(starts)]
    assert len(starts) >= 3


def test_a_connection_that_falls_silent_is_taken_up_again(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    monkeypatch.setattr("cogmagic._models.hub.transfer._PAUSES", (0.01,))
    hub.repositories[REPO] = Repository(
        original, cut_after={SHARD: 1000}, cuts=1, silent_seconds=1.0
    )
    assert same(download(find_model(REPO), silent), original)
    assert [r.split()[3] for r in hub.gets(SHARD)] == ["0-", "1000-"]


def test_a_connection_that_never_works_is_given_up(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._models.hub.transfer._PAUSES", (0.01, 0.01))
    hub.repositories[REPO].cut_after = {SHARD: 0}
    with pytest.raises(CheckpointError, match=r"out of reach .*goes on where it stopped"):
        download(find_model(REPO), silent)
    assert len(hub.gets(SHARD)) == 3


@pytest.mark.parametrize("ranges", [True, False])
def test_a_stopped_download_is_resumed(
    hub: Hub, original: Path, tmp_path: Path, ranges: bool
) -> None:
    hub.repositories[REPO].ranges = ranges
    model = find_model(REPO)
    with pytest.raises(Cancelled):
        download(model, stop_at(0.5))
    (part,) = parts(tmp_path)
    kept = part.stat().st_size
    assert kept > 0
    assert cached_folder(model) is None
    hub.requests.clear()
    told: list[Progress] = []
    folder = download(model, told.append)
    assert told[0].done > 0.5 * (told[0].total or 0)
    assert {p.start for p in told} == {told[0].done}
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert hub.gets(".safetensors ")[0].endswith(f" {kept}-")
    assert same(folder, original)
    assert not parts(tmp_path)


def test_stopping_a_run_while_it_downloads(hub: Hub, cwd: Path, session: Any) -> None:
    before = set(cwd.iterdir())
    with pytest.raises(Cancelled):
        cogmagic.generate(PROMPT, model=REPO, on_progress=stop_at(0.5), **QUICK)
    assert set(cwd.iterdir()) - before <= {cwd / "cache"}
    assert len(parts(cwd)) == 1
    assert session.loaded is None
    video = cogmagic.generate(PROMPT, model=REPO, **QUICK)
    assert video.path.is_file()


def test_a_rate_counts_only_what_was_fetched_now() -> None:
    half = Progress("download", 9 * 10**9, 10**10, phase_seconds=10.0, start=8 * 10**9)
    assert half.seconds_left == pytest.approx(10.0)
    assert "9.00 of 10.00 GB, 100 MB/s" in describe(half, 10.0)


def test_an_old_version_is_not_mixed_in(hub: Hub, repository: Repository, tmp_path: Path) -> None:
    model = find_model(REPO)
    with pytest.raises(Cancelled):
        download(model, stop_at(0.5))
    (old,) = parts(tmp_path)
    repository.commit = "2" * 40
    for path in repository.folder.rglob("*.safetensors"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    folder = download(model, silent)
    assert folder.name == "2" * 40
    assert same(folder, repository.folder)
    assert not old.exists()  # of no use any more


def test_a_new_commit_with_the_same_weights_fetches_none(hub: Hub, repository: Repository) -> None:
    download(find_model(REPO), silent)
    repository.commit = "2" * 40
    (repository.folder / "model_index.json").write_text(
        (repository.folder / "model_index.json").read_text() + "\n"
    )
    hub.requests.clear()
    assert download(find_model(REPO), silent).name == "2" * 40
    assert [r.split()[2] for r in hub.gets()] == ["model_index.json"]


# What is here already


def test_a_partial_copy_is_completed(hub: Hub, original: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, allow_patterns=["vae/*", "text_encoder/*", "README.md"])
    model = identify(original, REPO)
    assert cached_folder(model) is None
    hub.requests.clear()
    assert same(download(model, silent), original)
    assert not [r for r in hub.gets() if " vae/" in r or " text_encoder/" in r]


def test_a_copy_by_another_program_is_used(hub: Hub, original: Path) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, ignore_patterns=["*.png", "transformer/diffusion_pytorch_model.saf*s"])
    hub.requests.clear()
    assert cached_folder(identify(original, REPO)) is not None
    assert not hub.requests


@pytest.mark.parametrize("damage", ["short", "header", "config"])
def test_what_was_damaged_in_the_cache_is_fetched_again(
    hub: Hub, original: Path, damage: str
) -> None:
    model = find_model(REPO)
    folder = download(model, silent)
    name = "vae/config.json" if damage == "config" else SHARD
    blob = (folder / name).resolve()
    content = blob.read_bytes()
    half = len(content) // 2
    blob.write_bytes(
        {
            "short": content[:half],
            "header": bytes(len(content)),
            "config": content.replace(b"8", b"9"),
        }[damage]
    )
    assert cached_folder(model) is None
    hub.requests.clear()
    assert same(download(model, silent), original)
    start = half if damage == "short" else 0
    assert hub.gets() == [f"GET {REPO} {name} {start}-"]


@pytest.mark.parametrize("name", ["5b", "zai-org/CogVideoX-5b", "thudm/cogvideox-5b"])
@pytest.mark.parametrize("owner", ["zai-org", "THUDM"])
def test_a_known_model_is_found_under_either_organisation(
    hub: Hub, original: Path, name: str, owner: str
) -> None:
    cached = f"{owner}/CogVideoX-5b"
    hub.repositories[cached] = Repository(original)
    folder = download(identify(original, cached), silent)
    hub.requests.clear()
    assert local_folder(find_model(name)) == folder
    assert not hub.requests


def test_a_finetune_is_not_taken_for_the_model_that_it_was_made_from(
    hub: Hub, original: Path, repository: Repository
) -> None:
    base = "THUDM/CogVideoX-5b"
    hub.repositories[base] = Repository(original)
    download(identify(original, base), silent)
    config = repository.folder / "transformer" / "config.json"
    size = {"in_channels": 16, "num_layers": 42, "num_attention_heads": 48}
    size |= {"use_rotary_positional_embeddings": True, "max_text_seq_length": 226}
    config.write_text(json.dumps(size))
    model = find_model(REPO)
    assert (model.name, model.source) == ("5b", REPO)
    assert local_folder(model) is None


def test_content_that_another_repository_has_is_not_fetched_again(hub: Hub, original: Path) -> None:
    download(find_model(REPO), silent)
    hub.repositories["someone/copy"] = Repository(original)
    hub.requests.clear()
    folder = download(find_model("someone/copy"), silent)
    assert same(folder, original)
    assert not hub.gets(".safetensors ")


def test_an_old_name_that_the_hub_redirects(hub: Hub, original: Path) -> None:
    hub.repositories["zai-org/CogVideoX-5b"] = Repository(original)
    hub.moved["THUDM/CogVideoX-5b"] = "zai-org/CogVideoX-5b"
    model = find_model("THUDM/CogVideoX-5b")
    folder = download(model, silent)
    assert same(folder, original)
    assert cached_folder(model) == folder


def test_the_token_is_shown_to_the_hub_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.tokens = {"hub": set(), "cdn": set()}
    download(find_model(REPO), silent)
    assert hub.tokens == {"hub": {"Bearer hf_secret"}, "cdn": {None}}


def test_without_symlinks_nothing_is_there_twice(
    hub: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    model = find_model(REPO)
    folder = download(model, silent)
    assert same(folder, original)
    assert not (folder / SHARD).is_symlink()
    assert not [p for p in folder.parents[1].glob("blobs/*") if p.is_file()]
    assert cached_folder(model) == folder
    (folder / SHARD).write_bytes(b"cut short")
    assert cached_folder(model) is None
    assert same(download(model, silent), original)


# What goes wrong


def test_damage_on_the_way_is_noticed(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].corrupt = {SHARD}
    model = find_model(REPO)
    with pytest.raises(CheckpointError, match="arrived damaged"):
        download(model, silent)
    assert not parts(tmp_path)
    hub.repositories[REPO].corrupt = set()
    assert same(download(model, silent), original)


def test_a_full_disk_is_refused_before_any_weights(hub: Hub) -> None:
    hub.repositories[REPO].claimed = {SHARD: 10**15}
    with pytest.raises(OutputError, match=r"needs 1000000\.\d GB of disk .* has \d+\.\d GB free"):
        download(find_model(REPO), silent)
    assert not hub.gets(".safetensors ")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (403, "someone/finetune is gated: accept its terms at http"),
        (401, "The hub has no model someone/finetune, and there is no folder"),
        (500, "answered 500. Wait a little"),
    ],
)
def test_a_hub_that_refuses(hub: Hub, original: Path, status: int, says: str) -> None:
    hub.repositories[REPO].status = status
    if status == 401:
        del hub.repositories[REPO]
    for attempt in (
        lambda: find_model(REPO),
        lambda: fetch_tokenizer(identify(original, REPO)),
        lambda: download(identify(original, REPO), silent),
    ):
        with pytest.raises(CheckpointError) as raised:
            attempt()
        assert says in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_hub_that_is_not_there(hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(CheckpointError, match=r"http://127.0.0.1:1 is out of reach \(ConnectError"):
        find_model(REPO)


def test_a_name_that_no_repository_can_have(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"^a--b/c is not a hub id"):
        find_model("a--b/c")
    assert not hub.requests


def test_a_cache_that_cannot_be_written(
    hub: Hub, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(OutputError, match=r"cannot be put into .*Set HF_HOME to a folder"):
        download(identify(original, REPO), silent)


def test_offline(hub: Hub, original: Path, offline: Callable[[], None]) -> None:
    model = identify(original, REPO)
    fetch_tokenizer(model)  # a beginning is here
    offline()
    for attempt in (lambda: find_model("someone/else"), lambda: download(model, silent)):
        with pytest.raises(
            CheckpointError, match=r"not whole in the cache .* HF_HUB_OFFLINE is set"
        ):
            attempt()


def test_a_login_page_is_not_a_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.hub_server.json.dumps", lambda _: "<html>Sign in</html>")
    with pytest.raises(CheckpointError, match="does not answer as a Hugging Face hub does"):
        find_model(REPO)


def test_a_repository_of_another_kind(hub: Hub, repository: Repository) -> None:
    index = json.loads((repository.folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionPipeline"
    (repository.folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=f"^{REPO} holds a StableDiffusionPipeline"):
        find_model(REPO)
    (repository.folder / "model_index.json").unlink()
    repository.commit = "2" * 40
    hub.requests.clear()
    shutil.rmtree(_cache())
    with pytest.raises(CheckpointError, match=f"^{REPO} is not a diffusers pipeline"):
        find_model(REPO)
    assert not hub.gets()


def _cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@pytest.mark.parametrize(
    ("instead", "says"),
    [("diffusion_pytorch_model.bin", "only as pickled weights"), ("notes.txt", "the hub has no")],
)
def test_a_repository_without_safetensors(
    hub: Hub, repository: Repository, instead: str, says: str
) -> None:
    vae = repository.folder / "vae"
    (vae / "diffusion_pytorch_model.safetensors").rename(vae / instead)
    with pytest.raises(CheckpointError, match=says):
        download(find_model(REPO), silent)
    assert not hub.gets(".safetensors ")


def test_an_index_cannot_name_files_elsewhere(hub: Hub, repository: Repository) -> None:
    index = repository.folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../../../escaped.safetensors"}}))
    with pytest.raises(CheckpointError):
        download(find_model(REPO), silent)


# More kernels than one

_KERNEL = """
import sys, cogmagic
from cogmagic._models.find import find_model
from cogmagic._models.hub.download import download
told = []
def tell(progress):
    told.append(progress.done)
    print(progress.done, progress.total, flush=True)
try:
    folder = download(find_model(sys.argv[1]), tell)
except KeyboardInterrupt:
    print("interrupted", flush=True)
except cogmagic.CogMagicError as error:
    print(type(error).__name__, error)
assert told == sorted(told)
assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""


def kernel(hub: Hub, tmp_path: Path, repo_id: str = REPO) -> subprocess.Popen[str]:
    """Another process that downloads into the same cache, with its client as it comes."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-c", _KERNEL, repo_id],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_keeps_what_is_here(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.2
    process = kernel(hub, tmp_path)
    assert process.stdout
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    stopped = time.monotonic()
    out, errors = process.communicate(timeout=20)
    assert time.monotonic() - stopped < 6  # the whole takes 13
    assert out.splitlines()[-1] == "interrupted"
    assert (process.returncode, errors) == (0, "")
    (part,) = parts(tmp_path)
    kept = part.read_bytes()
    assert kept
    assert kept == (original / hub.gets()[-1].split()[2]).read_bytes()[: len(kept)]
    hub.repositories[REPO].seconds_per_chunk = 0
    assert same(download(find_model(REPO), silent), original)
    assert hub.gets(".safetensors ")[1].endswith(f" {len(kept)}-")


def test_a_killed_kernel_leaves_no_lock(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.05
    process = kernel(hub, tmp_path)
    assert process.stdout
    for _ in range(4):
        process.stdout.readline()
    process.kill()
    process.communicate()
    hub.repositories[REPO].seconds_per_chunk = 0
    assert same(download(find_model(REPO), silent), original)


def test_kernels_that_download_at_once(hub: Hub, original: Path, tmp_path: Path) -> None:
    hub.repositories[REPO].seconds_per_chunk = 0.01
    kernels = [kernel(hub, tmp_path) for _ in range(3)]
    outs = [k.communicate(timeout=60) for k in kernels]
    total = sum((original / f).stat().st_size for f in NEEDED)
    for process, (out, errors) in zip(kernels, outs, strict=True):
        assert (process.returncode, errors) == (0, "")
        assert out.splitlines()[-1] == f"{total} {total}"
    folder = cached_folder(identify(original, REPO))
    assert folder is not None
    assert same(folder, original)
    assert len(hub.gets(".safetensors ")) == 4  # each file once, by whoever came first
    assert not parts(tmp_path)


def test_where_locks_do_not_work_the_cache_is_still_right(
    hub: Hub, original: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems grant a lock to everybody."""
    from contextlib import nullcontext

    monkeypatch.setattr("cogmagic._models.hub.transfer._locked", lambda *_: nullcontext())
    model = find_model(REPO)
    hub.repositories[REPO].seconds_per_chunk = 0.002
    problems: list[BaseException] = []

    def run() -> None:
        try:
            download(model, silent)
        except CogMagicError as error:
            problems.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert not problems
    folder = cached_folder(model)
    assert folder is not None
    assert same(folder, original)


def test_nothing_heavy_is_loaded_to_refuse_a_name(hub: Hub, tmp_path: Path) -> None:
    out, errors = kernel(hub, tmp_path, "no/such").communicate(timeout=30)
    assert out.startswith("CheckpointError The hub has no model no/such")
    assert errors == ""


def test_the_servers_etags_are_git_s_and_sha256(original: Path) -> None:
    weights = original / SHARD
    assert etag(weights) == hashlib.sha256(weights.read_bytes()).hexdigest()
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not here to compare with")
    config = original / "model_index.json"
    made = subprocess.run(
        [git, "hash-object", "--no-filters", str(config)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert etag(config) == made.stdout.strip()


def test_a_plan_counts_what_is_still_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    whole = cogmagic.plan(model="2b").download
    blobs = tmp_path / "models--zai-org--CogVideoX-2b" / "blobs"
    blobs.mkdir(parents=True)
    with (blobs / ("a" * 64)).open("wb") as file:
        file.truncate(9 * 10**9)  # takes no room
    with (blobs / f"{'b' * 64}.cogmagic.part").open("wb") as file:
        file.truncate(10**9)
    assert whole > 13e9
    assert cogmagic.plan(model="2b").download == whole - 10**10
