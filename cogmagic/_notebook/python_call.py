"""A magic that is typed as a call of Python: ``%%cogvideo("a fox", seed=3)``."""

from __future__ import annotations

import ast

from cogmagic._api.options.words import quoted
from cogmagic._notebook.first_line import Line, split_prompt

__all__ = ["as_line"]


def as_line(rest: str) -> Line | None:
    """The options and the prompt of a call of Python, ``("a fox", seed=3)``; None for others."""
    try:
        call = ast.parse(f"f{rest.strip().rstrip(';')}", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        return None
    texts = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    options, prompt = list[str](), " ".join(texts)
    for keyword in call.keywords:
        value = ast.unparse(keyword.value)
        if isinstance(keyword.value, ast.Constant):
            value = str(keyword.value.value)
        if keyword.arg == "prompt":
            prompt = value
        elif keyword.arg:
            typed = "" if value == "True" else f" {quoted(value)}"
            options.append(f"--{keyword.arg.replace('_', '-')}{typed}")
    return split_prompt(" ".join(options))._replace(prompt=prompt) if prompt else None
