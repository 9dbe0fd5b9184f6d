"""The tables of options, from the table that the cell magic itself is parsed by.

python docs/site/options_page.py      # writes that of reference.md again; a test compares them

`options_page` is the site's page of all options and verbs; `options_table` is the table that
reference.md has, so that it can be read on GitHub, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cogmagic._api.options.option import Option
from cogmagic._api.options.table import cell_options
from cogmagic._notebook.verbs import VERBS

PAGE = Path(__file__).parents[1] / "reference.md"
BEGIN, END = "<!-- options: begin -->\n", "<!-- options: end -->\n"
HEAD = """# Every option

Generated from cogmagic's own table of options, so it is complete. [The reference](../reference.md)
explains what they do together, and `%%cogvideo --help` prints this manual in the notebook.
In Python, each option has the same name in snake case: `--num-frames 49` is `num_frames=49`.
"""
EXPLAINED = {
    "model": "models.md",
    "size": "models.md#sizes-lengths-and-portrait",
    "num-frames": "models.md#sizes-lengths-and-portrait",
    "guidance-from": "speed.md#guidance-in-some-steps",
    "guidance-until": "speed.md#guidance-in-some-steps",
    "timesteps": "presets.md#timesteps",
    "preset": "presets.md",
    "image": "models.md#image-to-video",
    "video": "input.md#video-to-video",
    "strength": "input.md#video-to-video",
    "fit": "input.md#fitting",
    "last-image": "inpaint.md#end-frame",
    "mask": "inpaint.md#a-part-made-new",
    "extend": "input.md#extending-a-clip",
    "overlap": "input.md#extending-a-clip",
    "lora": "lora.md",
    "truncate": "models.md#prompts-length-and-language",
    "prompts": "batches.md",
    "seeds": "batches.md",
    "num-videos": "batches.md",
    "tier": "tiers.md",
    "policy": "planning.md",
    "parallel": "planning.md#several-gpus",
    "speed": "speed.md",
    "compile": "speed.md#compiling",
    "attention": "speed.md#attention-kernels",
    "cache": "speed.md#step-cache",
    "quantize": "tiers.md#quantised-weights",
    "lean-decode": "tiers.md#less-memory",
    "guidance-halves": "tiers.md#less-memory",
    "fp8": "speed.md#fp8-products",
    "keep": "tiers.md#what-stays-after-a-run",
    "save": "reference.md#formats",
}
"""Where the pages explain an option."""


def options_table() -> str:
    """Markdown: a table of the options of a cell, with a row for each group's name."""
    lines = ["| option | meaning |", "|---|---|"]
    for group, options in _groups().items():
        lines.append(f"| **{group}** | |")
        lines += [f"| {_typed(o)} | {_meaning(o, '')} |" for o in options if o.name != "help"]
    return "\n".join(lines) + "\n"


def options_page() -> str:
    """Markdown with a table for each group of options, and one of the verbs."""
    parts = [HEAD]
    parts += [f"## {group}\n\n{_table(options)}" for group, options in _groups().items()]
    parts.append("## Verbs\n\n" + "\n".join(_verbs()))
    for verb in VERBS.values():
        if own := [option for option in verb.options() if option not in cell_options()]:
            parts.append(f"### Options of `%cogvideo {verb.name}`\n\n{_table(own)}")
    return "\n\n".join(parts) + "\n"


def page_with(table: str, page: str) -> str:
    """The reference with another table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def _groups() -> dict[str, list[Option]]:
    groups: dict[str, list[Option]] = {}
    for option in cell_options():
        groups.setdefault(option.group, []).append(option)
    return groups


def _table(options: Iterable[Option]) -> str:
    rows = [f"| {_typed(o)} | {_meaning(o, '/')} |" for o in options]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])


def _verbs() -> list[str]:
    rows = []
    for verb in VERBS.values():
        line = " ".join(filter(None, ("%cogvideo", verb.name, verb.argument, verb.switch)))
        rows.append(f"| `{_escaped(line)}` | {_escaped(verb.help)} |")
    return ["| typed | what it does |", "|---|---|", *rows]


def _typed(option: Option) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(f"`{flag}{value}`" for flag in option.flags)


def _meaning(option: Option, root: str) -> str:
    """What an option means, its values, and a link to the page at `root` that explains it."""
    text = re.sub(r"(?<!\w)--[a-z][\w-]*", r"`\g<0>`", _escaped(option.help))
    named = ", ".join(f"`{value}`" for value in option.choices or option.suggestions)
    values = f"; one of {named}" if option.choices else f"; such as {named}" if named else ""
    page = EXPLAINED.get(option.name, "")
    name, _, anchor = page.partition("#")
    label = (anchor or name.removesuffix(".md")).replace("-", " ")
    address = f"#{anchor}" if name == PAGE.name and not root else f"{root}{page}"
    return f"{text}{values}" + (f" ([{label}]({address}))" if page else "")


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page_with(options_table(), page), encoding="utf-8")


if __name__ == "__main__":
    main()
