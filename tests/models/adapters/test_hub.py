"""LoRAs of the hub: the choice of the file, its header before a plan, the download, the cache."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cogmagic import CheckpointError, Progress, Request, RequestError
from cogmagic._models.adapters import hub_header
from cogmagic._models.adapters.adapter import Adapter
from cogmagic._progress import silent
from tests.helpers.adapters import RANK, diffusers_keys, factors, named, with_alphas, write
from tests.helpers.hub_server import Hub, Repository, serving

REPO = "someone/loras"

FILE = "pytorch_lora_weights.safetensors"

CARD = "---\nlicense: apache-2.0\nbase_model: zai-org/CogVideoX-5b\n---\n# Red\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, tmp_path: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The hub, which has one repository with a LoRA; this process' client is pointed at it."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "repository"
    write(folder / FILE, diffusers_keys(factors(rank=64)))
    (folder / "README.md").write_text(CARD)
    server.repositories = {REPO: Repository(folder)}
    server.requests.clear()
    hub_header._ask_header.cache_clear()
    yield server
    server.repositories = {}


@pytest.fixture
def folder(hub: Hub) -> Path:
    """The files of the repository."""
    return hub.repositories[REPO].folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    from huggingface_hub import constants

    return lambda: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("typed", [REPO, f"{REPO}/{FILE}", f"{REPO}/pytorch_lora_weights"])
def test_header_alone_is_read_before_the_download(hub: Hub, folder: Path, typed: str) -> None:
    (adapter,) = Request.of("a red circle", "tiny", lora=f"{typed}@0.5").loras
    assert (adapter.name, adapter.weight, adapter.source) == (f"{REPO}/{FILE}", 0.5, typed)
    assert (adapter.file, adapter.licence) == (None, "apache-2.0")
    assert adapter.download == (folder / FILE).stat().st_size > 2**20
    assert adapter.layers == Adapter.of(str(folder / FILE)).layers
    weights = [r for r in hub.gets() if FILE in r]
    assert weights == [f"GET {REPO} {FILE} 0-100000"]
    Adapter.of(typed)
    assert [r for r in hub.gets() if FILE in r] == weights  # the header is remembered


def test_header_longer_than_the_first_request_is_read(hub: Hub, folder: Path) -> None:
    write(folder / FILE, diffusers_keys(factors()), {"note": "x" * 200_000})
    adapter = Adapter.of(REPO)
    assert adapter.layers == Adapter.of(str(folder / FILE)).layers
    assert adapter.file is None


def test_download_fills_the_cache_which_then_works_offline(
    hub: Hub, folder: Path, offline: Callable[[], None]
) -> None:
    adapter, seen = Adapter.of(f"{REPO}@0.5"), list[Progress]()
    here = adapter.downloaded(seen.append)
    assert here.file is not None
    assert here.file.read_bytes() == (folder / FILE).read_bytes()
    assert replace(here, file=None, download=adapter.download) == adapter
    assert {p.total for p in seen} == {adapter.download}
    assert seen[-1].done == adapter.download
    assert here.downloaded(silent) == here
    offline()
    hub.requests.clear()
    for typed in (REPO, f"{REPO}/{FILE}"):
        assert replace(Adapter.of(f"{typed}@0.5"), source=REPO) == here
    assert hub.requests == []


def test_named_file_in_the_cache_is_used_without_asking(hub: Hub) -> None:
    Adapter.of(REPO).downloaded(silent)
    hub.requests.clear()
    assert Adapter.of(f"{REPO}/{FILE}").download == 0
    assert hub.requests == []
    Adapter.of(REPO)  # which file it means is the hub's to say
    assert hub.requests == [f"INFO {REPO}"]


def test_file_that_another_program_fetched_gets_its_configuration(
    hub: Hub, folder: Path, offline: Callable[[], None]
) -> None:
    from huggingface_hub import hf_hub_download

    (folder / "adapter_config.json").write_text('{"r": 64, "lora_alpha": 16}')
    hf_hub_download(REPO, FILE)
    assert Adapter.of(f"{REPO}/{FILE}").scales == (0.25,)
    offline()
    assert Adapter.of(f"{REPO}/{FILE}").scales == (0.25,)


@pytest.mark.parametrize("cached", [False, True])
def test_repository_and_its_file_are_the_same_adapter(hub: Hub, cached: bool) -> None:
    if cached:
        Adapter.of(REPO).downloaded(silent)
    with pytest.raises(
        RequestError, match=r"is given twice, .* lora=\"someone/loras/pytor.*@2\"\."
    ):
        Request.of("a red circle", "tiny", lora=[REPO, f"{REPO}/{FILE}"])


def test_missing_configuration_is_asked_for_once(hub: Hub) -> None:
    Adapter.of(REPO).downloaded(silent)
    Adapter.of(f"{REPO}/{FILE}")
    hub.sent.clear()
    Adapter.of(f"{REPO}/{FILE}")
    assert hub.sent == []


def test_new_commit_is_noticed(hub: Hub, folder: Path) -> None:
    adapter = Adapter.of(REPO)
    write(folder / FILE, diffusers_keys(factors(rank=8)))
    hub.repositories[REPO].commit = "2" * 40
    with pytest.raises(CheckpointError, match="has changed on the hub since the plan"):
        adapter.downloaded(silent)
    assert Adapter.of(REPO).layers[0].rank == 8


def test_configuration_of_a_new_commit_is_fetched_with_the_file(hub: Hub, folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"r": 64, "lora_alpha": 16}')
    adapter = Adapter.of(REPO)
    hub.repositories[REPO].commit = "2" * 40
    assert adapter.scales == adapter.downloaded(silent).scales == (0.25,)


def test_alphas_are_read_after_the_download(hub: Hub, folder: Path) -> None:
    keys = named(factors(), "lora_unet__{flat}.lora_{down}.weight")
    write(folder / FILE, with_alphas(keys, torch.tensor(2.0)))
    adapter = Adapter.of(REPO)
    assert (adapter.format, adapter.scales) == ("kohya", (1.0,))
    assert adapter.downloaded(silent).scales == (2 / RANK,)


@pytest.mark.parametrize("path", [FILE, "sub/adapter_model.safetensors"])
def test_configuration_beside_the_file_is_fetched(hub: Hub, folder: Path, path: str) -> None:
    (folder / FILE).unlink()
    file = write(folder / path, diffusers_keys(factors()))
    file.with_name("adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 2}))
    adapter = Adapter.of(REPO)
    assert adapter.scales == (0.5,)
    assert adapter.downloaded(silent).scales == (0.5,)


CHOICES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "only": (("a.safetensors",), "", "a.safetensors"),
    "only, below": (("x/y/a.safetensors",), "", "x/y/a.safetensors"),
    "conventional": ((FILE, "a.safetensors"), "", FILE),
    "at the top": ((f"checkpoint-500/{FILE}", FILE), "", FILE),
    "named folder": ((f"checkpoint-500/{FILE}", FILE), "checkpoint-500", f"checkpoint-500/{FILE}"),
    "named": (("a.safetensors", "b.safetensors"), "b.safetensors", "b.safetensors"),
    "in a model's repository": ((FILE, "vae/m.safetensors", "model_index.json"), "", FILE),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_only_or_conventional_file_is_chosen(hub: Hub, folder: Path, name: str) -> None:
    files, typed, chosen = CHOICES[name]
    (folder / FILE).unlink()
    for file in files:
        write(folder / file, diffusers_keys(factors()))
    assert Adapter.of(f"{REPO}/{typed}".rstrip("/")).name == f"{REPO}/{chosen}"


NO_CHOICE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "several": (
        ("left.safetensors", "right.safetensors"),
        "",
        f"someone/loras has 2 .safetensors files: left.*, right.* --lora {REPO}/left.safetensors",
    ),
    "missing": (
        ("left.safetensors",),
        "/lift.safetensors",
        "has no file lift.safetensors. Did you mean 'left.safetensors'.* files: left.safetensors",
    ),
    "upwards": (("a.safetensors",), "/../b.safetensors", "No LoRA at"),
    "model": (("model_index.json", "vae/a.safetensors"), "", "is a whole model, not a LoRA"),
    "pickles": (("pytorch_lora_weights.bin",), "", "is pickled"),
    "named pickle": (("red.pt",), "/red.pt", "is pickled"),
    "none": ((), "", "has no .safetensors file"),
    "another suffix": (("red.gguf",), "/red.gguf", "is not a .safetensors file"),
}


@pytest.mark.parametrize("name", NO_CHOICE)
def test_repositories_without_one_lora_are_refused(hub: Hub, folder: Path, name: str) -> None:
    files, typed, message = NO_CHOICE[name]
    (folder / FILE).unlink()
    for file in files:
        write(folder / file, diffusers_keys(factors()))
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(f"{REPO}{typed}")
    assert not hub.gets(".safetensors ")


def test_several_are_refused_even_if_one_is_cached(hub: Hub, folder: Path) -> None:
    Adapter.of(REPO).downloaded(silent)
    (folder / FILE).rename(folder / "left.safetensors")
    write(folder / "right.safetensors", diffusers_keys(factors()))
    with pytest.raises(CheckpointError, match=r"has 2 \.safetensors files"):
        Adapter.of(REPO)


def test_hub_that_cannot_be_reached_is_replaced_by_the_cache(hub: Hub) -> None:
    Adapter.of(REPO).downloaded(silent)
    hub.repositories[REPO].status = 501
    assert Adapter.of(REPO).file is not None
    with pytest.raises(CheckpointError, match="Or give --lora a file"):
        Adapter.of(f"{REPO}/other.safetensors")


@pytest.mark.parametrize(
    ("status", "message"),
    [(403, "is gated: accept its terms"), (503, "answered 503.*Or give --lora a file")],
)
def test_errors_of_the_hub_are_one_line(hub: Hub, status: int, message: str) -> None:
    hub.repositories[REPO].status = status
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(REPO)


def test_missing_repository_and_offline_are_explained(
    hub: Hub, offline: Callable[[], None]
) -> None:
    with pytest.raises(CheckpointError, match="The hub has no nobody/nothing, and no file has"):
        Adapter.of("nobody/nothing")
    offline()
    with pytest.raises(CheckpointError, match=r"HF_HUB_OFFLINE is set.*or give --lora a file"):
        Adapter.of(REPO)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"abc", "is not a sound .safetensors file .3 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is not a sound .safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}", "holds no tensors"),
        (b"\x02\0\0\0\0\0\0\0[]", "is not a sound .safetensors file"),
        (b'{"a":{"dtype":"F32","shape":["x"],"data_offsets":[0,4]}}', "is not a sound"),
        (b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', "is not a sound"),
        (b'{"a":{"dtype":"F32","shape":[1]}}', "is not a sound"),
        (b'{"a":1}', "is not a sound"),
        (b'{"__metadata__":1}', "is not a sound"),
        (b'{"__metadata__":{"lora_adapter_metadata":1}}', "lora_adapter_metadata. is not a JSON"),
    ],
)
def test_damaged_headers_are_refused(hub: Hub, folder: Path, content: bytes, message: str) -> None:
    length = len(content).to_bytes(8, "little") if content.startswith(b"{") else b""
    (folder / FILE).write_bytes(length + content)
    with pytest.raises(CheckpointError, match=message):
        Adapter.of(REPO)


def test_file_shorter_than_its_header_says_is_refused(hub: Hub, folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"is not a sound .*its tensors need"):
        Adapter.of(REPO)


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: other\nlicense_name: cogvideox\n---\n", "cogvideox"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: [a]\n---\n", ""),
        ("no metadata", ""),
        ("---\n: {[\n---\n", ""),
        ("---\n- a\n---\n", ""),
    ],
)
def test_licence_is_that_of_the_card(hub: Hub, folder: Path, card: str, licence: str) -> None:
    (folder / "README.md").write_text(card)
    assert Adapter.of(REPO).licence == licence


def test_interrupted_download_resumes(hub: Hub, folder: Path) -> None:
    adapter = Adapter.of(REPO)

    def stop(progress: Progress) -> None:
        if progress.done > progress.total / 2:
            raise KeyboardInterrupt

    hub.requests.clear()
    with pytest.raises(KeyboardInterrupt):
        adapter.downloaded(stop)
    here = adapter.downloaded(silent)
    starts = [int(r.split()[-1].rstrip("-")) for r in hub.gets(FILE)]
    assert starts[0] == 0
    assert starts[1] > adapter.download / 4
    assert here.file is not None
    assert here.file.read_bytes() == (folder / FILE).read_bytes()


def test_local_paths_do_not_ask_the_hub(hub: Hub, cwd: Path) -> None:
    (cwd / "loras/styles").mkdir(parents=True)
    for typed in ("loras/styles/red.safetensors", "loras/red.safetensors", "./a/b", "~/a/b",
                  "C:/loras/red.safetensors", "red"):  # fmt: skip
        with pytest.raises(CheckpointError, match="No LoRA at"):
            Adapter.of(typed)
    assert hub.requests == []
