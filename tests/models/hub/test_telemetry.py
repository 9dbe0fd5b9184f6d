"""All that a download sends, all that a local run sends (nothing), and the client's switches."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cogmagic import CheckpointError, Progress
from cogmagic._errors import Cancelled
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.find import find_model, local_folder
from cogmagic._models.hub import switches
from cogmagic._models.hub.download import download
from cogmagic._models.hub.switches import offline, without_telemetry
from cogmagic._progress import silent
from tests.helpers.hub import NEEDED, REPO, parts, stop_at
from tests.helpers.hub_server import Hub, Repository
from tests.helpers.sandbox import SUPPORTED

COMMIT = "1" * 40
FIVE = "zai-org/CogVideoX-5b"
SPIECE = "tokenizer/spiece.model"
CONFIGS = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "transformer/config.json",
    "vae/config.json",
]
VAE = "vae/diffusion_pytorch_model.safetensors"
WEIGHTS = sorted(f for f in NEEDED if f.endswith(".safetensors"))
REST = sorted({*NEEDED, SPIECE}.difference(CONFIGS, WEIGHTS))


@pytest.fixture
def observed(
    hub: Hub, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """A hub that offers Xet, and a client with nothing disabled, run by an AI agent on SageMaker.

    After the test, every request is checked to carry what a download needs and no more.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import _detect_agent

    (repository.folder / SPIECE).write_bytes(b"a vocabulary, which the real hub has in Xet" * 50)
    repository.xet = True
    hub.repositories[FIVE] = repository
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "agents.json"))
    monkeypatch.setattr(_detect_agent, "_registry", None)
    for name in ("SOME_AGENT", "AI_AGENT", "SAGEMAKER_JOB_NAME"):
        monkeypatch.setenv(name, "a name that is nobody's business")
    monkeypatch.setenv("ECS_CONTAINER_METADATA_URI", f"{hub.url}/container")
    hub.sent.clear()
    yield hub
    for request in hub.sent:
        _check_headers(request.headers)


def _check_headers(headers: dict[str, str]) -> None:
    from huggingface_hub import __version__

    python = sys.version.split()[0]
    assert headers["user-agent"] == f"unknown/None; hf_hub/{__version__}; python/{python}"
    assert headers.keys() <= {
        *("host", "connection", "accept", "accept-encoding", "user-agent", "range"),
        "x-amzn-trace-id",  # a random number for each request
        "x-hf-download-counter",  # "1": the request is part of a download
    }


def listing(repo_id: str) -> list[str]:
    return [f"GET /api/models/{repo_id}?blobs=true"]


def small(repo_id: str, paths: list[str]) -> list[str]:
    """The client's own requests for small files, in the order of the listing."""
    requests = []
    for path in sorted(paths):
        url = f"/{repo_id}/resolve/{COMMIT}/{path}"
        requests += [f"HEAD {url}", f"GET {url}"]
        requests += [f"GET /cdn{url}?signature=x"] * (path == SPIECE)
    return requests


def weights(repo_id: str, paths: list[str] = WEIGHTS) -> list[str]:
    """The requests for weights: all sizes first, then each file and the link to it."""
    urls = [f"/{repo_id}/resolve/{COMMIT}/{path}" for path in paths]
    requests = [f"HEAD {url}" for url in urls]
    for url in urls:
        requests += [f"GET {url}", f"GET /cdn{url}?signature=x", f"HEAD {url}"]
    return requests


def sent(hub: Hub) -> list[str]:
    return [str(request) for request in hub.sent]


def test_requests_of_a_foreign_repository(observed: Hub) -> None:
    model = find_model(REPO)
    assert sent(observed) == listing(REPO) + small(REPO, CONFIGS)
    observed.sent.clear()
    download(model, silent)
    assert sent(observed) == listing(REPO) + small(REPO, REST) + weights(REPO)
    assert {r.headers["range"] for r in observed.sent if "range" in r.headers} == {"bytes=0-"}


def test_requests_of_a_name_of_the_catalogue(observed: Hub) -> None:
    download(find_model("5b"), silent)
    assert sent(observed) == listing(FIVE) + small(FIVE, CONFIGS + REST) + weights(FIVE)


def test_cached_checkpoint_sends_nothing(observed: Hub, original: Path) -> None:
    for name in (REPO, "5b"):
        download(find_model(name), silent)
    observed.sent.clear()
    for name in (REPO, "5b"):
        assert local_folder(find_model(name)) is not None
    assert sent(observed) == []


def test_requests_of_a_resumed_download(observed: Hub, tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        download(find_model(REPO), stop_at(0.5))
    (part,) = parts(tmp_path)
    partial = part.stat().st_size
    observed.sent.clear()
    download(find_model(REPO), silent)
    assert sent(observed) == listing(REPO) * 2 + weights(REPO, [VAE])
    ranges = [r.headers["range"] for r in observed.sent if "range" in r.headers]
    assert ranges == [f"bytes={partial}-"] * 2


@pytest.mark.parametrize("status", [401, 403, 500])
def test_refused_download_asks_once(observed: Hub, original: Path, status: int) -> None:
    observed.repositories[REPO].status = status
    with pytest.raises(CheckpointError):
        find_model(REPO)
    with pytest.raises(CheckpointError):
        download(identify(original, REPO), silent)
    assert sent(observed) == listing(REPO) * 2


def test_client_by_itself_sends_telemetry(observed: Hub) -> None:
    """The other tests would detect telemetry if the switches were off."""
    from huggingface_hub import HfApi, hf_hub_download

    HfApi().model_info(REPO)
    agents, info = observed.sent
    assert str(agents) == "GET /api/agent-harnesses"
    assert "torch/" in info.headers["user-agent"]
    assert "agent/some-agent" in info.headers["user-agent"]
    with pytest.raises(Exception, match="xet-read-token"):
        hf_hub_download(REPO, SPIECE)
    observed.sent.clear()


def test_users_own_calls_are_as_before(observed: Hub) -> None:
    """In other threads during a download, and afterwards."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    def user_agent() -> None:
        agents.append(build_hf_headers()["user-agent"])

    agents: list[str] = []
    user_agent()
    observed.sent.clear()  # of the list of agents

    def listen(_: Progress) -> None:
        thread = threading.Thread(target=user_agent)
        thread.start()
        thread.join()

    download(find_model(REPO), listen)
    user_agent()
    assert len(agents) > 5
    assert set(agents) == {agents[0]}
    assert "torch/" in agents[0]
    assert constants.HF_HUB_DISABLE_TELEMETRY is False
    assert constants.HF_HUB_DISABLE_XET is False


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("before", [True, False])
def test_switches_are_restored_after_an_error(
    observed: Hub, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], before: bool
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", before)

    def fail(_: Progress) -> None:
        assert constants.HF_HUB_DISABLE_TELEMETRY
        raise error

    with pytest.raises(error):
        download(find_model(REPO), fail)
    assert constants.HF_HUB_DISABLE_TELEMETRY is before
    assert constants.HF_HUB_DISABLE_XET is False


def test_overlapping_downloads_restore_the_constant_once() -> None:
    """The first to begin ends first: the second still sends nothing."""
    from huggingface_hub import constants

    before = constants.HF_HUB_DISABLE_TELEMETRY
    began, first_ended = threading.Event(), threading.Event()
    still_on: list[bool] = []

    def second() -> None:
        with without_telemetry():
            began.set()
            first_ended.wait()
            still_on.append(bool(constants.HF_HUB_DISABLE_TELEMETRY))

    thread = threading.Thread(target=second)
    with without_telemetry():
        thread.start()
        began.wait()
    assert not constants.HF_HUB_DISABLE_TELEMETRY
    first_ended.set()
    thread.join()
    assert still_on == [True]
    assert constants.HF_HUB_DISABLE_TELEMETRY is before


def test_constant_set_by_the_user_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    with without_telemetry():
        constants.HF_HUB_DISABLE_TELEMETRY = True
    assert constants.HF_HUB_DISABLE_TELEMETRY is True


def test_loaders_send_nothing(observed: Hub, toy: Path) -> None:
    """Not even a loader that asks for a repository: the client refuses the request."""
    from transformers import T5EncoderModel, T5Tokenizer
    from transformers.utils.hub import http_user_agent

    from cogmagic._pipeline.libraries import pipeline_class, quiet_libraries
    from cogmagic._pipeline.load import load
    from cogmagic._pipeline.spec import PipelineSpec
    from cogmagic._pipeline.tokenizer import load_tokenizer

    def ask_for_a_repository() -> None:
        for loader in (pipeline_class("t2v"), T5EncoderModel, T5Tokenizer):
            with suppress(OSError):
                loader.from_pretrained(REPO)

    load(PipelineSpec(toy, "t2v", "float32"))
    load_tokenizer(toy)
    with quiet_libraries():
        ask_for_a_repository()
        assert "a name that" not in http_user_agent()  # asks SageMaker's container for its image
    assert sent(observed) == []
    ask_for_a_repository()
    assert len(sent(observed)) > 3
    observed.sent.clear()


def test_calls_in_other_threads_may_be_online(observed: Hub) -> None:
    from huggingface_hub import is_offline_mode

    online: list[bool] = []
    thread = threading.Thread(target=lambda: online.append(not is_offline_mode()))
    with offline():
        assert is_offline_mode()
        thread.start()
        thread.join()
    assert online == [True]
    assert not is_offline_mode()


def test_no_switch_is_left_installed() -> None:
    from huggingface_hub import constants

    with offline(), without_telemetry(), offline():
        pass
    assert not [n for n, value in vars(constants).items() if isinstance(value, switches._Switch)]


_LOCAL_RUN = """
import sys
import urllib3  # binds a socket to ::1 as it is imported, to detect IPv6
from tests.helpers.sandbox import forbid_internet

opened = []
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") else None)
forbid_internet()
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in (
    "%load_ext cogmagic",
    "%cogvideo models",
    "%cogvideo status",
    "%cogvideo plan --model 5b",
    "%%cogvideo --tier none --frames 9 --steps 2\\na red circle",
    "%%cogvideo --tier stream --frames 9 --steps 2\\na red circle",
):
    shell.run_cell(cell).raise_error()
assert opened == [], opened
"""


def _sandboxed(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the code without the switches that are on in the tests' environment."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=600
    )


needs_sandbox = pytest.mark.skipif(not SUPPORTED, reason="needs seccomp")


@needs_sandbox
@pytest.mark.slow
def test_local_run_opens_no_socket(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = _sandboxed(_LOCAL_RUN, cwd, monkeypatch)
    assert process.returncode == 0, process.stderr
    assert len(list(cwd.glob("*.mp4"))) == 2


@needs_sandbox
@pytest.mark.parametrize(
    "code",
    ["import socket; socket.socket()", "import ctypes; ctypes.CDLL(None).socket(10, 1, 0)"],
    ids=["Python", "C"],
)
def test_sandbox_stops_a_socket(cwd: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    forbid = "from tests.helpers.sandbox import forbid_internet; forbid_internet(); "
    process = _sandboxed(f"{forbid}{code}; print('went on')", cwd, monkeypatch)
    assert (process.returncode, process.stdout) == (-signal.SIGSYS, "")
