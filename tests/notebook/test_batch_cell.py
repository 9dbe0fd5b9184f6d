"""Cells that make several videos: what they store and show, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas
import pytest

import cogmagic
from cogmagic import BatchError, OutputError, RequestError, Videos
from tests.helpers.cells import cell, displayed, printed

EVIL = '<script>alert("x")</script> & a "circle"'


def test_table_of_a_variable_becomes_videos(toy: Path, shell: Any, session: Any) -> None:
    shell.user_ns["frame"] = pandas.DataFrame({"prompt": [EVIL, None], "seed": [1, 2]})
    options = "--prompts frame --out clips --save out --guidance-scale 1"
    shown = displayed(shell, cell(toy, options, "a blue square"))
    clips = shell.user_ns["clips"]
    assert isinstance(clips, Videos)
    assert [(v.prompt, v.seed, v.path.name) for v in clips] == [
        (EVIL, 1, "0001-1.mp4"), ("a blue square", 2, "0002-2.mp4"),
    ]  # fmt: skip
    gallery = shown[-1]["text/html"]
    assert gallery == clips.gallery_html()
    assert "<script>" not in gallery
    assert gallery.count("<figure") == gallery.count('href="out/000') == 2
    assert "&lt;script&gt;alert(" in gallery
    assert "seed 2 · 0002-2.mp4" in gallery
    table = clips.table
    assert list(table.index) == [1, 2]
    assert list(table["seed"]) == [1, 2]
    assert list(table["error"]) == ["", ""]
    assert [p.name for p in clips.contact_sheet] == ["contact-sheet.png"]


def test_seeds_and_default_folder(toy: Path, shell: Any, session: Any) -> None:
    shell.run(cell(toy, "--seeds 5,6 --out clips"))
    clips = shell.user_ns["clips"]
    assert [v.seed for v in clips] == [5, 6]
    assert clips.folder.name.startswith("cogvideo-2")
    for save in ("videos", "videos/fox.gif"):  # each batch has a folder of its own there
        shell.run(f"%config CogMagic.save = '{save}'")
        shell.run(cell(toy, "--num-videos 1 --seed 9 --out clips"))
        assert clips.folder != shell.user_ns["clips"].folder
        clips = shell.user_ns["clips"]
        assert clips.folder.parent == Path("videos").absolute()
        assert [v.seed for v in clips] == [9]


def test_variable_is_set_though_a_row_failed(
    toy: Path, shell: Any, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._session import attempts

    original = attempts.Run.frames

    def fail(run: Any, *rest: Any) -> Any:
        if run.job.request.seed == 2:
            raise cogmagic.NonFiniteError("In step 1 of 1, the transformer computed NaN.")
        return original(run, *rest)

    monkeypatch.setattr(attempts.Run, "frames", fail)
    with pytest.raises(BatchError, match=r"1 of 3 rows failed \(row 2: In step 1 of 1, the"):
        shell.run(cell(toy, "--seeds 1,2,3 --out clips --save out"))
    clips = shell.user_ns["clips"]
    assert clips.failed == {2: "In step 1 of 1, the transformer computed NaN."}
    assert [v.seed for v in clips] == [1, 3]
    assert "row 2: In step 1 of 1" in clips.gallery_html()
    assert list(clips.table["file"].isna()) == [False, True, False]


@pytest.mark.parametrize(
    ("options", "body", "message"),
    [
        ("--seeds 1,2 --num-videos 2", "a fox", "Leave out one of them"),
        ("--seeds 1,2 --seed 3", "a fox", "Leave out --seed."),
        ("--seeds 1,x", "a fox", "'x' is not a whole number"),
        ("--num-videos two", "a fox", "--num-videos takes a whole number, not 'two'"),
        ("--num-videos 0", "a fox", "--num-videos 0 is not a whole number from 1"),
        ("--prompts gone.csv", " ", "--prompts gone.csv: no such file"),
        ("--prompts nothing", " ", "--prompts nothing is neither a variable nor a file"),
        ("--prompts nobody", "a fox", "--prompts nobody: the variable nobody is None"),
        ("--prompts words --overwrite", " ", "A batch never replaces files"),
        ("--prompts words", "a fox", "All 2 rows have prompts of their own"),
        ("--seeds 1,2", " ", "The prompt is empty"),
        ("--batch-size 4", "a fox", "For several videos of a prompt: --num-videos 4"),
    ],
)
def test_wrong_cells_are_refused(
    toy: Path, shell: Any, options: str, body: str, message: str
) -> None:
    shell.user_ns |= {"words": ["a", "b"], "nobody": None}
    with pytest.raises(RequestError) as error:
        shell.run(cell(toy, options, body))
    assert message in str(error.value)
    assert list(Path.cwd().iterdir()) == []


def test_file_for_several_videos_is_refused(toy: Path, shell: Any) -> None:
    with pytest.raises(OutputError, match=r"--save fox.mp4 is one file, but the batch makes 2"):
        shell.run(cell(toy, "--seeds 1,2 --save fox.mp4"))


def test_dry_run_states_rows_and_seconds(shell: Any) -> None:
    shell.user_ns["rows"] = [{"prompt": "a"}, {"prompt": "b", "frames": 17}, {"prompt": "c"}]
    text = printed(shell, "%cogvideo plan --model 5b --prompts rows --gpu 'RTX 4090'")
    last = text.strip().splitlines()[-1]
    assert last.startswith("batch    3 videos, ")
    assert last.endswith(" in all; the table shows the largest of 2 kinds of rows")
    assert "49 frames of 720x480" in text
    line = "%cogvideo plan --model 5b --num-videos 10 --gpu 'RTX 4090' --json"
    plan = json.loads(printed(shell, line))
    assert plan["rows"] == 10
    assert 8 * plan["seconds"] < plan["batch_seconds"] < 10 * plan["seconds"]
    text = printed(shell, "%%cogvideo --num-videos 4 --dry-run\n")
    assert text.strip().splitlines()[-1] == "batch    4 videos, time unknown"
    with pytest.raises(RequestError, match=r"compares cards for one video\. Leave out --seeds"):
        shell.run("%cogvideo plan --which-gpu --seeds 1,2")


def test_plan_of_a_batch_compiles_each_shape_once_and_starts_the_compiler_once() -> None:
    from cogmagic._api.batch.plan_many import plan_batch

    rows = [{"prompt": "a"}, {"prompt": "b", "num_frames": 9}, {"prompt": "c", "steps": 20}]
    machine = cogmagic.Machine.of("RTX 4090", ram=64)
    plan = plan_batch({"model": "5b", "prompts": rows, "machine": machine, "speed": "fast"})
    assert [share.plan.compile_seconds for share in plan.shares] == [18, 5, 0]


def test_plan_counts_the_embeddings_of_a_chunk() -> None:
    from cogmagic._api.batch.plan_many import plan_batch

    machine = cogmagic.Machine.of("RTX 4090", ram=64)

    def ram(count: int) -> int:
        rows = [f"prompt {n}" for n in range(count)]
        options = {"model": "5b", "prompts": rows, "guidance_scale": 1, "machine": machine}
        return plan_batch(options).largest.peak_ram or 0

    text = 226 * 4096 * 2
    assert ram(101) - ram(1) == 100 * text
    assert ram(2000) - ram(1) == 2**30 - text


def test_row_that_does_not_fit_is_refused_before_anything_is_loaded(
    cwd: Path, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._machine.machine import Machine

    small = Machine.of(vram=6, ram=64)
    monkeypatch.setattr(Machine, "detect", lambda **_: small)
    monkeypatch.setattr("cogmagic._models.hub.disk.bytes_to_download", lambda _: 0)
    rows = [{"prompt": "a", "frames": 17}, {"prompt": "b"}, {"prompt": "c", "frames": 17}]
    match = r"^Row 2: 1\.5-5b at 1360x768 with 81 frames does not fit"
    with pytest.raises(cogmagic.TierError, match=match):
        cogmagic.generate_many(rows, model="1.5-5b")
    assert list(cwd.iterdir()) == []


def test_python_names_generate_many_for_several_videos() -> None:
    with pytest.raises(RequestError, match=r"Call cogmagic.generate_many\(prompts, seeds="):
        cogmagic.generate("a fox", seeds=[1, 2])
