"""Take pictures of a real GPU's tables and panel, labelled with the card's name.

python docs/images/shoot_gpu.py FOLDER --model 5b    # from the repository, with the test extra

On the machine with the GPU it runs the cells once, while the panel's meter reads the memory, and
writes them to ``cells.ipynb`` and ``record.json`` in FOLDER. Then it draws the pictures, which
needs Chromium; without it, copy FOLDER to a machine that has it and type the same command there.
What exists already is not made again, so the command can be repeated until all is there.

`panel.png` is a panel that plans for the recorded card and replays its readings. Without a GPU the
record is of the CPU, and says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat import v4
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from tests.helpers.lab import chromium  # noqa: E402 - after the path

WIDTH, BAR, READINGS = 1240, 30, 40
"""Width of the page and height of the label, in pixels; the readings that the panel replays."""
START = """
%load_ext cogmagic
from cogmagic._notebook.panel.machine.readings import Reader, Sampler

readings = []
sampler = Sampler(Reader(), readings.append)
sampler.activate(True)
"""
END = """
import json
from dataclasses import asdict
from datetime import date
from importlib.metadata import version

sampler.close()
machine = cogmagic.Machine.detect()
facts = {
    "gpus": [gpu.name for gpu in machine.gpus],
    "driver": machine.driver,
    "versions": {name: version(name) for name in ("torch", "diffusers")},
    "date": date.today().isoformat(),
    "rates": machine.rates and asdict(machine.rates),
    "readings": [asdict(reading) for reading in readings],
}
print(json.dumps(facts))
"""
PANEL = """
import json
from pathlib import Path

import cogmagic
from cogmagic import Gpu, Machine
from cogmagic._machine.ram import Ram
from cogmagic._machine.rates import Rates
from cogmagic._notebook.panel.machine.readings import Reading, Vitals
from cogmagic._notebook.panel.widget import Panel

record = json.loads(Path("record.json").read_text())


def gpu(row):
    return Gpu(**row | {"capability": row["capability"] and tuple(row["capability"])})


def reading(row):
    gpus = tuple(map(gpu, row["gpus"]))
    vitals = tuple(Vitals(**one) for one in row["vitals"])
    weights = {int(index): size for index, size in row["weights"].items()}
    return Reading(gpus, Ram(**row["ram"]), vitals, weights, row["note"])


readings = [reading(row) for row in record["readings"]]
first, left = readings[0], iter(readings)
rates = record["rates"] and Rates(**record["rates"])
device = "cuda" if first.gpus else "cpu"
machine = Machine(first.gpus, first.ram, device, rates=rates, driver=record["driver"])


def plan(prompt, **options):
    return cogmagic.plan(prompt, **options, machine=machine)


panel = Panel(globals(), lambda: next(left, readings[-1]), {"model": MODEL}, plan)
panel.view
"""


def cells(model: str, steps: int) -> dict[str, str]:
    """The recorded cells by the name of their picture."""
    run = f"--model {model} --steps {steps} --seed 42"
    return {
        "status": "%cogvideo status",
        "plan": f"%cogvideo plan --model {model}",
        "models": "%cogvideo models",
        "run": f"%%cogvideo {run}\na red circle moves to the right on a black background",
        "after": "%cogvideo status",
        "history": "%cogvideo history",
    }


def named(model: str) -> str:
    """The short name of a model, or of a folder that has its name; tiny for others."""
    from cogmagic._models.catalog import MODELS

    return next((m.name for m in MODELS if m.name == Path(model).name), "tiny")


def record(folder: Path, model: str, steps: int) -> None:
    """Run the cells in a kernel of this machine, and write what they show and what was read."""
    from nbclient import NotebookClient

    sources = ("import cogmagic" + START, *cells(model, steps).values(), END)
    made = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    with tempfile.TemporaryDirectory() as work:  # for the clip
        context = {"metadata": {"path": work}}
        NotebookClient(made, kernel_name="python3", timeout=None, resources=context).execute()
    facts = json.loads("".join(output["text"] for output in made.cells[-1].outputs))
    facts["readings"] = thinned(until_peak(facts["readings"]), READINGS)
    for reading in facts["readings"]:
        for gpu in reading["gpus"]:
            gpu["uuid"] = None
    made.cells = made.cells[1:-1]
    nbformat.write(made, folder / "cells.ipynb")
    (folder / "record.json").write_text(json.dumps(facts), encoding="utf-8")


def until_peak(rows: list[Any]) -> list[Any]:
    """The readings up to the one at which the kernel held most memory."""
    held = [row["ram"]["mine"] + sum(g["reserved"] or 0 for g in row["gpus"]) for row in rows]
    return rows[: held.index(max(held)) + 1] if rows else rows


def thinned(rows: list[Any], most: int) -> list[Any]:
    """At most so many of the rows, evenly, with the last."""
    return rows[:: -max(-(-len(rows) // most), 1)][::-1]


def label(facts: Mapping[str, Any], name: str) -> str:
    """The line above a picture: the card, and what the picture is."""
    cards = ", ".join(facts["gpus"]) or "CPU, no GPU"
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    driver = f"driver {facts['driver']}" if facts["driver"] else ""
    what = "readings of the run, replayed" if name == "panel" else f"cell “{name}”"
    return " · ".join(filter(None, (cards, driver, versions, facts["date"], what)))


def labelled(picture: Path, text: str) -> None:
    """Put a line of text above a picture."""
    drawn = Image.open(picture).convert("RGB")
    sheet = Image.new("RGB", (drawn.width, drawn.height + BAR), "#333")
    ImageDraw.Draw(sheet).text((12, 6), text, "white", ImageFont.load_default(14))
    sheet.paste(drawn, (0, BAR))
    sheet.quantize(256).save(picture, optimize=True)


def missing(folder: Path, names: Iterable[str]) -> list[str]:
    """The pictures that are not in the folder yet."""
    return [name for name in names if not (folder / f"{name}.png").exists()]


def draw(folder: Path, model: str, names: list[str]) -> None:
    """Draw pictures from the record, in JupyterLab in Chromium."""
    from tests.helpers.lab import KERNEL_IS_IDLE, browser, jupyterlab, page_of

    facts = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    shown = nbformat.read(folder / "cells.ipynb", as_version=4)
    order = list(cells(model, 1))
    with tempfile.TemporaryDirectory() as scratch:
        work, state = Path(scratch, "work"), Path(scratch, "state")
        for made in (work, state):
            made.mkdir()
        nbformat.write(shown, work / "cells.ipynb")
        (work / "record.json").write_text(json.dumps(facts), encoding="utf-8")
        panel = v4.new_notebook(cells=[v4.new_code_cell(f"MODEL = {named(model)!r}{PANEL}")])
        panel.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        panel.cells[0].metadata["jupyter"] = {"source_hidden": True}
        nbformat.write(panel, work / "panel.ipynb")
        with (
            jupyterlab(work, state) as address,
            browser() as context,
            page_of(context, Path(scratch, "last.png"), WIDTH, 1500) as page,
        ):
            for name in names:
                page.goto("about:blank")
                file = "panel" if name == "panel" else "cells"
                page.goto(f"{address}/doc/tree/{file}.ipynb")
                page.wait_for_function(KERNEL_IS_IDLE)
                picture = folder / f".{name}.png"
                if name == "panel":
                    run_panel(page)
                    page.screenshot(path=str(picture))
                else:
                    page.wait_for_timeout(1500)
                    page.locator(".jp-CodeCell").nth(order.index(name)).screenshot(
                        path=str(picture)
                    )
                labelled(picture, label(facts, name))
                picture.rename(folder / f"{name}.png")
                print(folder / f"{name}.png")


def run_panel(page: Any) -> None:
    """Run the panel's cell, and wait until it has replayed the readings."""
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_selector(".cogmagic-meter .cogmagic-row")
    page.locator(".cogmagic-panel textarea").first.fill("a red circle moves to the right")
    page.wait_for_function(
        "() => !document.querySelector('.cogmagic-models').textContent.includes('checking')"
    )
    page.wait_for_timeout(500 * READINGS)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="tiny", help="short name, hub id or folder")
    parser.add_argument("--steps", type=int, default=20, help="denoising steps of the run")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if not (options.folder / "record.json").exists():
        record(options.folder, options.model, options.steps)
    names = missing(options.folder, (*cells(options.model, 1), "panel"))
    if names and chromium() is None:
        sys.exit(f"No Chromium here. Copy {options.folder} to a machine with it, and repeat this.")
    if names:
        draw(options.folder, options.model, names)


if __name__ == "__main__":
    main()
