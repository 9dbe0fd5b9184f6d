"""Options written as a cell."""

from __future__ import annotations

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from IPython.utils.text import DollarFormatter

from cogmagic._api.options import parse_line
from cogmagic._notebook.cell_text import as_cell
from cogmagic._units import GIB

words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
words = words.filter(lambda word: word != "--")  # which some versions of argparse lose


@settings(max_examples=600, deadline=None)
@example(save="$ $a $$a {a} {{a}}", negative="-$.", seed=1, fp8=True)
@given(words, words, st.integers(0, 2**31), st.booleans())
def test_a_cell_says_what_it_was_made_of(save: str, negative: str, seed: int, fp8: bool) -> None:
    text = save + negative
    assume("$" not in text or not set(text) & set("'\""))  # IPython's rule looks at all quotes
    options = {"width": 720, "height": 480, "save": save, "negative_prompt": negative}
    options |= {"seed": seed, "fp8": fp8, "vram_limit": 10 * GIB, "dtype": None}
    first, _, body = as_cell("a {prompt} $HOME", options).partition("\n")
    assert body == "a {prompt} $HOME"
    # As IPython does before a magic gets its line.
    line = DollarFormatter().vformat(first.removeprefix("%%cogvideo "), (), {"prompt": "no"})
    found = parse_line(line, "%%cogvideo")
    expected = {k: v for k, v in options.items() if v not in (None, "") and v is not False}
    assert found == expected


def test_a_text_of_several_lines_is_one_in_a_cell() -> None:
    cell = as_cell("one\ntwo", {"negative_prompt": "dark\nblurred"})
    assert cell == '%%cogvideo --negative-prompt "dark blurred"\none\ntwo'
