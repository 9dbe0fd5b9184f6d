"""Every notebook runs and gives what is stored in it; and that comparison is real.

nbval compares nothing for a cell without an execution count, and skips what is tagged so: both are
refused first. Of a display that is updated it compares what was shown first, so the live line is
folded, with all that is volatile, into one word (``notebooks/sanitize.cfg``).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cogmagic._html import MARK, VOLATILE
from tests.helpers.benchmarks import ROOT
from tests.helpers.notebooks import notebook_of, read, write

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SANITIZE = ROOT / "notebooks" / "sanitize.cfg"
FORBIDDEN = {
    "nbval-skip",
    "nbval-ignore-output",
    "nbval-raises-exception",
    "raises-exception",
    "skip",
}


def generated(model: Path) -> NotebookNode:
    """A notebook with every kind of output that the magics give."""
    make = f"%%cogvideo --model '{model}' --size 48x32 --frames 9 --steps 1 --seed 7 --out clip"
    sources = [
        "%load_ext cogmagic",
        f"{make}\na red circle moves to the right",
        "v = clip\nprint(v.width, v.height, v.num_frames, v.fps, v.seed, v.frames().shape)",
        "clip",
        "%cogvideo status",
        "print(v.report.tier, v.report.frames_sha256)",
    ]
    return notebook_of(sources)


@pytest.fixture(scope="module")
def stored(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated notebook, run once, as Jupyter would store it."""
    path = tmp_path_factory.mktemp("stored") / "generated.ipynb"
    notebook = generated(toy)
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=3000, resources={"metadata": {"path": path.parent}}).execute()
    write(notebook, path)
    return path


@pytest.fixture(params=[None, *NOTEBOOKS], ids=lambda p: p.stem if p else "generated")
def notebook(request: pytest.FixtureRequest) -> Path:
    path = request.param or request.getfixturevalue("stored")
    assert isinstance(path, Path)
    return path


def clean(text: str) -> str:
    """`text` as nbval compares it."""
    pairs = re.findall(r"^regex: (.*)\nreplace: (.*)$", SANITIZE.read_text(), re.MULTILINE)
    assert len(pairs) == 2
    for pattern, word in pairs:
        text = re.sub(pattern, word, text)
    return text


def facts(output: NotebookNode) -> set[str]:
    """What nbval compares of an output, apart from what is folded."""
    texts = output.data.values() if "data" in output else [output.text]
    return {clean(text) for text in texts if isinstance(text, str)} - {"VOLATILE", ""}


def compared_by_nbval(notebook: NotebookNode) -> dict[int, NotebookNode]:
    """The code cells of which nbval compares facts, by its numbers.

    A cell that it would pass over without a word is refused.
    """
    compared = {}
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        assert cell.execution_count is not None, f"cell {number} was not run: nothing is compared"
        assert not FORBIDDEN & set(cell.metadata.get("tags", ())), f"cell {number} is tagged"
        assert "NBVAL_" not in cell.source.upper(), f"cell {number} is marked"
        for output in cell.outputs:
            assert output.output_type != "error", f"cell {number} failed"
            assert output.get("name") != "stderr", f"cell {number} wrote to stderr"
        if re.search(r"^%%cogvideo|\bprint\(", cell.source, re.MULTILINE):
            assert cell.outputs, f"cell {number} shows something, but nothing is stored"
        if any(facts(output) for output in cell.outputs):
            compared[number] = cell
    return compared


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the kernel of each notebook sends."""
    return tmp_path_factory.mktemp("recordings")


def nbval(path: Path, folder: Path, recording: Path) -> subprocess.CompletedProcess[str]:
    """Run nbval on a notebook as a person would, in a folder of its own.

    The first time a kernel runs the cells; later its recorded messages are compared.
    """
    copy = folder / path.name
    if copy != path:
        copy.write_bytes(path.read_bytes())
    options = ["--nbval", "--nbval-sanitize-with", str(SANITIZE), "--nbval-cell-timeout", "3000"]
    plain = ["-q", "--color=no", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    plain += ["-p", "tests.helpers.nbval_replay"]
    # With CI set pytest repeats each failure whole in its summary, which would be counted twice.
    environment = {k: v for k, v in os.environ.items() if k != "CI"} | {
        "HF_HUB_OFFLINE": "1",
        "COGMAGIC_RECORDING": str(recording),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *plain, str(copy)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_notebook_reproduces_its_stored_outputs(
    notebook: Path, tmp_path: Path, recordings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = read(notebook)
    compared = compared_by_nbval(content)
    count = sum(c.cell_type == "code" for c in content.cells)
    assert compared
    with capsys.disabled():
        print(f"\n{notebook.name}: {len(compared)} of {count} code cells compared")  # noqa: T201
    run = nbval(notebook, tmp_path, recordings / f"{notebook.stem}.pickle")
    assert run.returncode == 0, run.stdout
    assert f"{count} passed" in run.stdout
    assert not re.search(r"skipped|xfailed|xpassed|deselected", run.stdout)


def printed_otherwise(output: NotebookNode) -> bool:
    """Change a printed number that is not marked as volatile."""
    lines = output.get("text", "").splitlines(keepends=True)
    for n, line in enumerate(lines):
        if re.search(r"\d", line) and not line.startswith(MARK):
            lines[n] = re.sub(r"(\d)", r"\g<1>1", line, count=1)
            output.text = "".join(lines)
            return True
    return False


def shown_otherwise(output: NotebookNode) -> bool:
    """Change what the player says of its video."""
    html = output.get("data", {}).get("text/html", "")
    if "<video" in html:
        output.data["text/html"] = re.sub(r"\d+ frames of", "10 frames of", html)
    return "<video" in html


def not_shown(output: NotebookNode) -> bool:
    """Store a video as if it had not been shown."""
    found = "<video" in output.get("data", {}).get("text/html", "")
    if found:
        del output.data["text/html"]
    return found


def test_comparison_notices_changed_outputs(
    notebook: Path, tmp_path: Path, recordings: Path
) -> None:
    content = read(notebook)
    changed: dict[int, str] = {}
    cells = compared_by_nbval(content)
    videos = sum("<video" in str(cell.outputs) for cell in cells.values())
    for change in (shown_otherwise, printed_otherwise, not_shown):
        for number, cell in cells.items():
            if number not in changed and any(change(output) for output in cell.outputs):
                changed[number] = change.__name__
                break
    assert "printed_otherwise" in changed.values()
    assert ("shown_otherwise" in changed.values()) == (videos > 0)
    write(content, tmp_path / "changed.ipynb")
    run = nbval(tmp_path / "changed.ipynb", tmp_path, recordings / f"{notebook.stem}.pickle")
    assert run.returncode == 1, run.stdout
    failed = re.findall(r"^FAILED .*::Cell (\d+)", run.stdout, re.MULTILINE)
    assert sorted(map(int, failed)) == sorted(changed), run.stdout
    assert run.stdout.count("Cell outputs differ") == len(changed)


def test_sanitizer_replaces_marked_text_only() -> None:
    div = f'<div class="{VOLATILE}" style="color:red"><pre>one\ntwo</pre></div>'
    assert clean(f"<p>fact</p>{div}<p>fact</p>{div}") == "<p>fact</p>VOLATILE" * 2
    assert clean(f"fact\n{MARK}one\n{MARK}two\nfact {MARK}") == f"fact\nVOLATILEfact {MARK}"
    assert clean(f"{MARK}one") == clean(f"{MARK}one\n{MARK}two\n") == "VOLATILE"
    assert clean('<video title="9 frames" src="data:video/mp4;base64,AAA+/a=="></video>') == (
        '<video title="9 frames" src="DATA"></video>'
    )
