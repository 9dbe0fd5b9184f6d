"""Options in errors: as one types them in a cell, in the panel, and in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import BatchError, Cancelled, CogMagicError, Machine, Request
from cogmagic._notebook.panel.parts.labels import panel_words
from cogmagic._spelling import as_command, as_python, errors_for_python, typed_in_cell


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("Nearest: --num-frames 9 or 33.", "Nearest: num_frames=9 or 33."),
        ("Nearest: --size 64x64 (native: 96x96).", 'Nearest: size="64x64" (native: 96x96).'),
        ("Use --model 2b, or --dtype float16.", 'Use model="2b", or dtype="float16".'),
        ("Give --model a folder.", "Give model a folder."),
        ("Leave --gpus out, as --gpus 0,2.", 'Leave gpus out, as gpus="0,2".'),
        ("--save x.avi: the file", 'save="x.avi": the file'),
        ("--save 'a b.avi' is", "save='a b.avi' is"),
        ("Type --save FOLDER.", "Type save=FOLDER."),
        ("Type --extend NAME-or-PATH beside it.", "Type extend=NAME-or-PATH beside it."),
        ("--compile needs Triton.", "compile=True needs Triton."),
        ("with --lean-decode --fp8: yes", "with lean_decode=True, fp8=True: yes"),
        ("--gpu 'RTX 3060' --vram 6.", "gpus='RTX 3060', vram=6."),
        ("--timesteps 999,1 need --scheduler ddim", 'timesteps="999,1" need scheduler="ddim"'),
        ("A smaller --size or fewer --num-frames.", "A smaller size or fewer num_frames."),
        ("Type %cogvideo plan --gpu T4", None),
        ("Start Ray: ray start --head --port=6379, or ray start --address=10.0.0.1:6379.", None),
        ("Run pip install --index-url https://x.y torch", None),
        ("a -- b, --- c, and 5-3", None),
    ],
)
def test_options_become_keyword_arguments(text: str, python: str | None) -> None:
    assert as_python(text) == (text if python is None else python)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Nearest: --num-frames 9 or 33.", "Nearest: frames 9 or 33."),
        ("this machine has no GPU: --gpus 0,2.", "this machine has no GPU: GPUs 0,2."),
        ("Leave out --num-inference-steps or --preset.", "Leave out steps or preset."),
        ("Use --lean-decode --fp8, as --vram-limit 8.",
         "Use decode with less memory and fp8 weights, as VRAM limit 8."),
        ("num_inference_steps is -1, but must be 1", "Steps is -1, but must be 1"),
        ("seed='x' is not a whole number.", "Seed 'x' is not a whole number."),
        ("overlap is free of charge", "overlap is free of charge"),
        ("Type %cogvideo plan --gpu T4", "Type %cogvideo plan --gpu T4"),
    ],
)  # fmt: skip
def test_options_become_fields_of_the_panel(text: str, fields: str) -> None:
    assert panel_words(text) == fields


CALLS: list[tuple[Any, dict[str, Any], str, str]] = [
    (cogmagic.generate, {"num_frames": 50}, "--num-frames 33", "num_frames=33"),
    (cogmagic.generate, {"height": 96}, "--size 720x480", 'size="720x480"'),
    (cogmagic.generate, {"model": "5b-i2v"}, "--image PATH", "image=PATH"),
    (cogmagic.generate, {"save": "fox.avi"}, "--save fox.avi:", 'save="fox.avi":'),
    (cogmagic.plan, {"model": "5b", "num_frames": 50}, "--num-frames 49", "num_frames=49"),
    (cogmagic.generate_many, {"frames": 50}, "--num-frames 33", "num_frames=33"),
    (Request.of, {"model": "tiny", "num_frames": 50}, "--num-frames 33", "num_frames=33"),
    (Machine.of, {"vram": 1000}, "--vram 96", "vram=96"),
]


@pytest.mark.parametrize(("function", "options", "cell", "python"), CALLS)
def test_error_is_spelled_for_its_caller(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: Any,
    options: dict[str, Any],
    cell: str,
    python: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    first: Any = "RTX 4090" if function == Machine.of else "a red circle"
    first = [first] if function is cogmagic.generate_many else first
    with pytest.raises(CogMagicError) as raised:
        function(first, **options)
    assert python in str(raised.value)
    assert "--" not in str(raised.value)
    with typed_in_cell(), pytest.raises(CogMagicError) as raised:
        function(first, **options)
    assert cell in str(raised.value)


@pytest.mark.parametrize("kind", [BatchError, Cancelled])
def test_errors_of_a_batch_are_spelled_for_python(kind: type[BaseException]) -> None:
    error = kind("1 of 3. Run the same rows with --save /out to make the rest.")
    if isinstance(error, BatchError):
        error.failed = {2: "Nearest: --num-frames 33."}
    match = 'Run the same rows with save="/out" to make the rest'
    with pytest.raises(kind, match=match), errors_for_python():
        raise error
    if isinstance(error, BatchError):
        assert error.failed == {2: "Nearest: num_frames=33."}


@pytest.mark.parametrize(
    ("notebook", "shell"),
    [
        ("type %cogvideo plan --which-gpu in a cell.", "type cogmagic plan --which-gpu."),
        ("Type %pip install av, restart the kernel", "Type pip install av, restart cogmagic"),
        ('presets.toml:NAME, or %config CogMagic.presets = "presets.toml".', "presets.toml:NAME."),
        ("Type %cd FOLDER with a folder (os.chdir in Python).", "Type cd FOLDER with a folder."),
        ("Type: %cogvideo release, or end other processes", "Type: end other processes"),
        ("Check the path, or the variable's name.", "Check the path."),
        ("void needs a mask: --mask PATH, or a variable.", "void needs a mask: --mask PATH."),
        ("GiB that this kernel may take", "GiB that this process may take"),
        ("the kernel FlashAttention-3 is missing", "the kernel FlashAttention-3 is missing"),
    ],
)
def test_errors_are_spelled_for_a_shell(notebook: str, shell: str) -> None:
    assert as_command(notebook) == shell
