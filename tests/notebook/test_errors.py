"""Cells that are refused or fail: one line each, and no file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cogmagic import CogMagicError, OutputError, RequestError, TierError
from cogmagic._planning.memory_options import tier_names
from cogmagic._session.session import session as current
from tests.helpers.cells import PROMPT, cell

LONG = " ".join(["a red circle moves to the left"] * 3)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--stepps 3", "Unknown option --stepps. Did you mean '--steps'?"),
        ("--tire=none", "Unknown option --tire=none. Did you mean '--tier'?"),
        ("--num-inference 3", "Did you mean '--num-inference-steps'?"),
        ("--steps 3 --num-inference-steps 4", "given twice. See %cogvideo --help"),
        ("--truncate --truncate", "--truncate is given twice"),
        ("--seed x", "--seed takes a whole number, not 'x'. See"),
        ("--seed", "--seed needs a value. See"),
        ("--steps=1.5", "--num-inference-steps takes a whole number, not '1.5'"),
        ("--guidance-scale high", "--guidance-scale takes a number, not 'high'"),
        ("--size 720", "'720' is not a size like 720x480"),
        (
            "--negative-prompt 'blurred",
            "--negative-prompt 'blurred. Type --negative-prompt blurred",
        ),
        ('--negative-prompt 5" disk', "Type --negative-prompt '5\" disk'"),
        (
            '--fps 8 --save "my clip.mp4 --seed 7',
            'in: --save "my clip.mp4. Type --save "my clip.mp4"',
        ),
        ("--negative-prompt grey it's --seed 7", '--negative-prompt "grey it\'s". See'),
        ("--save bob's and ann's.mp4", "needs quotes: --save \"bob's and ann's.mp4\". See"),
        ("--negative-prompt “dark, grey”", '--negative-prompt "dark, grey". See'),
        ("--size 720*480", "--size '720*480' is not a size. Type --size 720x480"),
        (
            "--out fox.mp4",
            "--out takes a variable's name, not a file's. To name the file: --save fox.mp4",
        ),
        ("--out my-fox", "--out my-fox: not a variable's name. Type --out my_fox"),
        ("--out for", "--out for: not a variable's name. Type --out for_"),
        ("--model tinny", "Did you mean 'tiny'?"),
        ("--model 5b --num-frames 50", "Nearest: --num-frames 49."),
        ("--model ./nowhere", "No folder at ./nowhere."),
        ("--tier modle", "Unknown tier 'modle'. Did you mean 'model'?"),
        ("--dtype float8", "Choose from: float16, bfloat16, float32"),
    ],
)
def test_error_in_the_options_is_one_line_and_changes_nothing(
    shell: Any, cwd: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    with pytest.raises(CogMagicError) as raised:
        shell.run(f"%%cogvideo {line}\n{PROMPT}")
    shown = capsys.readouterr()
    assert message in str(raised.value)
    assert shown.out == f"{type(raised.value).__name__}: {raised.value}\n"
    assert shown.err == ""
    assert list(cwd.iterdir()) == []
    assert current().loaded is None


def test_empty_prompt_is_refused(shell: Any, cwd: Path) -> None:
    for body in ("", "\n", "\n  \n"):
        with pytest.raises(RequestError, match=r"is empty\. Type %%cogvideo --seed 1, and"):
            shell.run(f"%%cogvideo --seed 1{body}")
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (
            "fox.avi",
            "must end in .mp4, .gif, .webm or .png (frames), or be a folder. "
            "Did you mean 'fox.mp4'?",
        ),
        ("there", "--save there: the file must end in .mp4, .gif"),
        ("missing/fox.mp4", "the folder missing does not exist. Create it first."),
        ("missing/", "the folder missing does not exist. Create it first."),
        ("there.mp4", "there.mp4 already exists. Choose another name, or add --overwrite."),
        ("there.mp4/fox.mp4", "there.mp4 is a file. Name a folder instead."),
        ("/proc/fox.mp4", "/proc cannot be written"),
    ],
)
def test_unwritable_path_is_refused_before_loading(
    shell: Any, toy: Path, cwd: Path, save: str, message: str
) -> None:
    (cwd / "there.mp4").write_bytes(b"older")
    with pytest.raises(OutputError) as raised:
        shell.run(cell(toy, f"--save {save}"))
    assert message in str(raised.value)
    assert [p.name for p in cwd.iterdir()] == ["there.mp4"]
    assert (cwd / "there.mp4").read_bytes() == b"older"
    assert current().loaded is None


def test_too_long_prompt_is_refused_with_the_words_it_would_lose(
    shell: Any, toy: Path, cwd: Path
) -> None:
    with pytest.raises(RequestError) as raised:
        shell.run(cell(toy, body=LONG))
    # 21 words and the end mark; the model reads 15 words.
    assert "The prompt has 22 tokens, but t2v reads 16" in str(raised.value)
    assert "it would ignore 'red circle moves to the left'" in str(raised.value)
    with pytest.raises(RequestError, match="The negative prompt has 22 tokens"):
        shell.run(cell(toy, f"--negative-prompt '{LONG}'"))
    assert list(cwd.iterdir()) == []
    assert current().loaded is None
    shell.run(cell(toy, "--truncate --out cut", body=LONG))
    assert shell.user_ns["cut"].prompt == LONG


def test_failed_run_leaves_no_file(
    shell: Any, toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def failing(*_: Any) -> None:
        seen.extend(p.name for p in cwd.iterdir())
        raise RuntimeError("decoder broke")

    monkeypatch.setattr("cogmagic._pipeline.generate._decode", failing)
    with pytest.raises(RuntimeError, match="decoder broke"):
        shell.run(cell(toy, "--out fox"))
    assert len(seen) == 1
    assert seen[0].endswith(".part.mp4")
    assert list(cwd.iterdir()) == []
    assert "fox" not in shell.user_ns


def test_short_errors_off_shows_the_traceback(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run("%config CogMagic.short_errors = False")
    with pytest.raises(TierError):
        shell.run(f"%%cogvideo --model 5b --tier modle --dry-run\n{PROMPT}")
    shown = capsys.readouterr().out
    assert shown.startswith("Traceback (most recent call last):\n")
    assert "options.py" in shown
    assert shown.rstrip().endswith(f"Choose from: {', '.join(tier_names())}.")
