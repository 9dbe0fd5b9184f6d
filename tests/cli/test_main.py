"""The command line: what it prints, its exit codes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic._cli.main import main
from cogmagic._video.formats.mp4 import Mp4
from tests.helpers.toy import PROMPT

STEPS = ("--steps", "2", "--frames", "9", "--seed", "1")

BAD = [
    ("generat a", "Unknown command 'generat'. Did you mean 'generate'? Choose from: generate,"),
    ("--seed 3", "The command is missing. Type cogmagic generate --seed 3"),
    ("p.csv --seed 3", "The command is missing. Type cogmagic batch p.csv --seed 3"),
    ("generate", 'The prompt is missing. Type cogmagic generate "a red circle moves'),
    ("generate a fox --seed 3", 'quotes. Type cogmagic generate "a fox" --seed 3. See cogmagic'),
    ("generate a --seed 3 fox", "'fox' is one word too many. Put the PROMPT in quotes."),
    ("generate fox --out fox", "cogmagic generate does not take --out. Leave it out."),
    ("generate fox --num-frame 3", "Unknown option --num-frame. Did you mean '--num-frames'?"),
    ("generate fox --cfg 3", "Unknown option --cfg. Use --guidance-scale."),
    ("generate fox --seed x", "--seed takes a whole number, not 'x'. See cogmagic generate --help"),
    ("generate fox --seed 3 --seed 4", "--seed is given twice"),
    ("generate fox --frames 50", "--num-frames 33"),
    ("generate fox --negative-prompt a b", '--negative-prompt "a b"'),
    ("batch", "The table of prompts is missing. Type cogmagic batch FILE.csv"),
    ("batch a.csv b.csv", "cogmagic batch takes one FILE, but got 'b.csv', too."),
    ("batch --prompts a.csv", "--prompts is the FILE here. Type cogmagic batch FILE"),
    ("batch /dev/null", "is not a file that ends in .csv, .jsonl or .txt. Give a file (.csv,"),
    ("generate fox --tier steam", "Unknown tier 'steam'. Did you mean 'stream'?"),
    ("batch none.csv", "--prompts none.csv: no such file."),
    ("generate what? --seed 3 now?", "'now?' is one word too many."),
    ("generate $5 <b> --seed 3", "cogmagic generate '$5 <b>' --seed 3"),
    ("doctor --seed 3", "cogmagic doctor does not take --seed. Leave it out."),
    ("doctor --json --report", "--json and --report are two forms of the results."),
    ("doctor --quick=3", "--quick takes no value. See cogmagic doctor --help"),
    ("history --clear --json", "--clear deletes the runs and lists none. Leave out --json."),
    ("models x", "cogmagic models takes options only, but got 'x'."),
    ("plan --gpu H", "Unknown card"),
]


@pytest.mark.parametrize(("line", "message"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    line: str, message: str, cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("RequestError: ")
    assert err.count("\n") == 1
    assert (out, list(cwd.iterdir())) == ("", [])


def test_help_and_bad_input_import_no_library() -> None:
    code = (
        "import sys\nfrom cogmagic._cli.main import main\n"
        "lines = ['--help', 'generate --help', 'plan --help', 'generate', 'x', '--version']\n"
        "codes = [main(line.split()) for line in lines]\n"
        "assert codes == [0, 0, 0, 2, 2, 0], codes\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'IPython', 'av', 'PIL'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert "usage: cogmagic [-h] [--version] COMMAND" in done
    assert "usage: cogmagic generate PROMPT [options]" in done
    assert "a path or a variable" not in done
    assert "--out" not in done
    assert done.endswith(f"cogmagic {cogmagic.__version__}\n")


def test_video_is_that_of_python(
    toy: Path, cwd: Path, session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", PROMPT, "--model", str(toy), *STEPS, "--save", "a.gif"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{cwd / 'a.gif'}\n"
    assert err.count("\n") == 1  # the facts; no bar where stderr is not a terminal
    assert "seed 1 · a.gif" in err
    assert main(["generate", "--model", str(toy), *STEPS, "--json", "--quiet", "--", PROMPT]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert err == ""
    video = cogmagic.generate(
        PROMPT, model=str(toy), seed=1, num_frames=9, num_inference_steps=2, progress=False
    )
    assert facts["report"]["frames_sha256"] == video.report.frames_sha256
    assert Path(facts["path"]).parent == cwd
    assert (facts["seed"], facts["num_frames"], facts["format"]) == (1, 9, "mp4")


def test_prompt_from_standard_input(
    toy: Path, cwd: Path, session: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "cogmagic", "generate", "-", "--dry-run", "--json"]
    done = subprocess.run(command, input=PROMPT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["fits"] is True
    done = subprocess.run(command[:-2], input=" \n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


def test_batch_prints_each_video_and_resumes(
    toy: Path, cwd: Path, session: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (cwd / "p.txt").write_text(f"{PROMPT}\na blue square\n")
    line = ["batch", "p.txt", "--model", str(toy), *STEPS, "--save", "clips", "--json"]
    assert main(line) == 0
    made = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [Path(facts["path"]).name for facts in made] == ["0001-1.mp4", "0002-1.mp4"]
    assert [facts["prompt"] for facts in made] == [PROMPT, "a blue square"]
    Path(made[1]["path"]).unlink()
    assert main(line) == 0
    assert capsys.readouterr().out.count("\n") == 2
    assert main(["generate", PROMPT, "--seeds", "1,2", *line[2:4], *STEPS[:4], "-q"]) == 0
    assert [Path(p).name for p in capsys.readouterr().out.split()] == ["0001-1.mp4", "0002-2.mp4"]


def test_plan_that_does_not_fit_is_exit_code_3(
    cwd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--model", "5b", "--gpu", "RTX 4090"]) == 0
    assert "model offload" in capsys.readouterr().out
    assert main(["plan", "--model", "5b", "--gpu", "RTX 4090", "--ram", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fits"] is True
    assert main(["plan", "--model", "5b", "--vram", "1"]) == 3
    assert main(["plan", "--which-gpu"]) == 0


def test_models_and_history(cwd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"]: bool(row["folder"]) for row in rows}["tiny"]
    assert main(["models"]) == 0
    assert capsys.readouterr().out == f"{cogmagic.models()}\n"
    assert main(["history"]) == 0
    assert capsys.readouterr().out.startswith("No runs yet")
    assert main(["history", "--json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["history", "--clear"]) == 0
    assert capsys.readouterr().out.startswith("Deleted 0 runs")


def test_video_that_cannot_be_written_is_kept_elsewhere(
    toy: Path,
    cwd: Path,
    session: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    elsewhere, write, calls = tmp_path / "temporary", Mp4.write, list[Any]()
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(elsewhere))

    def full(self: Mp4, to: Any, *rest: Any) -> None:
        calls.append(to)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        write(self, to, *rest)

    monkeypatch.setattr(Mp4, "write", full)
    assert main(["generate", PROMPT, "--model", str(toy), *STEPS]) == 1
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith("OutputError: ")
    assert "%cogvideo" not in err
    (kept,) = elsewhere.glob("*.mp4")
    assert err.endswith(f"The video is in {kept}.")


def test_defect_is_shown_with_its_traceback(
    cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._api.kernel.models", lambda: 1 / 0)
    assert main(["models"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert err.rstrip().endswith("cogmagic doctor --report")


def test_traceback_of_an_error_on_demand(
    cwd: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGMAGIC_TRACEBACK", "1")
    assert main(["generate"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["help generate", "generate --help", "generate fox -h"])
def test_help_of_a_command(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 0
    assert capsys.readouterr().out.startswith("usage: cogmagic generate PROMPT [options]")


def test_words_after_two_hyphens_are_no_options(cwd: Path) -> None:
    assert main(["plan", "--", "-h"]) == 2


STREAMS = [
    ("models >/dev/full", "OutputError: Standard output: No space left on device.\n1\n"),
    ("models >&-", "0\n"),
    ("generate - <&- >&2", "RequestError: - reads the prompt from standard input, which has no"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
@pytest.mark.parametrize(("words", "shown"), STREAMS)
def test_streams_that_are_closed_or_full(words: str, shown: str) -> None:
    command = f"{sys.executable} -m cogmagic {words}; echo $? >&2"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr.startswith(shown)


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of POSIX")
def test_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m cogmagic models | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")


def test_terminal_that_lacks_a_character_shows_the_others() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogmagic", "plan", "--gpu", "RTX 3060"],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert b"\n? none" in done.stdout
    assert done.stderr == b""


@pytest.mark.slow
def test_progress_and_interrupt_in_a_terminal(toy: Path, cwd: Path) -> None:
    pexpect = pytest.importorskip("pexpect")
    words = ["-m", "cogmagic", "generate", PROMPT, "--model", str(toy), "--steps", "500"]
    words += ["--size", "384x384"]  # it takes minutes
    environment = os.environ | {"COLUMNS": "120"}
    child = pexpect.spawn(sys.executable, words, timeout=600, env=environment, encoding="utf-8")
    child.expect(r"denoise · \d+/500")
    child.sendintr()  # as Ctrl-C does
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert "Traceback" not in child.before
    last = child.before.splitlines()[-1]
    assert last == "Cancelled: Stopped. The run's memory has been freed."
    assert list(cwd.iterdir()) == []


COMPLETIONS = [
    ("cogmagic ge", ["generate"]),
    ("cogmagic plan --mod", ["--model"]),
    ("cogmagic plan --model 5b", ["5b", "5b-i2v"]),
    ("cogmagic generate 'a fox' --spe", ["--speed"]),
    ("cogmagic generate 'a fox' --speed f", ["fast", "faster"]),
    ("cogmagic plan --gpu 'RTX 509", ["RTX 5090"]),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
def test_completion(line: str, expected: list[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "cogmagic"], env=environment, check=True)
    offered = answer.read_text().split("\n")
    assert set(expected) <= {offer.replace("\\", "").strip() for offer in offered}
