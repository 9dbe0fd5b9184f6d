"""The page of all options, from the table that the cell magic itself is parsed by."""

from __future__ import annotations

from collections.abc import Iterable

from cogmagic._api.option import Option
from cogmagic._api.options import cell_options
from cogmagic._notebook.verbs import VERBS

HEAD = """# Every option

Generated from cogmagic's own table of options, so it is complete. [The reference](../reference.md)
explains what they do together, and `%%cogvideo --help` prints this manual in the notebook.
In Python, each option has the same name in snake case: `--num-frames 49` is `num_frames=49`.
"""


def options_page() -> str:
    """Markdown with a table for each group of options, and one of the verbs."""
    groups: dict[str, list[Option]] = {}
    for option in cell_options():
        groups.setdefault(option.group, []).append(option)
    parts = [HEAD]
    parts += [f"## {group}\n\n{_table(options)}" for group, options in groups.items()]
    parts.append("## Verbs\n\n" + "\n".join(_verbs()))
    for verb in VERBS.values():
        if own := [option for option in verb.options() if option not in cell_options()]:
            parts.append(f"### Options of `%cogvideo {verb.name}`\n\n{_table(own)}")
    return "\n\n".join(parts) + "\n"


def _table(options: Iterable[Option]) -> str:
    rows = [f"| {_typed(o)} | {_escaped(o.help)} | {_values(o)} |" for o in options]
    return "\n".join(["| option | meaning | values |", "|---|---|---|", *rows])


def _verbs() -> list[str]:
    rows = []
    for verb in VERBS.values():
        line = " ".join(filter(None, ("%cogvideo", verb.name, verb.argument, verb.switch)))
        rows.append(f"| `{line}` | {_escaped(verb.help)} |")
    return ["| typed | what it does |", "|---|---|", *rows]


def _typed(option: Option) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    return ", ".join(f"`{flag}{value}`" for flag in option.flags)


def _values(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    if option.suggestions:
        return "such as " + ", ".join(f"`{s}`" for s in option.suggestions)
    return "a switch" if option.metavar is None else ""


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")
