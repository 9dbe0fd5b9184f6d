"""The reference has every option, verb, error and public name of the code."""

from __future__ import annotations

import cogmagic
from cogmagic._api.options.table import cell_options
from cogmagic._notebook.verbs import VERBS
from tests.docs.test_tables import site_module
from tests.helpers.benchmarks import ROOT

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_table_of_options_is_that_of_the_code() -> None:
    module = site_module("options_page")
    stored = REFERENCE.partition(module.BEGIN)[2].partition(module.END)[0].strip()
    assert stored == module.options_table().strip(), "run python docs/site/options_page.py"
    for option in cell_options():
        assert f"`--{option.name}" in stored or option.name == "help"


def test_pages_that_explain_an_option_are_of_options() -> None:
    assert site_module("options_page").EXPLAINED.keys() <= {o.name for o in cell_options()}


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
