"""The magics in a real IPython shell: help, verbs, options, errors, output, completion, leaving."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.utils.capture import capture_output

from cogmagic import CogMagicError, OutputError, RequestError, TierError, Video
from cogmagic._api.options import OPTIONS
from cogmagic._html import MARK, VOLATILE
from cogmagic._notebook.completion import complete
from cogmagic._notebook.verbs import VERBS
from cogmagic._session.session import session as current
from cogmagic._video.mp4 import read_metadata

PROMPT = "a red circle moves to the right"
LONG = " ".join(["a red circle moves to the left"] * 3)


def cell(folder: Path, options: str = "", body: str = PROMPT) -> str:
    """A cell that makes a small clip in one step."""
    return f"%%cogvideo --model '{folder}' --size 48x32 --frames 9 --steps 1 {options}\n{body}"


def displayed(shell: Any, source: str) -> list[dict[str, str]]:
    """The MIME bundles that a cell displays, in order."""
    with capture_output(stderr=False) as captured:
        shell.run(source)
    return [output.data for output in captured.outputs]


def printed(shell: Any, source: str) -> str:
    with capture_output(stderr=False, display=False) as captured:
        shell.run(source)
    return str(captured.stdout)


# Loading


def test_loading_imports_neither_torch_nor_diffusers() -> None:
    program = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(history_length=0)
before = set(sys.modules)
shell.run_line_magic("load_ext", "cogmagic")
shell.run_line_magic("cogvideo", "--help")
shell.run_line_magic("cogvideo", "plan --model 5b")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = set(json.loads(run.stdout.splitlines()[-1]))
    assert "cogmagic" in loaded
    heavy = {"torch", "diffusers", "transformers", "accelerate", "av", "numpy", "PIL", "ipywidgets"}
    assert not loaded & heavy


def test_unloading_leaves_nothing_behind(shell: Any) -> None:
    magics = shell.magics_manager

    def state() -> list[Any]:
        return [
            sorted(magics.magics["line"]),
            sorted(magics.magics["cell"]),
            sorted(magics.registry),
            [type(c).__name__ for c in shell.configurables],
            len(shell.Completer.custom_matchers),
            sorted(t.name for t in threading.enumerate()),
        ]

    shell.run("%unload_ext cogmagic")
    without = state()
    assert not any("cogvideo" in str(part).lower() for part in without)
    shell.run("%load_ext cogmagic")
    once = state()
    assert "cogvideo" in once[0]
    assert "cogvideo" in once[1]
    for _ in range(3):
        shell.run("%reload_ext cogmagic")
    assert state() == once
    shell.run("%unload_ext cogmagic")
    assert state() == without
    with pytest.raises(UsageError):
        shell.run("%cogvideo status")


def test_unloading_lets_go_of_the_pipeline(shell: Any, toy: Path) -> None:
    shell.run(cell(toy))
    assert current().loaded
    shell.run("%unload_ext cogmagic")
    assert current().loaded is None


# Help and verbs


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
    ],
)
def test_the_manual_in_every_way_to_ask(shell: Any, source: str) -> None:
    text = printed(shell, source)
    assert "usage: %%cogvideo [options]" in text
    assert "\n    %%cogvideo --seed 7\n" in text
    for option in OPTIONS:
        assert all(flag in text for flag in option.flags)
    assert all(f"%cogvideo {verb}" in text for verb in VERBS)


def test_the_examples_of_the_manual_parse(shell: Any) -> None:
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


def test_status_and_models_are_marked_as_volatile(shell: Any) -> None:
    for verb in ("status", "models"):
        bundle = shell.run(f"%cogvideo {verb}")._repr_mimebundle_()
        assert bundle["text/html"].startswith(f'<div class="{VOLATILE}">')
        assert all(line.startswith(MARK) for line in bundle["text/plain"].splitlines())


def test_plan_tells_the_tier_and_why_without_a_download(shell: Any) -> None:
    plan = printed(shell, "%cogvideo plan --model 5b")
    assert "5b (zai-org/CogVideoX-5b)" in plan
    assert "49 frames of 720x480" in plan
    assert "why " in plan
    assert "81 frames" in printed(shell, "%cogvideo  plan\t--model 1.5-5b-i2v")


def test_a_dry_run_runs_nothing(shell: Any, toy: Path, cwd: Path) -> None:
    plan = printed(shell, cell(toy, "--tier model --dry-run --out fox --save clips/"))
    assert "tier     model" in plan
    assert "1 steps" in plan
    assert "fox" not in shell.user_ns
    assert current().loaded is None
    assert list(cwd.iterdir()) == []


# Errors


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--stepps 3", "Unknown option --stepps. Did you mean '--steps'?"),
        ("--tire=none", "Unknown option --tire=none. Did you mean '--tier'?"),
        ("--num-inference 3", "Did you mean '--num-inference-steps'?"),
        ("--steps 3 --num-inference-steps 4", "given twice. See %cogvideo --help"),
        ("--truncate --truncate", "--truncate is given twice"),
        ("--seed x", "invalid int value: 'x'"),
        ("--seed", "expected one argument"),
        ("--size 720", "'720' is not a size like 720x480"),
        ("a red fox", "'a' is not an option; the prompt goes into the cell's body"),
        ("--negative-prompt 'blurred", "A quote is not closed in: --negative-prompt 'blurred"),
        ("--out fox.mp4", "not a variable's name. To name the file: --save fox.mp4"),
        ("--out my-fox", "--out my-fox: that is not a variable's name."),
        ("--out for", "--out for: that is not a variable's name."),
        ("--model tinny", "Did you mean 'tiny'?"),
        ("--model 5b --num-frames 50", "Nearest: --num-frames 49."),
        ("--model ./nowhere", "No folder at ./nowhere."),
        ("--tier modle", "Unknown tier 'modle'. Did you mean 'model'?"),
        ("--dtype float8", "Choose from: float16, bfloat16, float32"),
    ],
)
def test_a_bad_line_is_one_line_and_touches_nothing(
    shell: Any, cwd: Path, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    with pytest.raises(CogMagicError) as raised:
        shell.run(f"%%cogvideo {line}\n{PROMPT}")
    shown = capsys.readouterr()
    assert says in str(raised.value)
    assert shown.out == f"{type(raised.value).__name__}: {raised.value}\n"
    assert shown.err == ""
    assert list(cwd.iterdir()) == []
    assert current().loaded is None


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("staus", "Unknown verb 'staus'. Did you mean 'status'?"),
        ("a red fox", "A video is made by a cell that begins with %%cogvideo."),
        ("status now", "%cogvideo status takes no options, but got 'now'."),
        ("plan a fox", "'a' is not an option"),
    ],
)
def test_a_bad_verb(shell: Any, line: str, says: str) -> None:
    with pytest.raises(RequestError) as raised:
        shell.run(f"%cogvideo {line}")
    assert says in str(raised.value)


def test_an_empty_prompt(shell: Any, cwd: Path) -> None:
    with pytest.raises(RequestError, match="The prompt is empty"):
        shell.run("%%cogvideo --seed 1\n  \n")
    with pytest.raises(UsageError, match="cell body is empty"):  # IPython's own
        shell.run("%%cogvideo --seed 1")
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize(
    ("save", "says"),
    [
        ("fox.avi", "--save fox.avi: the file must end in .mp4, or be a folder."),
        ("there", "--save there: the file must end in .mp4"),
        ("missing/fox.mp4", "there is no folder missing. Make it first."),
        ("missing/", "there is no folder missing. Make it first."),
        ("there.mp4", "there.mp4 is there already. Choose another name, or add --overwrite."),
        ("there.mp4/fox.mp4", "there is no folder there.mp4."),
        ("/proc/fox.mp4", "/proc cannot be written"),
    ],
)
def test_a_place_that_cannot_take_the_video_is_refused_before_loading(
    shell: Any, toy: Path, cwd: Path, save: str, says: str
) -> None:
    (cwd / "there.mp4").write_bytes(b"kept")
    with pytest.raises(OutputError) as raised:
        shell.run(cell(toy, f"--save {save}"))
    assert says in str(raised.value)
    assert [p.name for p in cwd.iterdir()] == ["there.mp4"]
    assert (cwd / "there.mp4").read_bytes() == b"kept"
    assert current().loaded is None


def test_a_prompt_over_the_limit_names_the_words_it_would_lose(
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


def test_an_error_in_the_run_leaves_no_file(
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


def test_long_errors_on_request(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.run("%config CogMagic.short_errors = False")
    with pytest.raises(TierError):
        shell.run(f"%%cogvideo --model 5b --tier modle --dry-run\n{PROMPT}")
    shown = capsys.readouterr().out
    assert shown.startswith("Traceback (most recent call last):\n")
    assert "checks.py" in shown
    assert (
        shown.rstrip()
        .splitlines()[-1]
        .endswith("Choose from: auto, none, model, stream, staged, sequential, balanced.")
    )


# Output


def test_out_holds_a_small_video_that_is_shown_too(shell: Any, toy: Path, cwd: Path) -> None:
    (bundle,) = displayed(shell, cell(toy, "--seed 7 --out fox --fps 12"))
    video = shell.user_ns["fox"]
    assert isinstance(video, Video)
    assert video.path.is_file()
    assert [p.name for p in cwd.iterdir()] == [video.path.name]
    frames = video.frames()
    assert frames.shape == (9, 32, 48, 3)
    assert frames.dtype == np.uint8
    assert (video.seed, video.fps) == (7, 12)
    assert 'src="data:video/mp4;base64,' in bundle["text/html"]
    assert 'aria-label="9 frames of 48×32 at 12 fps"' in bundle["text/html"]
    assert bundle["text/plain"].startswith(MARK)


def test_only_the_names_that_were_asked_for_appear(shell: Any, toy: Path) -> None:
    before = set(shell.user_ns)
    assert shell.run(cell(toy)) is None
    assert set(shell.user_ns) - before <= {"_i", "_ii", "_iii", "_i1", "_i2", "_i3"}


def test_save_to_a_file_a_folder_and_over_a_file(shell: Any, toy: Path, cwd: Path) -> None:
    (cwd / "my clips").mkdir()
    shell.run(cell(toy, "--seed 1 --save fox.mp4"))
    shell.run(cell(toy, '--seed 1 --save "my clips"'))
    (inside,) = (cwd / "my clips").iterdir()
    assert inside.name.startswith("cogvideo-")
    assert inside.name.endswith("-1.mp4")
    shell.run(cell(toy, "--seed 2 --save fox.mp4 --overwrite"))
    assert read_metadata(cwd / "fox.mp4")["seed"] == 2
    assert sorted(p.name for p in cwd.iterdir()) == ["fox.mp4", "my clips"]


def test_the_body_is_literal_and_the_line_is_not(shell: Any, toy: Path, cwd: Path) -> None:
    body = 'a {seed} $seed <b onclick="x()">red</b> & \\n %d circle'
    shell.user_ns["seed"] = 5
    shell.run(cell(toy, "--truncate --seed {seed} --save fox.mp4 --out fox", body))
    assert shell.user_ns["fox"].prompt == body
    assert read_metadata(cwd / "fox.mp4")["prompt"] == body
    assert shell.user_ns["fox"].seed == 5


def test_html_in_names_is_escaped(shell: Any, toy: Path) -> None:
    name = "<i onclick=x>.mp4"
    shell.run("%config CogMagic.embed_limit_mb = 0")
    (player,) = displayed(shell, cell(toy, f'--save "{name}" --out fox', "a <i>red</i> circle"))
    (whole,) = displayed(shell, "display(fox)")
    for html in (player["text/html"], whole["text/html"]):
        assert "<i" not in html
        assert 'src="data:video' not in html
    assert "&lt;i onclick=x&gt;.mp4" in whole["text/html"]


@pytest.mark.parametrize("kind", ["PIL", "array", "path"])
def test_an_image_by_variable_or_path(shell: Any, toy_i2v: Path, cwd: Path, kind: str) -> None:
    from PIL import Image

    image = Image.new("RGB", (96, 96), "red")
    shell.user_ns["frame"] = image if kind == "PIL" else np.asarray(image)
    image.save(cwd / "first frame.png")
    value = "'first frame.png'" if kind == "path" else "frame"
    shell.run(cell(toy_i2v, f"--image {value} --out clip"))
    assert shell.user_ns["clip"].frames().shape == (9, 32, 48, 3)


def test_an_image_that_is_neither(shell: Any, toy_i2v: Path, toy: Path) -> None:
    with pytest.raises(RequestError, match="No image at frame"):
        shell.run(cell(toy_i2v, "--image frame"))
    with pytest.raises(RequestError, match="needs a first frame"):
        shell.run(cell(toy_i2v))
    with pytest.raises(RequestError, match="takes no image"):
        shell.run(cell(toy, "--image frame"))


# Defaults


def test_the_line_goes_before_the_kernels_defaults(shell: Any, toy: Path, cwd: Path) -> None:
    (cwd / "clips").mkdir()
    shell.run(f'%config CogMagic.model = "{toy}"')
    shell.run('%config CogMagic.tier = "model"')
    shell.run('%config CogMagic.save = "clips"')
    shell.run(f"%%cogvideo --frames 9 --steps 1 --out one\n{PROMPT}")
    shell.run(f"%%cogvideo --frames 9 --steps 1 --tier none --save here.mp4 --out two\n{PROMPT}")
    one, two = shell.user_ns["one"], shell.user_ns["two"]
    assert (one.report.tier, one.path.parent.name) == ("model", "clips")
    assert (two.report.tier, two.path.name) == ("none", "here.mp4")


def test_a_bad_default_is_refused(shell: Any, caplog: pytest.LogCaptureFixture) -> None:
    shell.run('%config CogMagic.tier = "sequential"')
    shell.run('%config CogMagic.tier = "modle"')  # IPython logs what the trait refuses
    assert "Unknown tier 'modle'. Did you mean 'model'?" in caplog.text
    assert "tier     sequential" in printed(shell, "%cogvideo plan")


# Completion


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("%%cogvideo --st", {"--steps"}),
        ("%%cogvideo --num-f", {"--num-frames"}),
        (
            "%%cogvideo --tier ",
            {"auto", "none", "model", "stream", "staged", "sequential", "balanced"},
        ),
        ("%%cogvideo --tier mo", {"model"}),
        ("%%cogvideo --seed 3 --tier s", {"sequential", "stream", "staged"}),
        ("%%cogvideo --model 1", {"1.5-5b", "1.5-5b-i2v"}),
        ("%%cogvideo --scheduler d", {"ddim", "dpm"}),
        ("%cogvideo st", {"status"}),
        ("%cogvideo ", set(VERBS)),
        ("%cogvideo plan --dt", {"--dtype"}),
    ],
)
def test_completion_of_options_values_and_verbs(shell: Any, line: str, offers: set[str]) -> None:
    with provisionalcompleter():
        found = list(shell.Completer.completions(f"{line}\n{PROMPT}", len(line)))
    assert {c.text for c in found} == offers
    typed = "" if line.endswith(" ") else line.split()[-1]
    assert all(line[c.start : c.end] == typed for c in found)


def test_completion_offers_each_option_once() -> None:
    found = complete("%%cogvideo --steps 3 --")
    assert found is not None
    assert not {"--steps", "--num-inference-steps"} & set(found[1])


@pytest.mark.parametrize(
    "line", ["", "%%cogvideo", "%cogvid", "x = 3", "%%cogvideo --save ", "print --st"]
)
def test_completion_leaves_the_rest_to_others(line: str) -> None:
    assert complete(line) is None


def test_completion_leaves_the_prompt_alone(shell: Any) -> None:
    text = "%%cogvideo\n--st"
    with provisionalcompleter():
        found = {c.text for c in shell.Completer.completions(text, len(text))}
    assert "--steps" not in found


def test_gpus_of_this_machine_are_a_default_of_the_kernel(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.gpus = '3'")
    with pytest.raises(RequestError, match="there is no GPU '3'"):
        shell.run("%cogvideo plan")
    with pytest.raises(RequestError, match=r"There is none to use; leave it out\."):
        shell.run("%%cogvideo\na red circle")
    shell.run("%cogvideo plan --model 5b --gpu 'RTX 3060'")  # another machine has others
    shell.run("%cogvideo plan --model 5b --gpu 'RTX 3090 + RTX 3060' --gpus 1")
    shell.run("%cogvideo plan --model 5b --which-gpu")
    said = capsys.readouterr().out
    assert "on RTX 3060 (" in said
    assert "RTX 3090 (" not in said
