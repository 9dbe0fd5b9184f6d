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
    ],
)
def test_completion_of_options_values_and_verbs(shell: Any, line: str, offers: set[str]) -> None:
    with provisionalcompleter():
        found = list(shell.Completer.completions(f"{line}\n{PROMPT}", len(line)))
    assert {c.text for c in found} == offers
    typed = "" if line.endswith(" ") else line.split()[-1]
    assert all(line[c.start : c.end] == typed for c in found)


def test_completion_offers_each_option_once() -> None:
    found = complete("%%cogvideo --steps 3 --")
    assert found is not None
    assert not {"--steps", "--num-inference-steps"} & set(found[1])


@pytest.mark.parametrize(
    "line", ["", "%%cogvideo", "%cogvid", "x = 3", "%%cogvideo --save ", "print --st"]
)
def test_completion_leaves_the_rest_to_others(line: str) -> None:
    assert complete(line) is None


def test_completion_leaves_the_prompt_alone(shell: Any) -> None:
    text = "%%cogvideo\n--st"
    with provisionalcompleter():
        found = {c.text for c in shell.Completer.completions(text, len(text))}
    assert "--steps" not in found
