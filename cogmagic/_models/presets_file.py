"""Presets of the user's own, from a TOML file: one table a preset, with the keys of `Preset`."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError, did_you_mean, first_line, plain_line
from cogmagic._files import typed_path
from cogmagic._models import rules
from cogmagic._models.adapters.hub import hub_place
from cogmagic._models.adapters.typed import as_typed
from cogmagic._models.aliases import full_names
from cogmagic._models.catalog import MODELS, unknown_model
from cogmagic._models.model import SCHEDULERS
from cogmagic._models.presets import PRESETS, Preset, named_model
from cogmagic._models.timesteps import as_timesteps, scheduler_at, steps_at

__all__ = ["find_preset", "in_file", "preset_names", "read_presets"]


_MAX_BYTES = 2**20


_IN_FILE = re.compile(r"(?P<file>.+\.toml)(:(?P<name>[^/\\]*))?", re.IGNORECASE | re.DOTALL)
"""``FILE.toml:NAME``; a Windows path has a colon of its own."""


_NAME = re.compile(r"\w[\w.-]{0,99}")


def find_preset(name: object) -> Preset:
    """The preset of a name: one of cogmagic's, or ``FILE.toml:NAME`` for one of the user's.

    A `Preset` is returned as it is.

    Raises:
        RequestError: for an unknown one, with the nearest name, and as `read_presets`.
    """
    if isinstance(name, Preset):
        return name
    if not isinstance(name, str):
        raise RequestError(f"preset={name!r:.80} is not text. Give a name, or FILE.toml:NAME.")
    if preset := PRESETS.get(name.strip().lower()):
        return preset
    match = _IN_FILE.fullmatch(name.strip())
    if match is None:
        raise RequestError(
            f"Unknown preset {name!r:.80}.{did_you_mean(name.lower(), PRESETS)} Choose from:"
            f" {', '.join(PRESETS)}. For your own: --preset presets.toml:NAME, or %config"
            ' CogMagic.presets = "presets.toml".'
        )
    presets, wanted = read_presets(match["file"]), (match["name"] or "").strip()
    if preset := presets.get(wanted):
        return preset
    names = (*presets, *PRESETS)
    problem = f"has no preset {wanted!r:.80}." if wanted else "is a file of presets."
    near = did_you_mean(wanted, names) if wanted else ""
    first = f"{match['file']}:{next(iter(presets))}"
    raise RequestError(
        f"{match['file']} {problem}{near} Choose from: {', '.join(names)}; for example --preset"
        f" {first}."
    )


def in_file(name: str, file: str) -> str:
    """A preset's name as `find_preset` takes it, where names that are not cogmagic's are in a file.

    Args:
        name: as it was typed.
        file: the file of the user's presets; empty for none.
    """
    if not file or name.strip().lower() in PRESETS or _IN_FILE.fullmatch(name.strip()):
        return name
    return f"{file}:{name.strip()}"


def preset_names(file: str) -> tuple[str, ...]:
    """The names of cogmagic's presets, and of those in a file as far as it can be read."""
    with suppress(RequestError):
        return (*PRESETS, *(read_presets(file) if file else ()))
    return tuple(PRESETS)


def read_presets(file: str | Path) -> dict[str, Preset]:
    """The presets of a TOML file, by name.

    Raises:
        RequestError: for a file that cannot be read, with the preset, the key and the value.
    """
    path = Path(file)
    try:
        path = typed_path(path).absolute()
        tables = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{file} is not valid TOML: {first_line(error)}.") from None
    except FileNotFoundError:
        raise RequestError(f"No presets file at {file}. Check the path.") from None
    except (OSError, RuntimeError, ValueError, RecursionError) as error:
        raise RequestError(f"{str(file)[:200]} cannot be read ({first_line(error)}).") from None
    if not tables:
        raise RequestError(f"{file} has no presets. Begin one with its name in brackets: [quick].")
    return {name: _preset(str(file), path.parent, name, table) for name, table in tables.items()}


def _text(path: Path) -> str:
    if path.suffix.lower() != ".toml":
        raise ValueError("its name does not end in .toml")
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a file")
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def _preset(file: str, folder: Path, name: str, table: object) -> Preset:
    """The preset of one table; relative paths in it start at `folder`."""
    if not isinstance(table, dict):
        raise RequestError(
            f"{file}: {name} = {table!r:.80} is outside a preset. Put it below a name in brackets,"
            " such as [quick]."
        )
    where = f"{file}, preset {name!r:.80}"
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{where}: a name has letters, digits, hyphens, dots and underscores only."
        )
    if name.lower() in PRESETS:
        raise RequestError(f"{where}: cogmagic has a preset of that name. Choose another.")
    for key in table:
        if key not in _KEYS:
            near = did_you_mean(key, _KEYS)
            raise RequestError(f"{where}: unknown key {key!r:.80}.{near} Keys: {', '.join(_KEYS)}.")
    try:
        values = {key: _KEYS[key](folder, value) for key, value in table.items()}
        preset = Preset(name=name, **full_names(values))
        steps_at(MODELS[0], preset.num_inference_steps, preset.timesteps)
        scheduler_at(MODELS[0], preset.scheduler, preset.timesteps)
    except RequestError as error:
        raise RequestError(f"{where}: {error}") from None
    if not (preset.lora or preset.settings):
        raise RequestError(
            f"{where} sets nothing. Give it a lora, a scheduler, timesteps, steps or a"
            " guidance_scale."
        )
    return preset


def _texts(key: str, value: object) -> list[str]:
    """A text, or a list of texts, none of them empty."""
    texts: list[Any] = value if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise RequestError(f"{key} = {value!r:.80} is neither a text nor a list of texts.")
    return [text.strip() for text in texts]


def _models(folder: Path, value: object) -> tuple[str, ...]:
    """The models of a preset: short names, hub ids and absolute folders."""
    return tuple(_model(folder, name) for name in _texts("models", value))


def _model(folder: Path, name: str) -> str:
    if known := named_model(name):
        return known.name
    with suppress(OSError, RuntimeError, ValueError):  # a NUL, ~nobody, a name that is too long
        path = folder / Path(name).expanduser()
        if path.is_dir():
            return str(path.resolve())
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name
    raise unknown_model(name)


def _lora(folder: Path, value: object) -> tuple[str, ...]:
    """The adapters of a preset, those beside its file by their absolute paths."""
    return tuple(_beside(folder, text) for text in _texts("lora", value))


def _beside(folder: Path, text: str) -> str:
    typed = as_typed(text)
    with suppress(OSError, RuntimeError, ValueError):
        path = folder / Path(typed.source).expanduser()
        here = path.exists() or path.with_name(f"{path.name}.safetensors").is_file()
        if here or hub_place(typed.source) is None:
            return str(path) if typed.weight == 1 else f"{path}@{typed.weight!r}"
    return text


def _line(key: str) -> Callable[[Path, object], str]:
    """The conversion of a key that takes one line of text."""

    def line(_: Path, value: object) -> str:
        return plain_line(rules.text(key, value))

    return line


def _steps(_: Path, value: Any) -> int:
    return rules.steps(MODELS[0], value)


_KEYS: dict[str, Callable[[Path, Any], Any]] = {
    "models": _models,
    "lora": _lora,
    "scheduler": lambda _, value: rules.choice("scheduler", value, SCHEDULERS),
    "timesteps": lambda _, value: as_timesteps(value),
    "num_inference_steps": _steps,
    "steps": _steps,
    "guidance_scale": lambda _, value: rules.guidance(MODELS[0], value),
    "description": _line("description"),
    "recipe": _line("recipe"),
}
"""The keys of a table, each with its check; it gets the file's folder and the value."""
