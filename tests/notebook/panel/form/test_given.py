"""Uploads of the panel: pictures and clips as variables, LoRAs as files, and their thumbnails."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cogmagic import Machine
from cogmagic._notebook.cell_text import as_cell
from cogmagic._notebook.panel.parts.upload import Upload
from cogmagic._notebook.panel.widget import Panel
from cogmagic._video.formats.registry import FORMATS
from tests.helpers.adapters import diffusers_keys, factors, write
from tests.helpers.toy import PROMPT


def upload(panel: Panel, field: str, name: str, data: bytes, part: int = 1000) -> list[object]:
    """Send a file as the page does; returns what the page is answered."""
    widget: Upload = panel.fields.given.uploads[field]
    answers: list[object] = []
    widget.send = lambda content, _=None: answers.append(content)
    widget._on_message(None, {"begin": name, "size": len(data)}, [])
    for i in range(0, len(data), part):
        widget._on_message(None, {"part": True}, [memoryview(data[i : i + part])])
    return answers


def picture(width: int = 64, height: int = 64) -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), (255, 0, 0)).save(out, "PNG")
    return out.getvalue()


def clip(path: Path, first: int = 255, last: int = 0) -> bytes:
    """A clip of 96×64 that fades from one grey to another."""
    greys = np.linspace(first, last, 9).astype(np.uint8)
    frames = np.broadcast_to(greys[:, None, None, None], (9, 64, 96, 3))
    FORMATS[".mp4"].write(path, np.ascontiguousarray(frames), 8, {})
    return path.read_bytes()


def test_upload_becomes_a_variable_that_a_cell_can_name(
    panel_on: Callable[..., Panel], cwd: Path
) -> None:
    panel = panel_on({"now": Machine.of("RTX 3090", ram=64)})
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    fields.inputs["model"].value = "5b-i2v"
    upload(panel, "image", "no.png", b"no!")
    assert "not an image" in fields.errors["image"].value
    assert panel.generate.disabled
    fields.inputs["model"].value = "5b"
    assert not panel.generate.disabled
    fields.inputs["model"].value = "5b-i2v"
    data = picture()
    parts = -(-len(data) // 100)
    assert upload(panel, "image", "a.png", data, 100) == [{"next": True}] * parts + [{"done": True}]
    assert fields.errors["image"].value == ""
    assert not panel.generate.disabled
    assert fields.inputs["image"].value == "first_frame"
    assert fields.options()["image"] is fields.given.variables["first_frame"]
    assert "--image first_frame " in as_cell(PROMPT, fields.entered())
    shown = fields.thumbnails["image"].view
    assert "<div>64×64, stretched to 720×480</div>" in shown.value
    fields.inputs["fit"].value = "crop"
    assert "<div>64×64, its edges cut off to 720×480</div>" in shown.value
    upload(panel, "image", "a.png", data)
    assert fields.inputs["image"].value == "first_frame_2"
    assert fields.inputs["image"].options == ("first_frame", "first_frame_2")
    fields.inputs["model"].value = "5b"  # takes none
    assert not panel.generate.disabled
    assert fields.options()["image"] is None
    assert "--image" not in as_cell(PROMPT, fields.entered())
    fields.inputs["model"].value = "5b-i2v"
    fields.inputs["image"].value = ""
    assert "needs a first frame" in fields.errors["image"].value
    assert list(cwd.iterdir()) == [], "nothing is written"


def grey(html: str) -> int:
    """The brightness of the middle of a thumbnail."""
    from base64 import b64decode

    data = b64decode(html.partition("base64,")[2].partition('"')[0])
    with Image.open(BytesIO(data)) as image:
        return int(np.asarray(image.convert("L"))[image.height // 2, image.width // 2])


def test_clip_is_shown_as_it_is_used(panel: Panel, cwd: Path) -> None:
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    data = clip(cwd / "a.mp4")
    fields.inputs["num_frames"].value = 9
    fields.inputs["video"].value = "a.mp4"
    shown = fields.thumbnails["video"].view
    assert "<div>96×64, 1.1 s, its edges cut off to 96×96</div>" in shown.value
    assert grey(shown.value) > 240, "its first frame"
    fields.inputs["start"].value = 0.5
    assert 90 < grey(shown.value) < 160
    fields.inputs["model"].value = "tiny-i2v"
    upload(panel, "extend", "a.mp4", data)
    assert fields.inputs["extend"].value == "clip"
    assert fields.given.variables["clip"] == data
    extended = fields.thumbnails["extend"].view
    assert grey(extended.value) < 20, "its last frame"
    fields.inputs["overlap"].value = 5
    assert 90 < grey(extended.value) < 160
    assert not panel.generate.disabled
    upload(panel, "extend", "a.mp4", data[:100])
    assert "Upload another." in fields.errors["extend"].value
    assert fields.inputs["extend"].value == "clip"


def test_mask_is_copied_and_shown_as_it_is_used(panel: Panel, cwd: Path) -> None:
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    fields.inputs["model"].value = "tiny-inp"
    clip(cwd / "a.mp4")
    fields.inputs["num_frames"].value = 9
    fields.inputs["video"].value = "a.mp4"
    assert not panel.generate.disabled
    fields.inputs["mask"].value = "none.png"
    assert "No mask at none.png" in fields.errors["mask"].value
    assert fields.errors["video"].value == ""
    left = Image.new("L", (96, 64))
    left.paste(255, (0, 0, 60, 64))
    left.save(cwd / "left.png")
    data = (cwd / "left.png").read_bytes()
    upload(panel, "mask", "../Left side.png", data)
    assert fields.inputs["mask"].value == "uploads/Left-side.png"
    assert Path("uploads/Left-side.png").read_bytes() == data
    assert not panel.generate.disabled
    assert "--mask uploads/Left-side.png" in as_cell(PROMPT, fields.entered())
    shown = fields.thumbnails["mask"].view
    assert "<div>96×64, its edges cut off to 96×96, white is made new</div>" in shown.value
    assert grey(shown.value) > 240
    fields.inputs["invert_mask"].value = True
    assert "white is kept</div>" in shown.value
    upload(panel, "mask", "notes.txt", b"no mask")
    assert "Upload another." in fields.errors["mask"].value
    moving = clip(cwd / "m.mp4", 0, 255)
    upload(panel, "mask", "quadmask_0.mp4", moving)
    fields.inputs["start"].value = 0.5
    assert "<div>96×64, 1.1 s, its edges cut off to 96×96, white is made new</div>" in shown.value
    assert 90 < grey(shown.value) < 160
    assert {p.name for p in Path("uploads").iterdir()} == {"Left-side.png", "quadmask_0.mp4"}


def test_void_asks_for_a_mask(panel_on: Callable[..., Panel], cwd: Path) -> None:
    panel = panel_on({"now": Machine.of("RTX 3090", ram=64)})
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    fields.inputs["model"].value = "void"
    assert "void needs a clip" in fields.errors["video"].value
    assert panel.generate.disabled
    assert "s/step" in panel.advice.value, "the plan does not wait for the clip"
    assert "cogmagic-stale" not in panel.advice._dom_classes
    clip(cwd / "a.mp4")
    fields.inputs["num_frames"].value = 9
    fields.inputs["video"].value = "a.mp4"
    assert "void needs a mask of what is removed" in fields.errors["mask"].value
    assert panel.generate.disabled
    Image.new("L", (96, 64), 255).save(cwd / "all.png")
    fields.inputs["mask"].value = "all.png"
    assert not panel.generate.disabled
    assert fields.thumbnails["mask"].view.value.endswith(
        "<div>96×64, its edges cut off to 672×384</div>"
    )


def test_lora_is_copied_to_the_folder_of_uploads(panel: Panel, cwd: Path) -> None:
    fields = panel.fields
    fields.inputs["prompt"].value = PROMPT
    file = write(cwd / "red.safetensors", diffusers_keys(factors()))
    data = file.read_bytes()
    file.unlink()
    upload(panel, "lora", "../../My <style>.safetensors", data)
    assert fields.inputs["lora"].value == "uploads/My-style.safetensors"
    assert Path("uploads/My-style.safetensors").read_bytes() == data
    assert "rank" in fields.words["lora"].value
    assert not panel.generate.disabled
    fields.inputs["lora"].value = "uploads/My-style.safetensors@0.5"
    upload(panel, "lora", "My <style>.safetensors", data)
    both = "uploads/My-style.safetensors@0.5, uploads/My-style-2.safetensors"
    assert fields.inputs["lora"].value == both
    upload(panel, "lora", "style.ckpt", data)
    assert "not a .safetensors file" in fields.errors["lora"].value
    assert sorted(p.name for p in cwd.rglob("*.*")) == [
        "My-style-2.safetensors",
        "My-style.safetensors",
    ]


def test_damaged_lora_is_not_kept(panel: Panel, cwd: Path) -> None:
    file = write(cwd / "red.safetensors", diffusers_keys(factors()))
    data = file.read_bytes()
    file.unlink()
    for damaged, reason in ((data[:-9], "cut short or damaged"), (b"PK\x03\x04", "pickled")):
        upload(panel, "lora", "red.safetensors", damaged)
        assert reason in panel.fields.errors["lora"].value
        assert panel.fields.inputs["lora"].value == ""
        assert list(cwd.iterdir()) == []
    upload(panel, "lora", f"{'红' * 100}.safetensors", data)
    upload(panel, "lora", "red.safetensors", damaged)
    assert [p.name for p in (cwd / "uploads").iterdir()] == [f"{'红' * 50}.safetensors"]


def test_upload_without_its_folder_is_an_error(panel: Panel, cwd: Path) -> None:
    (cwd / "uploads").touch()
    upload(panel, "lora", "a.safetensors", b"data")
    assert "cannot be written (File exists)" in panel.fields.errors["lora"].value
    shutil.rmtree(cwd)
    upload(panel, "lora", "a.safetensors", b"data")
    assert "cannot be written (No such file" in panel.fields.errors["lora"].value


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        ({"begin": "a.png", "size": 64_000_001}, "a.png has 64 MB, and an upload may have 64"),
        ({"begin": "a.png", "size": 0}, "a.png is empty"),
        ({"begin": "a\n.png", "size": "7"}, r"a\n.png is empty"),
        ({"failed": True}, "choose a file, not a folder"),
    ],
)
def test_upload_is_bounded(panel: Panel, begin: dict[str, object], message: str) -> None:
    fields = panel.fields
    fields.inputs["model"].value = "tiny-i2v"
    widget = fields.given.uploads["image"]
    widget._on_message(None, begin, [])
    assert message in fields.errors["image"].value
    widget._on_message(None, {"part": True}, [memoryview(b"more than was announced")])
    assert widget._data == b""
    widget._on_message(None, {"begin": "b.png", "size": 3}, [])
    widget._on_message(None, {"part": True}, [memoryview(b"more than 3 bytes")])
    assert "has changed while it was uploaded" in fields.errors["image"].value
    assert widget._data == b""
