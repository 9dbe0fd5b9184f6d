"""The panel's buttons, pressed from Python."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._notebook.panel.machine.readings import Reading
from cogmagic._notebook.panel.widget import Panel, close_panel, the_panel
from cogmagic._session.session import Session
from cogmagic._units import GIB
from tests.helpers.toy import PROMPT, inputs_for

LONG = {"num_inference_steps": 900, "num_frames": 17, "width": 384, "height": 384}
"""A run of minutes, which is still going on when it is stopped."""


def wait(panel: Panel) -> None:
    job = panel.runs.job
    if job is not None:
        job.join(600)


def start(panel: Panel, model: Path | str = "tiny", **values: Any) -> None:
    panel.fields.inputs["model"].value = str(model)
    for name, value in ({"prompt": PROMPT, "num_inference_steps": 2} | values).items():
        panel.fields.inputs[name].value = value
    assert not panel.generate.disabled, panel.fields.check()
    panel.generate.click()


def test_panel_begins_with_the_defaults_of_the_kernel(
    shell: Any, cwd: Path, session: Session
) -> None:
    shell.run_line_magic("load_ext", "cogmagic")
    for line in ("model = '2b'", "vram_limit = 10", "keep = 'cold'", "save = 'videos'"):
        shell.run_line_magic("config", f"CogMagic.{line}")
    shell.run_line_magic("cogvideo", "panel")
    options = the_panel().fields.options()
    expected = {"model": "2b", "vram_limit": 10 * GIB, "keep": "cold", "save": "videos"}
    assert {name: options[name] for name in expected} == expected
    assert the_panel().fields.given.variables is shell.user_ns
    close_panel()


def test_plan_is_made_again_when_free_memory_of_a_gpu_changes(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr(panel, "refresh", lambda: made.append(1))
    gpu = Machine.of("RTX 3060").gpus[0]

    def free(*amounts: int) -> None:
        panel.watch.take(Reading(tuple(replace(gpu, free=n * GIB) for n in amounts)))

    free(4, 8)
    free(4, 8)
    assert len(made) == 1
    free(8, 4)  # the same sum
    assert len(made) == 2
    panel.watch.take(Reading(note="the driver is gone"))
    assert len(made) == 3
    assert panel.watch.meter.reading["note"] == "the driver is gone"
    before = panel.watch.meter.reading["tick"]
    panel.watch.take(Reading(note="the driver is gone"))
    assert panel.watch.meter.reading["tick"] == before + 1


@pytest.mark.parametrize("kind", ["t2v", "inp"])
def test_run_gives_a_result_that_can_be_repeated(
    panel: Panel, toy_of: dict[str, Path], cwd: Path, kind: str
) -> None:
    toy, given, texts = toy_of[kind], dict[str, Any](), list[str]()
    if inputs := inputs_for(toy):
        panel.fields.given.variables.update(clip=inputs["video"], part=inputs["mask"])
        given = {"video": "clip", "mask": "part"}
    panel.run.status.observe(lambda change: texts.append(change["new"]), "value")
    start(panel, toy, seed="7", num_frames=9, width=48, height=32, **given)
    wait(panel)
    assert any("encode video" in text for text in texts) == bool(given)
    assert panel.run.status.value == ""
    assert "<video" in panel.results.clip.player.value
    assert "seed 7" in panel.results.clip.facts.value
    assert panel.tokens.value.endswith(f" of {panel.fields.model().max_tokens} tokens</div>")  # type: ignore[union-attr]
    panel.fields.inputs["seed"].value = "8"
    panel.fields.inputs["model"].value = "5b"
    panel.cancel.click()
    assert panel.run.status.value == "", "a run that has ended is not cancelled"
    clip = panel.results.clip
    clip.buttons["Use these settings again"].click()
    assert panel.fields.inputs["seed"].value == "7"
    assert panel.fields.inputs["model"].value == str(toy)
    assert panel.fields.inputs["num_frames"].value == 9
    clip.buttons["Copy as a cell"].click()
    expected = f"%%cogvideo --model {toy} --size 48x32 --num-frames 9 --num-inference-steps 2"
    expected += " --seed 7" + " --video clip --mask part" * bool(given)
    assert clip.cell.value.splitlines()[0].startswith(expected)
    assert clip.cell.value.endswith(f"\n{PROMPT}")
    panel.results.gallery.wait()
    assert [t.clip for t in panel.results.gallery.tiles if t.clip] == [clip.clip]
    assert panel.results.gallery.folder.value == "", "the working directory"
    panel.release.click()
    assert panel.run.status.value.startswith("Freed")


def until_denoising(panel: Panel) -> None:
    until = time.monotonic() + 600
    while "denoise" not in panel.run.status.value and time.monotonic() < until:
        time.sleep(0.01)


def test_run_in_a_cell_is_refused_and_the_one_in_the_panel_is_cancelled(
    panel: Panel, toy: Path, cwd: Path
) -> None:
    start(panel, toy, **LONG)
    until_denoising(panel)
    with pytest.raises(cogmagic.BusyError):
        cogmagic.generate(PROMPT, model=str(toy))
    panel.cancel.click()
    wait(panel)
    assert panel.run.status.value.startswith("Stopped")
    assert panel.page.announcement.startswith("Stopped")
    assert not panel.generate.disabled
    assert panel.cancel.disabled
    assert list(cwd.iterdir()) == []


def test_generate_during_a_run_fills_a_queue_that_can_be_edited(
    panel: Panel, toy: Path, cwd: Path
) -> None:
    start(panel, toy, **LONG)
    fields = panel.fields
    for name, value in {"width": 48, "height": 32, "num_frames": 9}.items():
        fields.inputs[name].value = value
    assert panel.generate.description == "Add to queue"
    for steps, prompt in ((1, "first <b>"), (2, "second"), (3, "third"), (1, "fourth")):
        fields.inputs["num_inference_steps"].value = steps
        fields.inputs["prompt"].value = prompt
        panel.generate.click()
    fields.inputs["width"].value = 33
    assert panel.generate.disabled, "a field with an error"
    fields.inputs["width"].value = fields.model().width  # type: ignore[union-attr]

    def queue() -> list[str]:
        return [entry["title"] for entry in panel.queue.entries]

    def act(name: str, title: str) -> None:
        number = next(e["number"] for e in panel.queue.entries if e["title"] == title)
        panel.queue._on_message(None, {"act": name, "number": number}, [])

    assert queue() == ["first <b>", "second", "third", "fourth"]
    act("earlier", "third")
    act("earlier", "first <b>")
    act("later", "fourth")
    assert queue() == ["first <b>", "third", "second", "fourth"]
    act("remove", "fourth")
    act("edit", "third")
    assert (fields.prompt(), fields.inputs["num_inference_steps"].value) == ("third", 3)
    assert queue() == ["first <b>", "second"]
    panel.queue._on_message(None, {"act": "edit", "number": 10**9}, [])  # it has begun since
    assert fields.prompt() == "third"
    until_denoising(panel)
    panel.cancel.click()  # stops the run alone
    wait(panel)
    prompts = [video.prompt for video in panel.results.record._videos]
    assert prompts == ["second", "first <b>"]
    assert queue() == []
    assert panel.generate.description == "Generate"


def test_queue_is_cleared_while_the_run_goes_on(panel: Panel, toy: Path, cwd: Path) -> None:
    start(panel, toy, num_frames=9, num_inference_steps=2)
    panel.generate.click()
    panel.queue._on_message(None, {"act": "clear", "number": 0}, [])
    assert panel.queue.entries == []
    wait(panel)
    assert len(list(cwd.glob("*.mp4"))) == 1


@pytest.mark.parametrize("error", [ValueError("broken <b>"), cogmagic.OutputError("no disk")])
def test_errors_appear_in_the_panel(
    panel: Panel, toy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    may_fail = threading.Event()
    may_fail.set()

    def fail(*_: object, **__: object) -> None:
        may_fail.wait()
        raise error

    monkeypatch.setattr("cogmagic._api.generate.generate", fail)
    start(panel, toy)
    wait(panel)
    assert panel.run.errors.value.count("cogmagic-error") == 1
    assert "<b>" not in panel.run.errors.value
    monkeypatch.setattr("cogmagic._api.kernel.release", fail)
    panel.release.click()
    assert panel.run.errors.value.count("cogmagic-error") == 2
    may_fail.clear()
    start(panel, toy)
    assert panel.run.errors.value == "", "errors of earlier runs"
    may_fail.set()
    wait(panel)


def test_run_cancelled_before_it_begins_does_not_run(panel: Panel, toy: Path, cwd: Path) -> None:
    panel.fields.inputs["model"].value = str(toy)
    panel.fields.inputs["prompt"].value = PROMPT
    panel.generate.click()
    panel.cancel.click()
    wait(panel)
    assert panel.run.status.value.startswith("Stopped")
    assert list(cwd.iterdir()) == []


def test_closing_stops_a_run(panel: Panel, toy: Path, cwd: Path) -> None:
    start(panel, toy, **LONG)
    job = panel.runs.job
    assert job is not None
    close_panel()
    assert not job.is_alive()
    assert cogmagic.cancel() == "Nothing is running."


def test_kernel_has_one_panel_which_unloading_closes(shell: Any, session: Session) -> None:
    before = set(threading.enumerate())
    first = cogmagic.panel()
    assert cogmagic.panel() is first
    assert repr(first) == "[cogmagic] panel"
    the_panel().watch.meter.visible = True
    the_panel().results.gallery.wait()
    own = {t.name for t in set(threading.enumerate()) - before}
    own -= {"cogmagic-models"}  # which the sampler's first reading begins
    assert own == {"cogmagic-sampler"}
    shell.run_line_magic("unload_ext", "cogmagic")
    assert set(threading.enumerate()) <= before
    assert first.comm is None
    shell.run_line_magic("load_ext", "cogmagic")
    assert cogmagic.panel() is not first
    close_panel()


def test_panel_that_the_user_has_closed_is_made_again(panel: Panel) -> None:
    panel.view.close()
    assert the_panel() is not panel
    assert the_panel().view.comm
    assert panel.generate.comm is None


def test_several_clips_have_seeds_counted_up(panel: Panel, toy: Path, cwd: Path) -> None:
    texts: list[str] = []
    panel.run.status.observe(lambda change: texts.append(change["new"]), "value")
    start(panel, toy, seed=str(2**64 - 1), num_frames=9, num_inference_steps=1, num_videos=2)
    wait(panel)
    seeds = sorted(video.stem.rpartition("-")[2] for video in cwd.glob("*.mp4"))
    assert seeds == ["0", str(2**64 - 1)]
    assert any(text.startswith("Starting") for text in texts)
    assert any(text.startswith("clip 2 of 2 · denoise") for text in texts)
    assert panel.fields.options()["seed"] == 2**64 - 1
