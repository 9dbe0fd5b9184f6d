"""Completion of the magic's line."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

from cogmagic import Machine
from cogmagic._machine.cards.table import CARDS
from cogmagic._machine.described import APPLE_CHIPS
from cogmagic._notebook.completion import complete
from cogmagic._notebook.verbs import VERBS
from tests.helpers.cells import PROMPT


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("%%cogvideo --st", {"--start", "--steps", "--strength"}),
        ("%%cogvideo --num-f", {"--num-frames"}),
        (
            "%%cogvideo --tier ",
            {"auto", "none", "model", "stream", "staged", "sequential", "balanced"},
        ),
        ("%%cogvideo --tier mo", {"model"}),
        ("%%cogvideo --seed 3 --tier s", {"sequential", "stream", "staged"}),
        ("%%cogvideo --model 1", {"1.5-5b", "1.5-5b-i2v", "1.5-5b-inp"}),
        ("%%cogvideo --scheduler d", {"ddim", "dpm"}),
        ("%cogvideo st", {"status"}),
        ("%cogvideo ", set(VERBS)),
        ("%cogvideo plan --dt", {"--dtype"}),
        ("%cogvideo plan --gp", {"--gpu", "--gpus"}),
        ("%cogvideo release ", {"--prompts"}),
        ("%cogvideo cluster ", {"local", "status", "off"}),
        ("%cogvideo cluster o", {"off"}),
        ("%cogvideo history --c", {"--clear"}),
        ("%cogvideo plan --v", {"--video", "--vram", "--vram-limit"}),
        ("%cogvideo plan --gpu L4", {"L4", "L40", "L40S"}),
        ('%cogvideo plan --gpu "RTX 3060" --vram-', {"--vram-limit"}),
        ("# a clip\n\nx = 1\n%cogvideo rel", {"release"}),
        ("shown = %cogvideo stat", {"status"}),
        ("for n in (1,):\n    %cogvideo plan --tier mo", {"model"}),
        ("\n\n%%cogvideo --tier mo", {"model"}),
        ("%%time\n%%cogvideo --tier mo", {"model"}),
    ],
)
def test_options_values_and_verbs_are_completed(shell: Any, line: str, offers: set[str]) -> None:
    with provisionalcompleter():
        completions = list(shell.Completer.completions(f"{line}\n{PROMPT}", len(line)))
    assert {c.text for c in completions} == offers
    typed = "" if line.endswith(" ") else line.split()[-1]
    assert completions
    assert all(line[c.start : c.end] == typed for c in completions)


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("%cogvideo plan --gpu ", ""),
        ("%cogvideo plan --gpu RTX", "RTX"),
        ("%cogvideo plan --gpu=RTX", "RTX"),
        ('%cogvideo plan --model 5b --gpu "RTX 30', '"RTX 30'),
        ("%cogvideo plan --gpu rtx 30", "rtx 30"),
        ("%cogvideo plan --gpu 'RTX 30", "'RTX 30"),
    ],
)
def test_cards_are_completed_in_quotes(shell: Any, line: str, typed: str) -> None:
    with provisionalcompleter():
        completions = list(shell.Completer.completions(line, len(line)))
    names = {c.text for c in completions}
    assert '"RTX 3060"' in names
    choices = {*APPLE_CHIPS, *(card.name for card in CARDS)}
    assert names <= {f'"{name}"' if " " in name else name for name in choices}
    assert ("T4" in names) is (typed == "")
    assert all(line[c.start : c.end] == typed for c in completions)


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("509", {'"RTX 5090"', '"RTX 5090 D"', '"RTX 5090 Laptop"'}),
        ('"509', {'"RTX 5090"', '"RTX 5090 D"', '"RTX 5090 Laptop"'}),
        ("4060ti", {'"RTX 4060 Ti 8GB"', '"RTX 4060 Ti 16GB"'}),
        ("nano", {'"Jetson Orin Nano 8GB"'}),
        ("NVIDIA A10", {"A10", "A10G", '"A100 40GB"', '"A100 80GB"'}),
        ('"2x RTX 309', {'"2x RTX 3090"', '"2x RTX 3090 Ti"'}),
        ("2x 309", {'"2x RTX 3090"', '"2x RTX 3090 Ti"'}),
        ("2 x v", {'"2 x V100 16GB"', '"2 x V100 32GB"'}),
        ("2 v", {'"2 V100 16GB"', '"2 V100 32GB"'}),
        ('"RTX 3090 + 3060', {f'"RTX 3090 + RTX 3060{s}"' for s in ("", " 8GB", " Ti", " Laptop")}),
        ("T4 + 15x l2", {'"T4 + 15x L20"'}),
        ("T4 + 16x l2", set()),
        ("17x ", set()),
        ("2x orin", set()),  # one machine has one integrated GPU
        ("RTX 3090 + RX 79", set()),
        ("7900xt", {'"RX 7900 XT"', '"RX 7900 XTX"'}),
        ("40GB", set()),
        ("m2", {"M2", '"M2 Pro"', '"M2 Max"', '"M2 Ultra"'}),
        ("2x m2", set()),
        ("RTX 9999", set()),
    ],
)
def test_cards_are_completed_from_any_word_and_after_a_count(typed: str, offers: set[str]) -> None:
    for line in (f"%cogvideo plan --gpu {typed}", f"%cogvideo plan --gpu={typed}"):
        completion = complete(line)
        assert completion is not None
        assert completion[0] == typed
        assert set(completion[1]) == offers


@pytest.mark.parametrize("typed", ["", "2x ", "2x", '"2x RTX 4', "RTX 3090 + ", "16x "])
def test_every_offered_value_is_a_machine(shell: Any, typed: str) -> None:
    line = f"%cogvideo plan --gpu {typed}"
    with provisionalcompleter():
        completions = list(shell.Completer.completions(line, len(line)))
    assert len(completions) > 10
    for completion in completions:
        assert line[completion.start : completion.end] == typed
        count = {"": 1, "1": 16}.get(typed[:1], 2)
        name = completion.text.strip('"')
        if name in APPLE_CHIPS:
            assert Machine.of(name, ram=16).device == "mps"
        else:
            assert len(Machine.of(name).gpus) == count


@pytest.mark.parametrize(
    ("typed", "offers"),
    [
        ("fox.", ["fox.mp4", "fox.gif", "fox.webm", "fox.png"]),
        ("clips/v1.5/fox.G", ["clips/v1.5/fox.gif"]),
        ("'my clips/fox.w", ['"my clips/fox.webm"']),
        ("fox.avi", None),
        ("clips.d/fox", None),
        ("../", None),
        ("..", None),
    ],
)
def test_suffixes_of_the_file_are_completed(typed: str, offers: list[str] | None) -> None:
    assert complete(f"%%cogvideo --save {typed}") == (offers and (typed, offers))


def test_used_options_are_not_offered_again() -> None:
    completion = complete("%%cogvideo --steps 3 --")
    assert completion is not None
    assert not {"--steps", "--num-inference-steps"} & set(completion[1])


@pytest.mark.parametrize(
    "line",
    ["", "%%cogvideo", "%cogvid", "x = 3", "%%cogvideo --save ", "print --st", "%cogvideo save a"],
)
def test_completion_leaves_other_lines_and_paths_to_other_completers(line: str) -> None:
    assert complete(line) is None


@pytest.mark.parametrize(
    "above",
    ["%%cogvideo\n", "# a comment\n%%cogvideo ", "%%bash\n%%cogvideo ", "x = 1\n%%cogvideo "],
)
def test_line_that_ipython_passes_to_no_magic_is_not_completed(shell: Any, above: str) -> None:
    text = f"{above}--st"
    with provisionalcompleter():
        completions = {c.text for c in shell.Completer.completions(text, len(text))}
    assert "--steps" not in completions
