"""Two kernels that write into one folder."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.kernels import PROMPT, Kernel

RUN = """
import time
from pathlib import Path
from unittest.mock import patch
import cogmagic
def wait(progress):  # until both have chosen their names
    Path({mine!r}).touch()
    while not Path({other!r}).exists():
        time.sleep(0.01)
with patch("time.strftime", lambda *_: "20260102-030405"):  # the same second in both
    clip = cogmagic.generate({prompt!r}, model={model!r}, size="48x32", frames=9, steps=1, seed=7,
                             save={save!r}, overwrite={overwrite}, on_progress=wait)
"""


def test_two_kernels_with_one_default_name_both_get_a_file(
    one: Kernel, second: Kernel, there: Path, beside: Path, toy: Path, tmp_path: Path
) -> None:
    clips, marks = tmp_path / "clips", [str(tmp_path / "1"), str(tmp_path / "2")]
    clips.mkdir()
    both = {"prompt": PROMPT, "model": str(toy), "save": str(clips)}
    kernels = (one, second)
    sent = [
        one.send(RUN.format(mine=marks[0], other=marks[1], overwrite=False, **both)),
        second.send(RUN.format(mine=marks[1], other=marks[0], overwrite=True, **both)),
    ]
    ran = [k.wait(cell) for k, cell in zip(kernels, sent, strict=True)]
    assert [r.reply["status"] for r in ran] == ["ok", "ok"], [r.text for r in ran]
    paths = [Path(k.value("clip.path")) for k in kernels]
    for k, path in zip(kernels, paths, strict=True):
        assert path.name in k.value("clip.facts_line()")
        assert k.value("len(clip.frames())") == "9"
    assert sorted(clips.iterdir()) == sorted(paths)
    assert {p.stem for p in paths} == {"cogvideo-20260102-030405-7", "cogvideo-20260102-030405-7-2"}
