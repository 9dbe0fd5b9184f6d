"""Sphinx's settings for the documentation.

sphinx-build -W --keep-going -n docs build/site        # from the repository, with the docs extra
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent / "site"), str(Path(__file__).parents[1])]

from cogmagic import __version__  # noqa: E402 - after the path

project = "cogmagic"
author = copyright = "The cogmagic developers"  # noqa: A001 - Sphinx's name
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "generated_pages",
]
root_doc = "index"
source_suffix = {".md": "markdown"}
exclude_patterns = ["site"]
nitpicky = True

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
myst_links_external_new_tab = False

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_use_rtype = False
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other packages and private ones have no page

html_theme = "furo"
html_title = f"cogmagic {version}"
html_copy_source = False
html_show_sourcelink = False
copybutton_exclude = ".linenos, .gp, .go"
