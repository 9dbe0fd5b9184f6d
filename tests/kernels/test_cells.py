"""Cells in a real kernel: what reaches the front end."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from cogmagic._html import MARK, VOLATILE
from tests.helpers.kernels import PATIENCE, PROMPT, Kernel, cell, failed


@pytest.mark.ipykernel
def test_cell_shows_a_live_line_and_then_the_video(one: Kernel, toy: Path, there: Path) -> None:
    prompt = "a green square moves down"  # no other test's: that one's would not be encoded again
    ran = one.run(cell(toy, "--steps 3 --seed 7 --out fox", prompt))
    assert ran.reply["status"] == "ok"
    kinds = [m["msg_type"] for m in ran.messages]
    assert kinds[:3] == ["status", "execute_input", "display_data"]
    assert kinds[-2:] == ["display_data", "status"]
    assert set(kinds[3:-2]) == {"update_display_data"}  # nothing is printed or logged
    live, player = ran.of("display_data")
    updates = ran.of("update_display_data")
    assert {u["transient"]["display_id"] for u in updates} == {live["transient"]["display_id"]}
    for shown in (live, *updates):
        assert shown["data"]["text/html"].startswith(f'<div class="{VOLATILE}"')
        assert shown["data"]["text/plain"].startswith(MARK)
    lines = [u["data"]["text/plain"].removeprefix(MARK) for u in updates]
    phases = list(dict.fromkeys(line.split()[0] for line in lines))
    phases = phases[phases[0] == "starting…" :]  # shown again if importing takes a while
    assert phases == ["load", "encode", "denoise", "decode", "save", "tier"]
    assert "denoise · 3/3" in " ".join(lines)
    assert lines[-1].startswith("tier none (no GPU: nothing is offloaded) · peak VRAM n/a · ")
    assert " · seed 7 · cogvideo-" in lines[-1]
    assert "<video" in player["data"]["text/html"]
    assert 'src="data:video/mp4;base64,' in player["data"]["text/html"]
    assert [p.suffix for p in there.iterdir()] == [".mp4"]
    assert one.value("fox.frames().shape, fox.frames().dtype") == "(9, 32, 48, 3) uint8"


def test_live_line_warns_of_words_that_the_model_does_not_know(
    one: Kernel, toy: Path, there: Path
) -> None:
    ran = one.run(cell(toy, "--steps 3", "一只猫在弹钢琴"))
    assert ran.reply["status"] == "ok"
    lines = [u["data"]["text/plain"] for u in ran.of("update_display_data")]
    warning = (
        "warning: t2v does not know 7 of 7 words of the prompt (一只猫在弹钢琴):"
        " it knows English only, so write the prompt in English words"
    )
    warned = [line for line in lines if line.endswith(f"\n{MARK}{warning}")]
    phases = {line.removeprefix(MARK).split()[0] for line in warned}
    assert phases >= {"load", "denoise", "tier"}
    assert f"<br>{warning}</div>" in ran.of("update_display_data")[-1]["data"]["text/html"]


def test_equal_seeds_give_equal_frames(one: Kernel, toy: Path, there: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert one.run(cell(toy, f"--steps 2 --seed {seed} --out {name}")).of("error") == []
    digest = "[v.report.frames_sha256 for v in (a, b, c)]"
    a, b, c = json.loads(one.value(f"__import__('json').dumps({digest})"))
    assert len(a) == 64
    assert a == b != c


@pytest.mark.ipykernel
@pytest.mark.parametrize(
    ("options", "name", "says"),
    [
        ("--stepps 3", "RequestError", "Did you mean '--steps'?"),
        ("--truncate --tier balanced", "TierError", "but none may be used"),
        ("--save nowhere/", "OutputError", "Create it first."),
    ],
)
def test_errors_are_sent_as_one_line(
    one: Kernel, toy: Path, there: Path, options: str, name: str, says: str
) -> None:
    ran = one.run(cell(toy, options))
    assert says in failed(ran, name)["evalue"]
    assert ran.of("stream") == []
    assert list(there.iterdir()) == []


@pytest.mark.ipykernel
@pytest.mark.parametrize(
    ("source", "answer"),
    [
        (
            f"%%cogvideo --seed 7 {PROMPT}",
            f"Type %%cogvideo --seed 7, and on the line below: {PROMPT}",
        ),
        ("%%cogvideo", "The prompt is empty. Type %%cogvideo, and on the line below: "),
        (f"# a clip\n%%cogvideo\n{PROMPT}", "but %%cogvideo is below '# a clip'."),
        (f"%%CogVideo\n{PROMPT}", "Unknown magic %%CogVideo. Type %%cogvideo, and"),
        (f"%cogvideo --model 5b\n{PROMPT}", "Type %%cogvideo --model 5b, and on the line below: "),
        ("!cogvideo status", "Type %cogvideo status"),
    ],
)
def test_mistyped_first_line_is_answered_in_one_line(
    one: Kernel, there: Path, source: str, answer: str
) -> None:
    ran = one.run(source)
    assert answer in failed(ran, "RequestError")["evalue"]
    assert ran.of("stream") == ran.of("display_data") == []
    assert list(there.iterdir()) == []


@pytest.mark.ipykernel
def test_help_needs_no_prompt(one: Kernel) -> None:
    ran = one.run("%%cogvideo --help")
    assert ran.reply["status"] == "ok"
    assert "usage: %%cogvideo [options]" in ran.text


@pytest.mark.ipykernel
def test_error_turns_the_live_line_red(one: Kernel, toy: Path, there: Path) -> None:
    ran = one.run(cell(toy, "--save nowhere/"))
    last = ran.of("update_display_data")[-1]["data"]
    assert last["text/plain"].startswith(f"{MARK}failed: ")
    assert 'style="color:' in last["text/html"]


@pytest.mark.ipykernel
def test_kernel_runs_the_requested_ipykernel(one: Kernel) -> None:
    asked = os.environ.get("COGMAGIC_TEST_IPYKERNEL")
    path = one.value("__import__('ipykernel').__file__")
    assert path.startswith(asked or sys.prefix)


@pytest.mark.ipykernel
@pytest.mark.parametrize(
    ("line", "typed", "match"),
    [
        ("%%cogvideo --tier mo", "mo", "model"),
        ("x = 1\n%cogvideo plan --gp", "--gp", "--gpu"),
        ('# a card\n%cogvideo plan --gpu "RTX 306', '"RTX 306', '"RTX 3060"'),
    ],
)
def test_completion_reaches_the_front_end(one: Kernel, line: str, typed: str, match: str) -> None:
    one.client.complete(f"{line}\n{PROMPT}", len(line))
    content = one.client.get_shell_msg(timeout=PATIENCE)["content"]
    assert match in content["matches"]
    assert line[content["cursor_start"] : content["cursor_end"]] == typed


def test_large_video_is_linked_in_the_notebooks_folder_only(
    one: Kernel, toy: Path, there: Path, tmp_path: Path
) -> None:
    def html(save: Path) -> str:
        ran = one.run(cell(toy, f"--steps 1 --save '{save}'"))
        assert ran.reply["status"] == "ok"
        return str(ran.of("display_data")[-1]["data"]["text/html"])

    one.run("import os; start = os.getcwd()\n%config CogMagic.embed_limit_mb = 0")
    try:
        assert 'src="a.mp4"' in html(Path("a.mp4"))
        one.run(f"os.chdir({str(tmp_path)!r})")
        assert f"{tmp_path}/b.mp4 cannot be linked" in html(Path("b.mp4"))
        assert 'src="c.mp4"' in html(there / "c.mp4")
        one.run(f"os.environ['JPY_SESSION_NAME'] = {str(tmp_path / 'demo.ipynb')!r}")
        assert 'src="d.mp4"' in html(Path("d.mp4"))
        assert f"outside the notebook&#x27;s folder, {tmp_path}." in html(there / "e.mp4")
        one.run("os.environ['JPY_SESSION_NAME'] = '/nowhere at all/demo.ipynb'")
        assert "/nowhere at all, does not exist on this machine" in html(Path("f.mp4"))
    finally:
        one.run("os.environ.pop('JPY_SESSION_NAME', 0); os.chdir(start)")
        one.run("%config CogMagic.embed_limit_mb = 8")


@pytest.mark.ipykernel
def test_verbs_work_in_a_removed_working_directory_and_a_run_is_refused(
    one: Kernel, toy: Path, there: Path, tmp_path: Path
) -> None:
    one.run(cell(toy, "--steps 1 --save a.mp4 --out clip"))
    one.run(f"import os; start = os.getcwd(); os.chdir({str(tmp_path)!r})")
    tmp_path.rmdir()
    try:
        for verb in ("status", "models", f"plan --model '{toy}'", "history", "release", "cancel"):
            ran = one.run(f"%cogvideo {verb}")
            assert ran.reply["status"] == "ok", ran.of("error")
        assert "tier     none" in one.run(cell(toy, "--dry-run")).text
        assert str(there / "a.mp4") in one.value("clip, clip.facts_line()")
        for options in ("", "--save b.mp4", f"--save '{there}'"):
            ran = one.run(cell(toy, options))
            assert "%cd FOLDER" in failed(ran, "OutputError")["evalue"]
        ran = one.run("%cogvideo plan --model ./toy")
        assert "No folder at ./toy" in failed(ran, "CheckpointError")["evalue"]
    finally:
        one.run(f"%cd {there}")
    assert one.run(cell(toy, "--steps 1 --save b.mp4")).reply["status"] == "ok"
