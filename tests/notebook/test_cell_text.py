"""Options written as a cell, and parsed again."""

from __future__ import annotations

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from IPython.utils.text import DollarFormatter

from cogmagic._api.options.parser import parse_line
from cogmagic._notebook.cell_text import as_cell, changed_options
from cogmagic._units import GIB

words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
words = words.filter(lambda word: word != "--")  # some versions of argparse lose it


@settings(max_examples=600, deadline=None)
@example(save="$ $a $$a {a} {{a}}", negative="-$.", seed=1, fp8=True)
@given(words, words, st.integers(0, 2**31), st.booleans())
def test_cell_parses_to_the_options_it_was_made_of(
    save: str, negative: str, seed: int, fp8: bool
) -> None:
    text = save + negative
    assume("$" not in text or not set(text) & set("'\""))  # IPython's rule looks at all quotes
    options = {"width": 720, "height": 480, "save": save, "negative_prompt": negative}
    options |= {"seed": seed, "fp8": fp8, "vram_limit": 10 * GIB, "dtype": None}
    first, _, body = as_cell("a {prompt} $HOME", options).partition("\n")
    assert body == "a {prompt} $HOME"
    # As IPython expands the line before the magic gets it.
    line = DollarFormatter().vformat(first.removeprefix("%%cogvideo "), (), {"prompt": "no"})
    parsed = parse_line(line, "%%cogvideo")
    expected = {k: v for k, v in options.items() if v not in (None, "") and v is not False}
    assert parsed == expected


def test_timesteps_are_written_as_they_are_typed() -> None:
    line = "--timesteps 999,749,499,249"
    assert as_cell("a fox", parse_line(line, "%%cogvideo")) == f"%%cogvideo {line}\na fox"


def test_line_breaks_become_spaces_in_an_option() -> None:
    cell = as_cell("one\ntwo", {"negative_prompt": "dark\nblurred"})
    assert cell == '%%cogvideo --negative-prompt "dark blurred"\none\ntwo'


def test_only_options_that_differ_from_the_defaults_stay() -> None:
    clip = {"model": "5b", "width": 720, "height": 480, "num_frames": 49, "seed": 0, "fps": 8}
    clip |= {"speed": "exact", "keep": "warm", "tier": "auto", "num_inference_steps": 20}
    few = {"model": "5b", "seed": 0, "num_inference_steps": 20}
    assert changed_options(clip) == few
    assert changed_options(clip, {"speed": "fast", "model": "5b"}) == few | {"speed": "exact"}
    assert changed_options(few | {"width": 480, "height": 480})["height"] == 480
    picture = {"model": "5b-i2v", "image": "frame", "video": None, "extend": None}
    assert changed_options(picture | {"fit": "crop"})["fit"] == "crop"
    assert "fit" not in changed_options(picture | {"fit": "stretch"})
    assert "fit" not in changed_options({"model": "5b", "video": "a.mp4", "fit": "crop"})
