"""The live line outside notebooks: in a terminal, in a pipe, in IPython's own terminal."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, OutputError
from cogmagic._api.displays import TerminalDisplay
from cogmagic._html import volatile_bundle
from tests.helpers.benchmarks import ROOT
from tests.helpers.toy import PROMPT, QUICK


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Closed(io.StringIO):
    """A stderr whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


UNKNOWN = "a photorealistic cat playing piano"
"""A prompt of which the model knows one word."""
FACTS = r"tier none \(no GPU: nothing is offloaded\) · .* · seed 7 · fox\.mp4\n"


def make(toy: Path, **options: Any) -> cogmagic.Video:
    given = QUICK | {"save": "fox.mp4", "seed": 7, "overwrite": True, "prompt": PROMPT} | options
    return cogmagic.generate(model=str(toy), **given)


def test_script_in_a_terminal_shows_progress_and_then_the_facts(
    toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    make(toy)
    assert isinstance(sys.stderr, Terminal)
    *line, facts = sys.stderr.getvalue().split("\r")
    texts = [text[11:].strip() for text in line if text.strip()]
    phases = list(dict.fromkeys(text.split()[0] for text in texts))
    assert phases == ["starting…", "load", "encode", "denoise", "decode", "save"]
    assert "█" in sys.stderr.getvalue()
    assert re.fullmatch(FACTS, facts)
    assert capsys.readouterr().out == ""


def test_terminal_prints_the_warning_once_on_its_own_line(
    toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", terminal := Terminal())
        video = make(toy, prompt=UNKNOWN)
    shown = terminal.getvalue()
    assert f"\rwarning: {video.report.warning}\n" in shown
    assert shown.count("does not know") == 1
    assert shown.endswith(" · seed 7 · fox.mp4\n")
    make(toy, prompt=UNKNOWN)  # not a terminal: it is below the facts
    assert capsys.readouterr().err.endswith(f" · fox.mp4\nwarning: {video.report.warning}\n")


def test_cell_has_the_warning_on_its_own_line_and_names_unbroken() -> None:
    shown = volatile_bundle("seed 7 · my-fox-7.mp4", "no --word <unk>")
    text = "[cogmagic] seed 7 · my-fox-7.mp4\n[cogmagic] warning: no --word <unk>"
    assert shown["text/plain"] == text
    assert shown["text/html"].count("<div") == shown["text/html"].count("</div>") == 1
    span = '<span style="display:inline-block;overflow-wrap:anywhere">'
    assert (
        f"seed 7 · {span}my-fox-7.mp4</span><br>warning: no {span}--word</span> &lt;"
        in (shown["text/html"])
    )


def test_terminal_line_ends_with_the_phase_that_failed(
    toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with pytest.raises(OutputError):
        make(toy, save="missing/fox.mp4")
    assert isinstance(sys.stderr, Terminal)
    assert sys.stderr.getvalue().endswith("\rfailed: the run had not begun\n")


def test_stderr_that_is_no_terminal_gets_the_facts_alone(toy: Path, cwd: Path, capsys: Any) -> None:
    with pytest.raises(OutputError):
        make(toy, save="missing/fox.mp4")
    make(toy)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(FACTS, err)


def test_program_can_switch_the_line_off(toy: Path, cwd: Path, capsys: Any) -> None:
    make(toy, progress=False)
    phases: list[str] = []
    make(toy, on_progress=lambda p: phases.append(p.phase))
    assert capsys.readouterr() == ("", "")
    assert phases[-1] == "save"


@pytest.mark.parametrize("stderr", [None, Closed()], ids=["none", "closed"])
def test_run_needs_no_stderr(
    toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    monkeypatch.setattr("sys.stderr", stderr)
    assert make(toy).path.is_file()


def test_plan_is_short_as_a_repr_and_a_table_in_a_cell(shell: Any) -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060"))
    assert len(repr(plan)) < 200
    assert repr(plan).startswith("Plan('5b', 49 frames of 720x480, tier=")
    shown, _ = shell.display_formatter.format(plan)
    assert shown == {"text/plain": str(plan)}
    assert shown["text/plain"].splitlines()[0].split() == [
        "tier", "VRAM", "RAM", "s/step", "total", "fits",
    ]  # fmt: skip
    assert shell.display_formatter.format([plan])[0]["text/plain"] == f"[{plan!r}]"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_terminal_ipython_shows_progress_facts_video_and_plan(toy: Path, cwd: Path) -> None:
    import pexpect

    env = os.environ | {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(cwd / "ipython"),
        "TERM": "xterm",
    }
    command = ["-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
    terminal = pexpect.spawn(
        sys.executable, command, env=env, timeout=600, encoding="utf-8", dimensions=(30, 150)
    )
    terminal.expect(r"In \[1\]: ")
    terminal.sendline("%load_ext cogmagic")
    terminal.expect(r"In \[2\]: ")
    terminal.sendline(f"%%cogvideo --model '{toy}' --size 48x32 --frames 9 --steps 2 --seed 7")
    terminal.sendline(f"{PROMPT}\n\n")
    terminal.expect(r"In \[3\]: ")
    shown = terminal.before
    positions = [
        shown.index(text) for text in ("starting…", "denoise · 2/2", "decode", "\rtier none")
    ]
    assert positions == sorted(positions)
    (name,) = {path.name for path in cwd.glob("*.mp4")}
    assert f"seed 7 · {name}\r\n" in shown
    assert f"[cogmagic] Video('{name}', 9 frames of 48×32 at 8 fps" in shown
    terminal.sendline(f"%%cogvideo --model '{toy}' --size 48x32 --frames 9 --steps 5 --seed 7")
    terminal.sendline(f"{UNKNOWN}\n\n")
    terminal.expect(r"In \[4\]: ")
    warnings = re.findall(r"\rwarning: t2v does not know 4 of 5 words .*?\r\n", terminal.before)
    assert len(warnings) == terminal.before.count("does not know") == 1
    assert terminal.before.index("warning: ") < terminal.before.index("denoise · 5/5")
    terminal.sendline(
        "import cogmagic; cogmagic.plan(model='5b', machine=cogmagic.Machine.of('RTX 3060'))"
    )
    terminal.expect(r"In \[5\]: ")
    assert re.search(r"Out\[4\]: \r\n  tier +VRAM +RAM +s/step +total +fits\r\n", terminal.before)
    terminal.sendline("%%CogVideo")  # answered before the prompt is typed
    terminal.expect(r"RequestError: Unknown magic %%CogVideo. Type %%cogvideo, and on the line")
    terminal.expect(r"In \[6\]: ")
    terminal.sendline("exit")
    terminal.expect(pexpect.EOF)


def test_interrupt_while_the_bar_is_drawn_leaves_it_to_other_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Pressed(Terminal):
        """A terminal in which the user presses Ctrl-C while the bar is drawn."""

        presses = 0

        def write(self, text: str) -> int:
            if "denoise" in text and not self.presses:
                self.presses += 1
                signal.raise_signal(signal.SIGINT)
            return super().write(text)

    monkeypatch.setattr("sys.stderr", Pressed())
    display = TerminalDisplay()
    with pytest.raises(KeyboardInterrupt):
        display.show("denoise 1/2", 0.5)
    other = threading.Thread(target=display.show, args=("denoise 2/2", 1.0), daemon=True)
    other.start()
    other.join(300)
    assert not other.is_alive()
    display.end("done")
