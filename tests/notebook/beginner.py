"""Fifty cells that beginners type, and their answers, as docs/troubleshooting.md shows them.

    python -m tests.notebook.beginner --write

runs them again and writes the answers into the page.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "page_with", "stored_transcript", "transcript"]

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
BEGIN, END = "<!-- cells: begin -->\n", "<!-- cells: end -->\n"
FOX = "\na red fox trots through fresh snow"
RUN = "%%cogvideo --steps 1 --frames 9 --size 64x64 --out clip"

CELLS = {
    "The first line": (
        "%%cogvideo a red fox trots through fresh snow",
        "%%cogvideo",
        "%%cogvideo --seed 7",
        "%%cogvideo a red fox trots --seed 3 --cfg 3",
        "%%cogvideo --",
        "%%cogvideo --fps 12\n# only a comment\n%%cogvideo --fps 16",
        "%%cogvideo --seed 7" + FOX + "\n%%cogvideo --seed 8" + FOX,
        "%cogvideo --model 5b" + FOX,
        "%cogvideo a red fox trots through fresh snow",
        "%cogvideo staus",
        "%cogvideo plan 5b",
        "%cogvideo history all",
        "cogvideo a red fox trots through fresh snow",
        "%%cogvid --seed 7" + FOX,
        "%%CogVideo" + FOX,
    ),
    "Words of other tools": (
        "%%cogvideo --cfg 7" + FOX,
        "%%cogvideo --cfg_scale 7" + FOX,
        "%%cogvideo --sampler euler" + FOX,
        "%%cogvideo --duration 6" + FOX,
        "%%cogvideo --length 49" + FOX,
        "%%cogvideo --frame_rate 8" + FOX,
        "%%cogvideo --width 720 --height 480" + FOX,
        "%%cogvideo --resolution 720p" + FOX,
        "%%cogvideo --negative blurred" + FOX,
        "%%cogvideo --prompt fox" + FOX,
        "%%cogvideo --ckpt 5b" + FOX,
        "%%cogvideo --output_path fox.mp4" + FOX,
        "%%cogvideo --num_videos_per_prompt 4" + FOX,
        "%%cogvideo --lora style.safetensors" + FOX,
        "%%cogvideo\na red fox trots through fresh snow, <lora:style:0.8>",
        "%%cogvideo --fp16" + FOX,
        "%%cogvideo --lowvram" + FOX,
        "%%cogvideo --enable_model_cpu_offload" + FOX,
        "%%cogvideo --vae-tiling" + FOX,
        "%%cogvideo --xformers" + FOX,
        "%%cogvideo --vram 8" + FOX,
    ),
    "Values": (
        "%%cogvideo --seed -1" + FOX,
        "%%cogvideo --seed random" + FOX,
        "%%cogvideo --negative-prompt blurred, low quality" + FOX,
        "%%cogvideo --negative-prompt 'blurred" + FOX,
        "%%cogvideo --save my videos/fox.mp4" + FOX,
        "%%cogvideo --negative-prompt blurry, it's dark" + FOX,
        "%%cogvideo --save fox.avi" + FOX,
        "%%cogvideo --save missing/fox.mp4" + FOX,
        "%%cogvideo --out fox.mp4" + FOX,
        "%%cogvideo --out my clip" + FOX,
        "%%cogvideo --size 720" + FOX,
        "%%cogvideo --size 720*480" + FOX,
        "%%cogvideo --size 720 x 480" + FOX,
        "%%cogvideo --size 1920x1080" + FOX,
        "%%cogvideo --steps fifty" + FOX,
        "%%cogvideo --steps 20 --steps 30" + FOX,
        "%%cogvideo --frames 50" + FOX,
        "%%cogvideo --guidance-scale 500" + FOX,
        "%%cogvideo --scheduler euler" + FOX,
        "%%cogvideo --tier fast" + FOX,
        "%%cogvideo --dtype fp8" + FOX,
    ),
    "Models": (
        "%%cogvideo --model 6b" + FOX,
        "%%cogvideo --model cogvideo" + FOX,
        "%%cogvideo --model ./CogVideoX-5b" + FOX,
        "%%cogvideo --model 5b-i2v" + FOX,
        "%%cogvideo --model 5b --image fox.png" + FOX,
        "%%cogvideo --model 5b --strength 0.5" + FOX,
        "%%cogvideo --model 5b-i2v --video clip.mp4" + FOX,
        "%%cogvideo --model 5b --video missing.mp4" + FOX,
        "%%cogvideo --model 5b --extend clip.mp4" + FOX,
        "%%cogvideo --model 5b-i2v --extend clip.mp4 --image fox.png" + FOX,
        "%%cogvideo --model 5b-i2v --image missing.png" + FOX,
        "%%cogvideo --model CogVideoX-5b --dry-run" + FOX,
        "%%cogvideo --model cogvideox1.5-5b --dry-run" + FOX,
        "%%cogvideo --model 1.5 --dry-run" + FOX,
    ),
    "The body": (
        RUN + "\n# a red circle",
        RUN + "\n\"a red circle\" moves, 'slowly'",
        RUN + "\n{colour} circle, $5\n\nmoves to the right",
        RUN + "\n%%off sale",
        RUN + "\n--steps 20\na red circle",
    ),
}


def transcript(shell: Any) -> str:
    """Markdown of all cells with their answers, by section.

    Args:
        shell: an IPython shell with the extension loaded, in an empty working directory.
    """
    sections = []
    for title, cells in CELLS.items():
        shown = "\n\n".join(f"{cell.rstrip()}\n    {_answer(shell, cell)}" for cell in cells)
        sections.append(f"### {title}\n\n```text\n{shown}\n```\n")
    return "\n".join(sections)


def _answer(shell: Any, cell: str) -> str:
    """The one line that a cell answers: an error, a dry run's model, or the prompt that is read."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        result = shell.run_cell(cell)
    lines = out.getvalue().strip().splitlines()
    if result.success and "--dry-run" in cell:
        return next(line.partition(",")[0] for line in lines if line.startswith("model "))
    if result.success:
        return f"clip.prompt is {shell.user_ns['clip'].prompt!r}"
    assert len(lines) == 1, f"{cell!r} shows {len(lines)} lines: {lines[:3]}"
    return lines[0]


def stored_transcript() -> str:
    """The transcript in the page."""
    return PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0].strip("\n") + "\n"


def page_with(text: str) -> str:
    """The page with another transcript."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Run the cells in a new shell; print the transcript, or write it into the page."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        os.environ["COGMAGIC_CACHE"] = folder
        shell.run_cell("%load_ext cogmagic")
        text = transcript(shell)
    if "--write" in sys.argv:
        PAGE.write_text(page_with(text), encoding="utf-8")
    else:
        print(text)  # noqa: T201 - to compare by eye


if __name__ == "__main__":
    main()
