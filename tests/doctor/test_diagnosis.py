"""The diagnosis of this machine: in Python, in a cell and in a shell; and its report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic._cli.main import main
from cogmagic._doctor.check import Check, failure
from cogmagic._doctor.diagnosis import Diagnosis, results
from cogmagic._doctor.redaction import redacted
from cogmagic._doctor.registry import CHECKS
from cogmagic._doctor.trials import TRIALS
from tests.helpers.cells import printed
from tests.helpers.surroundings import HEALTHY

QUICK = [check.name for check in CHECKS]


@pytest.mark.slow
def test_all_checks_of_this_machine(cwd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [row["name"] for row in rows]
    assert names[: len(QUICK)] == QUICK
    by_name = {row["name"]: row for row in rows}
    for sound in ("Python", "packages", "kernel", "encoder", "folders", "torch", "dtypes"):
        assert by_name[sound]["status"] == "ok", by_name[sound]
    failed = [row["name"] for row in rows if row["status"] == "fail"]
    assert code == bool(failed)
    assert all(bool(row["fix"]) == (row["status"] != "ok") for row in rows)
    assert failed or names[len(QUICK) :] == [trial.name for trial in TRIALS]


def test_in_python_without_torch(cwd: Path) -> None:
    made = cogmagic.doctor(quick=True)
    assert [r.name for r in made.results] == QUICK
    assert made["Python"].status == "ok"
    assert str(made).endswith(made.summary)
    assert made._repr_mimebundle_()["text/html"].startswith('<div class="cogmagic-volatile">')


def test_in_a_cell(shell: Any) -> None:
    assert isinstance(shell.run("%cogvideo doctor --quick"), Diagnosis)
    report = printed(shell, "%cogvideo doctor --quick --report")
    assert report.startswith(f"```text\ncogmagic {cogmagic.__version__}\n")
    assert f"torch {HEALTHY.packages.get('torch', '')}" in report
    rows = printed(shell, "%cogvideo doctor --quick --json").splitlines()
    assert [json.loads(row)["name"] for row in rows] == QUICK
    with pytest.raises(cogmagic.RequestError, match="Did you mean '--quick'"):
        shell.run("%cogvideo doctor --quik")


def test_in_a_shell(
    cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Check("odd", lambda _: failure("it is broken", "%cogvideo plan, restart the kernel"))
    monkeypatch.setattr("cogmagic._doctor.diagnosis.CHECKS", (broken,))
    assert main(["doctor", "--quick"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "fail odd          it is broken",
        "                  → cogmagic plan, restart cogmagic",
        "1 failure in 1 checks.",
    ]
    assert main(["doctor", "--quick", "--report"]) == 1
    assert capsys.readouterr().out.startswith("```text\ncogmagic ")


def test_no_heavy_library_is_imported_by_quick_checks() -> None:
    import subprocess

    code = (
        "import sys, cogmagic; cogmagic.doctor(quick=True)\n"
        "assert not {'torch', 'diffusers', 'IPython', 'ipywidgets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_report_has_nothing_private(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = cwd / "home/janedoe"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "janedoe")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    monkeypatch.setenv("WANDB_API_KEY", "5ecret5ecret")
    monkeypatch.setenv("COGMAGIC_CACHE", str(home / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://janedoe:hunter2@proxy.corp.example:3128")
    monkeypatch.setenv("SSL_CERT_FILE", str(home / "ca.pem"))
    monkeypatch.setattr("socket.gethostname", lambda: "janes-laptop")
    texts = (
        "token hf_abcdefghijklmnop in 5ecret5ecret",
        f"{home}/models/5b on janes-laptop, GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
        "http://janedoe:hunter2@proxy.corp.example:3128/ at 10.1.2.3:80",
        "/data/team-x/secret-project/models/5b",
        r"C:\Users\janedoe\models\5b",
    )
    checks = tuple(Check(f"c{i}", lambda _, t=t: failure(t, t)) for i, t in enumerate(texts))
    monkeypatch.setattr("cogmagic._doctor.diagnosis.CHECKS", (*CHECKS, *checks))
    made = Diagnosis.of(HEALTHY, tuple(results(HEALTHY, quick=True)))
    report, shown = made.report(), str(made)
    private = ("janedoe", "hunter2", "hf_abc", "5ecret", "janes", "corp", "10.1.2.3", "8932f937")
    for word in (*private, "team-x", "secret-project", str(cwd)):
        assert word not in report, word
    assert "~/cache can be written" in report
    assert "~/models/5b on HOST, GPU-***" in report
    assert "…/5b" in report
    assert "hunter2" not in made["proxies"].text
    assert str(home) in shown  # on this machine everything is shown


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("http://u:p@ss@host.corp.example:80/x", "http://HOST/x"),
        ("http://u:p/ss@host.corp.example", "http://HOST"),
        ("HTTPSConnectionPool(host='hub.corp', port=443)", "HTTPSConnectionPool(host='HOST',"),
        ("fe80::1ff:fe23:4567:890a at 12:30:45", "ADDRESS at 12:30:45"),
        ("[2001:db8::1]:80", "[ADDRESS]:80"),
        ("ask jane.doe@corp.example", "ask ADDRESS"),
        ("/mnt/c/Users/Jane Doe/.cache/hf is slow", "…/hf is slow"),
        ("/home/jane and /Users/jane", "/home/USER and /Users/USER"),
        (r"C:\Users\Jane Doe\models\5b is gone", r"…\5b is gone"),
        (r"\\server\team\models\5b", r"…\5b"),
        ("r8_abcdefghijkl github_pat_11AAAAAAA0abc", "*** ***"),
        ("c10::Error in at::cuda", "c10::Error in at::cuda"),
    ],
)
def test_what_is_private_goes(text: str, public: str) -> None:
    assert redacted(text).startswith(public)


def test_secrets_are_known_by_the_names_of_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSPHRASE", "xyzzy")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIO")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    assert redacted("xyzzy AKIAIO false") == "*** *** false"


@pytest.mark.parametrize(
    "text",
    [
        "torch 2.13.0, built for CUDA 13.0; driver 580.95.05 (CUDA 13.0)",
        "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu126",
        "20.00 GiB free of 80.00 GiB; /dev/shm has 64 MiB",
        "a run with --model zai-org/CogVideoX-5b downloads the rest",
    ],
)
def test_what_is_public_stays(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/janedoe")
    monkeypatch.setenv("LOGNAME", "janedoe")
    assert redacted(text) == text
