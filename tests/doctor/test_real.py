"""The checks on this machine, with failures that are made here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from cogmagic import Machine
from cogmagic._doctor import network, storage, tools
from cogmagic._doctor.check import Finding
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._doctor.trial_process import trial_results
from cogmagic._machine.compiler import compiler_problem
from cogmagic._models.catalog import catalogued
from cogmagic._video.formats.mp4 import Mp4
from tests.helpers.disks import mounted_disk
from tests.helpers.surroundings import HEALTHY

CASES = ("disk", "folders", "checkpoints", "encoder", "compiler", "proxies", "torch")
"""The checks that are made to fail here rather than on a described machine."""


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    return tmp_path / "hub"


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


def test_folders_that_cannot_be_written(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert storage.check_disk(HEALTHY).status == "ok"
    assert storage.check_folders(HEALTHY).status == "ok"
    with mounted_disk(tmp_path / "disk", kib=400) as disk:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(disk / "hub"))
        found = storage.check_disk(HEALTHY)
        assert found.status == "warn"
        assert "0.0 GB free for downloads" in found.text
        assert ", the smallest download, needs 1" in found.text
        monkeypatch.setenv("COGMAGIC_CACHE", str(disk / "own"))
        monkeypatch.chdir(disk)
        found = storage.check_folders(HEALTHY)
        assert found.status == "fail"
        assert "0 MB free in the working directory" in found.text
        read_only(disk)
        found = storage.check_disk(HEALTHY)
        assert found.status == "fail"
        assert found.text.endswith("disk/hub cannot be written")
        assert "export HF_HOME=FOLDER" in found.fix
        assert "cannot be written" in storage.check_folders(HEALTHY).text
        monkeypatch.chdir(tmp_path)
        found = storage.check_folders(HEALTHY)
        assert (found.status, found.fix[:21]) == ("warn", "export COGMAGIC_CACHE")


def test_working_directory_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "no longer exists" in storage.check_folders(HEALTHY).text


def test_checkpoints(toy: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage.check_checkpoints(HEALTHY).text == "whole: tiny, tiny-i2v, tiny-inp"
    model = catalogued("2b")
    assert model is not None
    repository = hub_cache / f"models--{model.source.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("1234")
    snapshot = repository / "snapshots/1234"
    snapshot.parent.mkdir()
    subprocess.run(["cp", "-r", str(toy), str(snapshot)], check=True)
    assert storage.check_checkpoints(HEALTHY).text == "whole: tiny, tiny-i2v, tiny-inp, 2b"
    weights = snapshot / "vae/diffusion_pytorch_model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    found = storage.check_checkpoints(HEALTHY)
    assert found.status == "warn"
    assert "vae/diffusion_pytorch_model.safetensors" in found.text
    assert found.fix == "a run with --model 2b downloads the rest"
    weights.unlink()
    assert "is missing" in storage.check_checkpoints(HEALTHY).text
    offline = HEALTHY.__class__(environment={"HF_HUB_OFFLINE": "1"})
    assert storage.check_checkpoints(offline).fix.startswith("unset HF_HUB_OFFLINE")


def test_download_that_was_begun(hub_cache: Path) -> None:
    model = catalogued("5b")
    assert model is not None
    blobs = hub_cache / f"models--{model.source.replace('/', '--')}" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "part").touch()
    os.truncate(blobs / "part", 2 * 10**9)  # a sparse file
    found = storage.check_checkpoints(HEALTHY)
    left = (model.download_bytes - 2 * 10**9) / 1e9
    assert f"5b: {left:.1f} GB are missing" in found.text


def test_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tools.check_encoder(HEALTHY).status == "ok"
    import av

    with monkeypatch.context() as patched:
        patched.setattr(Mp4, "frames", lambda *_: tools_frames() + 60)
        found = tools.check_encoder(HEALTHY)
        assert (found.status, found.text[-16:]) == ("fail", "ers by 58 of 255")
    monkeypatch.setattr(av, "codecs_available", {"h264"})  # which decodes
    found = tools.check_encoder(HEALTHY)
    assert (found.status, found.text) == ("fail", "No H.264 encoder in this PyAV build")
    assert found.fix.startswith("pip install --force-reinstall --only-binary=:all: av")


def tools_frames() -> Any:
    import numpy as np

    frames = np.zeros((4, 64, 64, 3), np.uint8)
    frames[:, 16:48, 16:48] = 190, 40, 40
    return frames


def test_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def check() -> Finding:
        here = replace(Machine.of(), compiler=compiler_problem("cpu"))
        return tools.check_compiler(replace(HEALTHY, machine=here))

    assert check().status == "ok"
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    found = check()
    assert (found.status, "Python.h is missing" in found.text) == ("warn", True)
    assert found.fix.startswith("apt-get install python3.")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = check()
    assert found.text == "no C++ compiler is on PATH, so --speed fast and --compile do not work"
    assert "g++" in found.fix or sys.platform != "linux"


PROXIES = [
    ({}, "ok", "none"),
    ({"HTTPS_PROXY": "http://jane:hunter2@proxy.example:8080"}, "ok", "HTTPS_PROXY set and valid"),
    ({"HTTPS_PROXY": "htp://proxy.example"}, "fail", "the scheme 'htp' is none of"),
    ({"HTTPS_PROXY": "http://jane:hunter2:80"}, "fail", "lacks the @ between the password"),
    ({"HTTPS_PROXY": "http://jane:s3cret"}, "fail", "HTTPS_PROXY is not valid"),
    ({"SSL_CERT_FILE": "/none/ca.pem"}, "fail", "SSL_CERT_FILE=/none/ca.pem does not exist"),
]


@pytest.mark.parametrize(("variables", "status", "text"), PROXIES)
def test_proxies(
    variables: dict[str, str], status: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = network.check_proxies(HEALTHY)
    assert found.status == status
    shown = f"{found.text} ({found.private}) {found.fix}"
    assert text in shown
    assert "hunter2" not in shown
    for private in ("proxy.example", "s3cret"):
        assert private not in found.text


LIMITED = """
import json, resource, sys
kind = getattr(resource, sys.argv[1])
resource.setrlimit(kind, (int(sys.argv[2]),) * 2)
from cogmagic._doctor.surroundings import Surroundings
from cogmagic._doctor.memory import check_container
here = Surroundings.read()
print(json.dumps([here.locked_limit, check_container(here).text]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_limits_of_the_process_are_read() -> None:
    def read(*limit: object) -> Any:
        command = [sys.executable, "-c", LIMITED, *map(str, limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    assert read("RLIMIT_MEMLOCK", 65536)[0] == 65536
    assert "ulimit -v or -d leaves" in read("RLIMIT_AS", 2**34)[1]


def only(found: list[Any]) -> Any:
    (result,) = found
    return result


BROKEN = {
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "the process ended with SIGSEGV",
    "raise SystemExit(3)": "the process ended with exit code 3",
    "import sys; print('version GLIBC_2.38 not found', file=sys.stderr); sys.exit(1)": "GLIBC_2.38",
}


@pytest.mark.parametrize(("code", "text"), BROKEN.items())
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_crash_of_a_library_is_a_finding(code: str, text: str) -> None:
    result = only(list(trial_results([sys.executable, "-c", code])))
    assert (result.name, result.status) == ("torch", "fail")
    assert text in result.text


def test_library_that_hangs_is_a_finding() -> None:
    command = [sys.executable, "-c", "import time; print('noise', flush=True); time.sleep(600)"]
    result = only(list(trial_results(command, seconds=0.5)))
    assert (result.name, result.status) == ("torch", "fail")
    assert "no answer within 0 s" in result.text or "no answer within 1 s" in result.text


def test_torch_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    error = "libcudart.so.13: cannot open shared object file"
    (tmp_path / "torch/__init__.py").write_text(f"raise ImportError({error!r})")
    monkeypatch.syspath_prepend(tmp_path)
    result = only(list(trial_results()))
    assert (result.name, result.status) == ("torch", "fail")
    assert f"importing torch and diffusers fails (ImportError: {error})" in result.text
    assert result.fix.startswith("pip install --force-reinstall torch")


def test_finding_of_this_machine() -> None:
    here = Surroundings.read()
    assert here.python == sys.version_info[:3]
    assert here.packages["torch"] == here.build.version
