"""The reference has every option, choice, verb, error and public name of the code."""

from __future__ import annotations

import re

import cogmagic
from cogmagic._api.options import cell_options
from cogmagic._notebook.verbs import VERBS
from tests.docs.test_tables import site_module
from tests.helpers.benchmarks import ROOT

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def rows() -> dict[str, str]:
    """The first table of the reference: the typed options of each row, and the row."""
    table = REFERENCE.split("| option | meaning |")[1].split("\n\n")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `--")]
    return {re.split(r"(?<!\\) \| ", line)[0]: line for line in lines}


def test_the_table_of_options_is_that_of_the_code() -> None:
    typed = {flag for head in rows() for flag in re.findall(r"--[a-z][\w-]*", head)}
    flags = {f for option in cell_options() for f in option.flags if f.startswith("--")}
    assert typed == flags - {"--help"}


def test_every_choice_is_in_the_row_of_its_option() -> None:
    by_flag = {flag: row for head, row in rows().items() for flag in re.findall(r"--[\w-]+", head)}
    elsewhere = {"tier"}  # whose values are those of the page that the row links to
    for option in cell_options():
        if option.choices and option.name not in elsewhere:
            row = by_flag[f"--{option.name}"]
            assert [c for c in option.choices if c not in row] == [], option.name


def test_every_verb_and_error_is_explained() -> None:
    for verb in VERBS:
        assert f"%cogvideo {verb}" in REFERENCE
    for name in cogmagic.__all__:
        value = getattr(cogmagic, name)
        if isinstance(value, type) and issubclass(value, cogmagic.CogMagicError):
            assert f"`{name}`" in REFERENCE


def test_generated_pages_have_every_option_and_public_name() -> None:
    options = site_module("options_page").options_page()
    for option in cell_options():
        assert f"`--{option.name}" in options
    api = site_module("api_page").api_page()
    modules = {"__version__", "training"}
    missing = [n for n in cogmagic.__all__ if f":: cogmagic.{n}\n" not in api and n not in modules]
    assert not missing
