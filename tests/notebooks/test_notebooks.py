"""Every notebook runs and gives what is stored in it; and that comparison is real.

nbval compares nothing for a cell without an execution count, and skips what is tagged so: both are
refused first. Of a display that is updated it compares what was shown first, so the live line is
folded, with all that is volatile, into one word (``notebooks/sanitize.cfg``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
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

    patience = {"timeout": 3000, "startup_timeout": 600, "iopub_timeout": 600}
    NotebookClient(notebook, **patience, resources={"metadata": {"path": path.parent}}).execute()
    write(notebook, path)
    return path


@pytest.fixture(
    scope="module", params=[None, *NOTEBOOKS], ids=lambda p: p.stem if p else "generated"
)
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


Outcomes = dict[str, dict[str, tuple[str, str]]]
"""By notebook and by cell: the outcome and the message."""


def nbval(folder: Path, *paths: Path) -> Outcomes:
    """Run nbval on a notebook as a person would, and on copies with other stored outputs.

    A kernel runs the cells of the first; its messages are compared with the copies, too.
    """
    options = ["--nbval", "--nbval-sanitize-with", str(SANITIZE), "--nbval-cell-timeout", "3000"]
    options += ["--nbval-kernel-startup-timeout", "600"]
    plain = ["-q", "--color=no", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    plain += ["-p", "tests.helpers.nbval_replay", "-p", "nbval.plugin"]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # importing others takes a second of a core
        "COGMAGIC_OUTCOMES": str(folder / "outcomes.json"),
        # What only plans needs no libraries.
        "COGMAGIC_FREEZE": "" if paths[0].stem == "planning" else "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *plain, *map(str, paths)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    outcomes: Outcomes = json.loads((folder / "outcomes.json").read_text())
    return outcomes


@dataclass(frozen=True)
class Compared:
    """A notebook and a copy with other stored outputs, after nbval."""

    name: str
    content: NotebookNode
    changed: dict[int, str]
    """The cells of the copy whose stored outputs are others, and how they were changed."""
    outcomes: Outcomes


@pytest.fixture(scope="module")
def compared(notebook: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    folder = tmp_path_factory.mktemp(notebook.stem)
    (folder / notebook.name).write_bytes(notebook.read_bytes())
    copy = read(notebook)
    changed = with_other_outputs(copy)
    write(copy, folder / "changed.ipynb")
    outcomes = nbval(folder, folder / notebook.name, folder / "changed.ipynb")
    return Compared(notebook.name, read(notebook), changed, outcomes)


def test_notebook_reproduces_its_stored_outputs(
    compared: Compared, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = compared_by_nbval(compared.content)
    count = sum(c.cell_type == "code" for c in compared.content.cells)
    assert cells
    with capsys.disabled():
        print(f"\n{compared.name}: {len(cells)} of {count} code cells compared")  # noqa: T201
    outcomes = compared.outcomes[compared.name]
    wrong = [message for outcome, message in outcomes.values() if outcome != "passed"]
    assert not wrong, "\n".join(wrong)
    assert list(map(int, outcomes)) == list(range(count))


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


def with_other_outputs(content: NotebookNode) -> dict[int, str]:
    """Change outputs of a notebook in every way, one cell each; which cells, and how."""
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
    return changed


def test_comparison_notices_changed_outputs(compared: Compared) -> None:
    outcomes = compared.outcomes["changed.ipynb"]
    assert len(outcomes) == sum(c.cell_type == "code" for c in compared.content.cells)
    failed = {int(n): message for n, (outcome, message) in outcomes.items() if outcome == "failed"}
    assert sorted(failed) == sorted(compared.changed), failed
    for message in failed.values():
        assert "Cell outputs differ" in message


def test_sanitizer_replaces_marked_text_only() -> None:
    div = f'<div class="{VOLATILE}" style="color:red"><pre>one\ntwo</pre></div>'
    assert clean(f"<p>fact</p>{div}<p>fact</p>{div}") == "<p>fact</p>VOLATILE" * 2
    assert clean(f"fact\n{MARK}one\n{MARK}two\nfact {MARK}") == f"fact\nVOLATILEfact {MARK}"
    assert clean(f"{MARK}one") == clean(f"{MARK}one\n{MARK}two\n") == "VOLATILE"
    assert clean('<video title="9 frames" src="data:video/mp4;base64,AAA+/a=="></video>') == (
        '<video title="9 frames" src="DATA"></video>'
    )
