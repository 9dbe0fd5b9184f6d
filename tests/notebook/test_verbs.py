"""The line magic's help and verbs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import ClusterError, OutputError, RequestError
from cogmagic._api.options.table import cell_options
from cogmagic._html import MARK, VOLATILE
from cogmagic._notebook.verbs import VERBS
from cogmagic._session.session import session as current
from tests.helpers.cells import cell, printed


@pytest.mark.parametrize(
    "source",
    [
        "%cogvideo",
        "%cogvideo --help",
        "%cogvideo -h",
        "%cogvideo plan --help",
        "%cogvideo plan --model 5b -h",
        "%cogvideo status --help",
        "%%cogvideo --help\na prompt",
        "%%cogvideo --seed 1 -h\na prompt",
        "%%cogvideo?",
        "%cogvideo?",
        "%%cogvideo --help",
        "%%cogvideo -h\n\n",
        "%%cogvideo --seed 1 --help",
        "%%cogvideo ?",
        "%%cogvideo help",
        "%%cogvideo?\na prompt",
        "\n  %%cogvideo --help",
    ],
)
def test_every_way_to_ask_shows_the_manual(shell: Any, source: str) -> None:
    text = printed(shell, source)
    assert "usage: %%cogvideo [options]" in text
    assert "\n    %%cogvideo --seed 7\n" in text
    for option in cell_options():
        assert all(flag in text for flag in option.flags)
    assert all(f"%cogvideo {verb}" in text for verb in VERBS)


def test_examples_of_the_manual_parse(shell: Any) -> None:
    shown = printed(shell, "%cogvideo").splitlines()
    examples = [n for n, line in enumerate(shown) if line.startswith("    %%cogvideo")]
    assert len(examples) == 2
    for n in examples:
        line, body = shown[n].strip(), shown[n + 1].strip()
        assert "tier " in printed(shell, f"{line} --dry-run\n{body}")


def test_status_models_and_release(shell: Any, toy: Path) -> None:
    status = str(shell.run("%cogvideo status"))
    assert "GPU" in status
    assert "nothing" in status
    models = str(shell.run("%cogvideo models"))
    assert "zai-org/CogVideoX-5b-I2V" in models
    assert "Nothing was loaded." in printed(shell, "%cogvideo release")
    shell.run(cell(toy))
    assert f"{toy.name} (float32)" in str(shell.run("%cogvideo status"))
    assert "Freed 0.00 GiB of RAM." in printed(shell, "%cogvideo release")
    assert current().loaded is None


def test_clips_of_a_folder_are_a_table(shell: Any, toy: Path, cwd: Path) -> None:
    assert f"No clips made by cogmagic in {cwd}." in printed(shell, "%cogvideo clips")
    (cwd / "my clips").mkdir()
    shell.run(cell(toy, "--save 'my clips/fox.mp4' --seed 12"))
    (cwd / "my clips" / "broken.mp4").touch()
    for folder in ("'my clips'", cwd / "my clips"):
        head, *rows = printed(shell, f"%cogvideo clips {folder}").splitlines()
        assert head.split() == ["when", "file", "model", "clip", "seed", "prompt"]
        fox, broken = rows[0].split(), rows[1]
        assert fox[2] == "fox.mp4"
        assert fox[5] == "12"
        assert broken.endswith("cannot be read: damaged or unfinished")
    with pytest.raises(OutputError, match=r"The folder .*none cannot be read"):
        shell.run("%cogvideo clips none")


def test_semicolon_after_a_verb_changes_nothing(shell: Any) -> None:
    assert "zai-org/CogVideoX-5b-I2V" in str(shell.run("%cogvideo models;"))
    assert "Nothing was loaded" in printed(shell, "%cogvideo release --prompts ;")
    assert "usage: " in printed(shell, "%cogvideo --help;")


def test_status_and_models_are_marked_as_volatile(shell: Any) -> None:
    for verb in ("status", "models"):
        bundle = shell.run(f"%cogvideo {verb}")._repr_mimebundle_()
        assert bundle["text/html"].startswith(f'<div class="{VOLATILE}"')
        assert all(line.startswith(MARK) for line in bundle["text/plain"].splitlines())
        assert all(len(line) <= 80 for line in bundle["text/plain"].splitlines())
    assert "alibaba-pai/CogVideoX-Fun-V1.1-5b-InP</td>" in bundle["text/html"]


def test_plan_needs_no_download(shell: Any) -> None:
    plan = printed(shell, "%cogvideo plan --model 5b")
    assert "5b (zai-org/CogVideoX-5b)" in plan
    assert "49 frames of 720x480" in plan
    assert "why " in plan
    assert "81 frames" in printed(shell, "%cogvideo  plan\t--model 1.5-5b-i2v")


def test_dry_run_prints_the_plan_and_runs_nothing(shell: Any, toy: Path, cwd: Path) -> None:
    plan = printed(shell, cell(toy, "--tier model --dry-run --out fox --save clips/"))
    assert "tier     model" in plan
    assert "1 steps" in plan
    assert "fox" not in shell.user_ns
    assert current().loaded is None
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("staus", "Unknown verb 'staus'. Did you mean 'status'?"),
        ("list", "Unknown verb 'list'. Type %cogvideo models"),
        ("list models", "Type %cogvideo models"),
        ("stop", "Type %cogvideo cancel"),
        ("info", "Type %cogvideo status"),
        ("list of foxes", "Type %%cogvideo, and on the line below: list of foxes"),
        ("fox", "To make a video, begin a cell with %%cogvideo."),
        ("a red fox", "Type %%cogvideo, and on the line below: a red fox"),
        ("--model 5b", "Type %%cogvideo --model 5b, and on the line below: a red circle"),
        ("--seed 7 a red fox", "Type %%cogvideo --seed 7, and on the line below: a red fox"),
        ('--model 5b --gpu "RTX 3060"', 'Type %cogvideo plan --model 5b --gpu "RTX 3060"'),
        ("seed=7 steps=20", "Type %%cogvideo --seed 7 --steps 20"),
        ("seed=7 a red fox", "Type %%cogvideo --seed 7, and on the line below: a red fox"),
        ("--clear", "--clear must follow a verb. Type %cogvideo history --clear"),
        ("5b", "5b is a model. Type %%cogvideo --model 5b"),
        ("--which-gpu", "Type %cogvideo plan --which-gpu"),
        ("Status", "Type %cogvideo status, not Status."),
        ("--status", "Type %cogvideo status, not --status."),
        ("history all", "%cogvideo history takes only --clear, but got 'all'."),
        (
            "cluster",
            "or off, but got nothing. Type %cogvideo cluster local for this machine's GPUs",
        ),
        ("cluster statsu", "'statsu' is not a cluster address. Did you mean 'status'?"),
        ("cluster stop", "Unknown word 'stop'. Type %cogvideo cluster off"),
        ("cluster nodes", "Unknown word 'nodes'. Type %cogvideo cluster status"),
        ("cluster 2", "Type %cogvideo cluster local for all GPUs of this machine"),
        ("cluster auto", "or %cogvideo cluster 127.0.0.1:6379 if Ray runs here already."),
        ("cluster head", "Its port is missing: head:6379."),
        ("cluster head 6379", "but got 'head 6379'. Type %cogvideo cluster head:6379"),
        ("cluster --address=head:6379", "Type %cogvideo cluster head:6379"),
        ("cluster connect to ray://head:10001", "Type %cogvideo cluster ray://head:10001"),
        ("cluster local now", "one word or address, but got 'local now'. Type %cogvideo cluster l"),
        ("cluster stop all", "Type %cogvideo cluster off"),
        ("cluster http://head:8265", "Try ray://head:10001."),
        ("clutser local", "Unknown verb 'clutser'. Did you mean 'cluster'?"),
        ("ray", "Unknown verb 'ray'. Type %cogvideo cluster local"),
        ("ray status", "Unknown verb 'ray'. Type %cogvideo cluster status"),
        ("clusters stop", "Unknown verb 'clusters'. Type %cogvideo cluster off"),
        ("ray://head:10001", "Type %cogvideo cluster ray://head:10001"),
        ("disconnect", "Type %cogvideo cluster off"),
        ("--cluster local", "Unknown verb '--cluster'. Type %cogvideo cluster local"),
        ("ray of light", "Type %%cogvideo, and on the line below: ray of light"),
        ("status now", "%cogvideo status takes no options, but got 'now'."),
        ("plan a fox", "%cogvideo plan takes no prompt, but got 'a fox'. Type %cogvideo plan"),
        ("plan 5b", "5b is a model. Type %cogvideo plan --model 5b"),
        ("plan --model 5b vram=12", "Type %cogvideo plan --model 5b --vram 12"),
    ],
)
def test_unknown_verb_or_argument_is_refused(shell: Any, line: str, message: str) -> None:
    with pytest.raises(RequestError) as raised:
        shell.run(f"%cogvideo {line}")
    assert message in str(raised.value)


@pytest.mark.parametrize("words", ["status", "off", "OFF", "'off'"])
def test_without_a_cluster_its_words_say_how_to_connect(shell: Any, words: str) -> None:
    shown = printed(shell, f"%cogvideo cluster {words}")
    assert shown.startswith("No cluster is connected. Type %cogvideo cluster local")


def test_a_cluster_without_ray_names_the_extra(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"Type %pip install ray,"):
        shell.run("%cogvideo cluster local")


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (None, r'^No cluster is connected\. Call cogmagic\.cluster\("local"\) first\.$'),
        ("head", "Its port is missing: head:6379"),
        (6379, "No address of a cluster was given"),
    ],
)
def test_cluster_of_python_refuses_what_is_no_address(typed: Any, error: str) -> None:
    with pytest.raises(RequestError, match=error):
        cogmagic.cluster(typed)


@pytest.mark.parametrize("verb", ["cluster local", "cluster off", "cluster ray://head:10001"])
def test_a_cell_that_begins_with_the_verb_cluster_is_refused(shell: Any, verb: str) -> None:
    with pytest.raises(RequestError, match="is a verb, not a prompt"):
        shell.run(f"%%cogvideo {verb}\na red circle")


def test_a_prompt_may_begin_like_the_verb_cluster(shell: Any) -> None:
    shown = printed(shell, "%%cogvideo --dry-run\n%cogvideo cluster bombs\n")
    assert "tier " in shown
