"""Completion of the magic's line."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

from cogmagic._notebook.completion import complete
from cogmagic._notebook.verbs import VERBS
from tests.helpers.cells import PROMPT


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("%%cogvideo --st", {"--steps"}),
        ("%%cogvideo --num-f", {"--num-frames"}),
        (
            "%%cogvideo --tier ",
            {"auto", "none", "model", "stream", "staged", "sequential", "balanced"},
        ),
        ("%%cogvideo --tier mo", {"model"}),
        ("%%cogvideo --seed 3 --tier s", {"sequential", "stream", "staged"}),
        ("%%cogvideo --model 1", {"1.5-5b", "1.5-5b-i2v"}),
        ("%%cogvideo --scheduler d", {"ddim", "dpm"}),
        ("%cogvideo st", {"status"}),
        ("%cogvideo ", set(VERBS)),
        ("%cogvideo plan --dt", {"--dtype"}),
        ("%cogvideo plan --gp", {"--gpu", "--gpus"}),
        ("%cogvideo release ", {"--prompts"}),
        ("%cogvideo history --c", {"--clear"}),
    ],
)
def test_options_values_and_verbs_are_completed(shell: Any, line: str, offers: set[str]) -> None:
    with provisionalcompleter():
        completions = list(shell.Completer.completions(f"{line}\n{PROMPT}", len(line)))
    assert {c.text for c in completions} == offers
    typed = "" if line.endswith(" ") else line.split()[-1]
    assert all(line[c.start : c.end] == typed for c in completions)


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


def test_prompt_is_not_completed(shell: Any) -> None:
    text = "%%cogvideo\n--st"
    with provisionalcompleter():
        completions = {c.text for c in shell.Completer.completions(text, len(text))}
    assert "--steps" not in completions
