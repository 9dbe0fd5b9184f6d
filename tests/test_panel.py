"""The panel's parts, and its buttons as Python presses them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from IPython.utils.text import DollarFormatter
from PIL import Image

import cogmagic
from cogmagic import Machine
from cogmagic._api.options import parse_line
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.html import bars, recommendation
from cogmagic._notebook.panel.parts import Marks, player
from cogmagic._notebook.panel.sampler import Sample, Sampler, Vitals
from cogmagic._notebook.panel.widget import Panel, close_panel, the_panel
from cogmagic._session.session import Session
from cogmagic._units import GIB

PROMPT = "a red circle moves right"


@pytest.fixture
def panel(cwd: Path, session: Session) -> Iterator[Panel]:
    made = the_panel({})
    yield made
    close_panel()


def wait(panel: Panel) -> None:
    job = panel._job
    if job is not None:
        job.join(60)


def start(panel: Panel, model: Path | str = "tiny", **values: Any) -> None:
    panel.fields.inputs["model"].value = str(model)
    for name, value in ({"prompt": PROMPT, "num_inference_steps": 2} | values).items():
        panel.fields.inputs[name].value = value
    assert not panel.generate.disabled, panel.fields.check()
    panel.generate.click()


def test_a_gpu_as_a_bar() -> None:
    gpu = replace(
        Machine.of("RTX 3060").gpus[0],
        total=12 * GIB, free=5 * GIB, reserved=4 * GIB, allocated=3 * GIB,
    )  # fmt: skip
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060", ram=32))
    sample = Sample((gpu,), Machine.of(ram=32).ram, (Vitals(61, 120.4),), {0: 2 * GIB})
    first, ram = bars(sample, plan, {0: 6 * GIB})["bars"]
    parts = {words: nbytes / GIB for _, nbytes, words in first["parts"]}
    assert parts == {
        "this kernel: weights": 2, "this kernel: the rest": 2, "others about": 3, "free": 5,
    }  # fmt: skip
    assert sum(parts.values()) == 12
    assert (first["mark"], first["ghost"]) == (6 * GIB, plan.peak_vram)
    assert first["note"].endswith("61 °C · 120 W")
    assert ram["ghost"] == plan.peak_ram


def test_a_need_is_shown_on_the_gpus_that_would_be_used() -> None:
    machine = Machine.of("RTX 3090 + RTX 4090", ram=64)
    for options, used in (({"tier": "stream"}, [0]), ({"gpus": "1"}, [1]), ({}, [0, 1])):
        plan = cogmagic.plan(model="5b", machine=machine, **options)
        found = bars(Sample(machine.gpus), plan, {})["bars"]
        assert [i for i, bar in enumerate(found) if bar["ghost"]] == used


def test_what_is_unknown_is_left_out() -> None:
    gpu = replace(Machine.of("RTX 3060").gpus[0], total=None, free=None, reserved=None)
    found = bars(Sample((gpu,)), None, {})
    assert len(found["bars"]) == 1
    assert all(part[1] is not None for part in found["bars"][0]["parts"])
    assert bars(Sample(note="3 GPUs hidden"), None, {}) == {"bars": [], "said": "3 GPUs hidden"}
    assert "runs on the CPU" in bars(Sample(), None, {})["said"]


def test_the_recommendation_names_every_candidate_and_the_rule() -> None:
    plan = cogmagic.plan(model="5b", machine=Machine.of("RTX 3060", ram=32))
    html = recommendation(replace(plan, reason="<b>"))
    assert "&lt;b&gt;" in html
    for candidate in plan.candidates:
        assert f'<th scope="row">{candidate.tier}</th>' in html
    assert "The published rule says sequential" in html
    assert "lacks" in html


def test_a_gpu_that_is_not_there_is_said_beside_its_field(panel: Panel) -> None:
    panel.fields.inputs["prompt"].value = PROMPT
    for named, said in (("7", "there is no GPU &#x27;7&#x27;"), ("0,", "name GPUs by index")):
        panel.fields.inputs["gpus"].value = named
        assert said in panel.fields.wrong["gpus"].value
        assert panel.generate.disabled
    panel.fields.inputs["gpus"].value = ""
    assert not panel.generate.disabled


def test_the_sampler_reads_while_it_is_wanted_and_ends_when_it_is_closed() -> None:
    told: list[Sample] = []
    now = [0.0]

    def read() -> Sample:
        now[0] += 1.0
        if len(told) == 2:
            raise OSError("the GPU is gone")
        return Sample()

    sampler = Sampler(read, told.append, interval=0.001, clock=lambda: now[0])
    assert threading.active_count() == len(threading.enumerate())
    before = set(threading.enumerate())
    sampler.want(True)
    until = time.monotonic() + 20
    while len(told) < 5 and time.monotonic() < until:
        time.sleep(0.001)
    assert len(told) >= 5  # the error did not end it
    assert told[2].note == "Memory cannot be read now: the GPU is gone"
    sampler.want(False)
    time.sleep(0.05)
    paused = len(told)
    time.sleep(0.05)
    assert len(told) <= paused + 1
    sampler.close()
    assert set(threading.enumerate()) <= before
    sampler.want(True)
    assert set(threading.enumerate()) <= before


words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
words = words.filter(lambda word: word != "--")  # which some versions of argparse lose


@settings(max_examples=600, deadline=None)
@example(save="$ $a $$a {a} {{a}}", negative="-$.", seed=1, fp8=True)
@given(words, words, st.integers(0, 2**31), st.booleans())
def test_a_cell_says_what_it_was_made_of(save: str, negative: str, seed: int, fp8: bool) -> None:
    text = save + negative
    assume("$" not in text or not set(text) & set("'\""))  # IPython's rule looks at all quotes
    options = {"width": 720, "height": 480, "save": save, "negative_prompt": negative}
    options |= {"seed": seed, "fp8": fp8, "vram_limit": 10 * GIB, "dtype": None}
    first, _, body = as_cell("a {prompt} $HOME", options).partition("\n")
    assert body == "a {prompt} $HOME"
    # As IPython does before a magic gets its line.
    line = DollarFormatter().vformat(first.removeprefix("%%cogvideo "), (), {"prompt": "no"})
    found = parse_line(line, "%%cogvideo")
    expected = {k: v for k, v in options.items() if v not in (None, "") and v is not False}
    assert found == expected


def test_only_what_the_model_takes_can_be_entered(panel: Panel) -> None:
    fields = panel.fields
    assert panel.generate.disabled  # no prompt yet
    fields.inputs["prompt"].value = PROMPT
    assert not panel.generate.disabled
    fields.inputs["model"].value = "1.5-5b-i2v"
    assert fields.inputs["num_frames"].value == 81
    assert "needs a first frame" in fields.wrong["image"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5b"
    assert (fields.inputs["width"].value, fields.inputs["height"].value) == (720, 480)
    assert not panel.generate.disabled
    fields.inputs["width"].value = 721
    assert "multiples of 16" in fields.wrong["height"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5bb"
    assert "Did you mean" in fields.wrong["model"].value or "Unknown" in fields.wrong["model"].value
    assert panel.advice.value == ""
    fields.inputs["model"].value = "tiny"
    before = fields.inputs["seed"].value
    fields.die.click()
    assert fields.inputs["seed"].value != before


def test_a_tier_that_cannot_be_is_said_in_the_panel(panel: Panel) -> None:
    panel.fields.inputs["prompt"].value = PROMPT
    panel.fields.inputs["tier"].value = "balanced"
    assert "several GPUs" in panel.fields.wrong["tier"].value
    assert panel.advice.value == ""
    assert panel.generate.disabled
    panel.fields.inputs["tier"].value = "auto"
    assert panel.fields.wrong["tier"].value == ""
    assert not panel.generate.disabled


def test_numbers_are_taken_as_typed_and_what_is_wrong_is_beside_them(panel: Panel) -> None:
    inputs = panel.fields.inputs
    inputs["prompt"].value = PROMPT
    for name, legal, wrong, said in (
        ("seed", str(2**64 - 1), str(2**64), "2^64 - 1"), ("seed", "7", "x", "whole number"),
        ("fps", 100, 121, "1 to 120"), ("num_inference_steps", 1000, 0, "1 to 1000"),
        ("guidance_scale", 20.0, 20.5, "1 (no guidance) to 20"),
        ("vram_limit", 0.5, 0.4, "0.5 to 4096"), ("vram_limit", 0.0, -1.0, "0.5 to 4096"),
    ):  # fmt: skip
        inputs[name].value = legal
        assert not panel.generate.disabled, panel.fields.check()
        inputs[name].value = wrong
        assert inputs[name].value == wrong
        assert said in panel.fields.wrong[name].value
        assert panel.generate.disabled
        inputs[name].value = legal
    assert panel.fields.options()["seed"] == 7


def test_a_model_is_looked_for_once(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def missing(name: str) -> None:
        asked.append(name)
        raise cogmagic.CheckpointError("not there")

    monkeypatch.setattr("cogmagic._notebook.panel.fields.find_model", missing)
    panel.fields.inputs["model"].value = "someone/something"
    for seed in "123":
        panel.fields.inputs["seed"].value = seed
    assert asked == ["someone/something"]
    assert "not there" in panel.fields.wrong["model"].value
    monkeypatch.setattr("cogmagic._notebook.panel.fields._AGAIN", 0.0)
    panel.refresh()
    assert len(asked) > 1


def test_the_kernels_defaults_are_the_panels(shell: Any, cwd: Path, session: Session) -> None:
    shell.run_line_magic("load_ext", "cogmagic")
    for line in ("model = '2b'", "vram_limit = 10", "keep = 'cold'", "save = 'videos'"):
        shell.run_line_magic("config", f"CogMagic.{line}")
    shell.run_line_magic("cogvideo", "panel")
    options = the_panel().fields.options()
    expected = {"model": "2b", "vram_limit": 10 * GIB, "keep": "cold", "save": "videos"}
    assert {name: options[name] for name in expected} == expected
    assert the_panel().fields.names is shell.user_ns
    close_panel()


def test_the_recommendation_follows_each_gpu(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(panel, "refresh", lambda: made.append(1))
    gpu = Machine.of("RTX 3060").gpus[0]

    def free(*amounts: int) -> None:
        panel._sampled(Sample(tuple(replace(gpu, free=n * GIB) for n in amounts)))

    free(4, 8)
    free(4, 8)
    assert len(made) == 1
    free(8, 4)  # as much altogether
    assert len(made) == 2
    panel._sampled(Sample(note="the driver is gone"))
    assert len(made) == 3
    assert panel.meter.sample["said"] == "the driver is gone"
    before = panel.meter.sample["tick"]
    panel._sampled(Sample(note="the driver is gone"))
    assert panel.meter.sample["tick"] == before + 1


def test_the_mark_is_the_highest_of_all_phases() -> None:
    marks = Marks()
    for held in ({0: 3}, {0: 7, 1: 2}, {0: 5}):
        marks.raise_to(held)
    assert marks.bytes == {0: 7, 1: 2}


def test_a_run_its_result_and_its_settings(panel: Panel, toy: Path, cwd: Path) -> None:
    start(panel, toy, seed="7", num_frames=9)
    wait(panel)
    assert panel.status.value == ""
    assert "<video" in panel.result.value
    assert "seed 7" in panel.result.value
    assert panel.tokens.value.endswith(f" of {panel.fields.model().max_tokens} tokens</div>")  # type: ignore[union-attr]
    panel.fields.inputs["seed"].value = "8"
    panel.fields.inputs["model"].value = "5b"
    panel.cancel.click()
    assert panel.status.value == "", "what has ended cannot be stopped"
    *_, again, copy = panel.strip.children[0].children
    again.click()
    assert panel.fields.inputs["seed"].value == "7"
    assert panel.fields.inputs["model"].value == str(toy)
    assert panel.fields.inputs["num_frames"].value == 9
    copy.click()
    assert panel.cell.value.endswith(f"\n{PROMPT}")
    assert "--seed 7" in panel.cell.value
    assert panel.meter.copied.endswith(panel.cell.value)
    panel.release.click()
    assert panel.status.value.startswith("Freed")


def test_a_run_is_cancelled_and_others_are_refused(panel: Panel, toy: Path, cwd: Path) -> None:
    start(panel, toy, num_inference_steps=900)
    assert panel.generate.disabled
    until = time.monotonic() + 60
    while "denoise" not in panel.status.value and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(cogmagic.BusyError):
        cogmagic.generate(PROMPT, model=str(toy))
    panel.cancel.click()
    wait(panel)
    assert panel.status.value.startswith("Stopped")
    assert not panel.generate.disabled
    assert panel.cancel.disabled
    assert list(cwd.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("broken <b>"), cogmagic.OutputError("no disk")])
def test_errors_appear_in_the_panel(
    panel: Panel, toy: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("cogmagic._api.generate.generate", fail)
    start(panel, toy)
    wait(panel)
    assert "cogmagic-wrong" in panel.status.value
    assert "<b>" not in panel.status.value
    monkeypatch.setattr("cogmagic._api.kernel.release", fail)
    panel.release.click()
    assert "cogmagic-wrong" in panel.status.value


def test_a_run_that_is_cancelled_before_it_begins_does_not_run(
    panel: Panel, toy: Path, cwd: Path
) -> None:
    panel.fields.inputs["model"].value = str(toy)
    panel.fields.inputs["prompt"].value = PROMPT
    panel.generate.click()
    panel.cancel.click()
    wait(panel)
    assert panel.status.value.startswith("Stopped")
    assert list(cwd.iterdir()) == []


def test_closing_stops_a_run(panel: Panel, toy: Path, cwd: Path) -> None:
    start(panel, toy, num_inference_steps=900)
    job = panel._job
    assert job is not None
    close_panel()
    assert not job.is_alive()
    assert cogmagic.cancel() == "Nothing is running."


def upload(panel: Panel, data: bytes) -> None:
    file = {"name": "a.png", "type": "image/png", "size": 3, "last_modified": datetime.now(UTC)}
    panel.fields.upload.value = ({**file, "content": memoryview(data)},)


def test_an_upload_becomes_a_variable_that_a_cell_can_name(panel: Panel) -> None:
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    fields.inputs["model"].value = "5b-i2v"
    upload(panel, b"no!")
    assert "not a picture" in fields.wrong["image"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5b"
    assert not panel.generate.disabled
    fields.inputs["model"].value = "5b-i2v"
    out = BytesIO()
    Image.new("RGB", (64, 64), (255, 0, 0)).save(out, "PNG")
    upload(panel, out.getvalue())
    assert fields.wrong["image"].value == ""
    assert not panel.generate.disabled
    assert fields.inputs["image"].value == "first_frame"
    assert fields.options()["image"] is fields.names["first_frame"]
    assert "--image first_frame " in as_cell(PROMPT, fields.entered())
    upload(panel, out.getvalue())
    assert fields.inputs["image"].value == "first_frame_2"
    fields.inputs["model"].value = "5b"  # takes none
    assert not panel.generate.disabled
    assert fields.options()["image"] is None
    assert "--image" not in as_cell(PROMPT, fields.entered())
    fields.inputs["model"].value = "5b-i2v"
    fields.inputs["image"].value = ""
    assert "needs a first frame" in fields.wrong["image"].value


def test_a_text_of_several_lines_is_one_in_a_cell() -> None:
    cell = as_cell("one\ntwo", {"negative_prompt": "dark\nblurred"})
    assert cell == '%%cogvideo --negative-prompt "dark blurred"\none\ntwo'


def test_a_large_video_plays_and_a_huge_one_is_named(
    panel: Panel, toy: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = cogmagic.generate(PROMPT, model=str(toy), num_inference_steps=1)
    assert 'src="data:video/mp4' in player(replace(video, embed_limit=0))
    monkeypatch.setattr("cogmagic._notebook.panel.parts._PLAYED", 10)
    assert "too large" in player(video)
    assert video.path.name in player(video)
    video.path.unlink()
    assert "no longer there" in player(video)


def test_there_is_one_panel_and_leaving_closes_it(shell: Any, session: Session) -> None:
    before = set(threading.enumerate())
    first = cogmagic.panel()
    assert cogmagic.panel() is first
    assert repr(first) == "[cogmagic] panel"
    the_panel().meter.visible = True
    assert {t.name for t in set(threading.enumerate()) - before} == {"cogmagic-sampler"}
    shell.run_line_magic("unload_ext", "cogmagic")
    assert set(threading.enumerate()) <= before
    assert first.comm is None
    shell.run_line_magic("load_ext", "cogmagic")
    assert cogmagic.panel() is not first
    close_panel()
