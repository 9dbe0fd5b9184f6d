"""Models by name, and the folders of their files: package, local folder or the hub's cache."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from cogmagic._errors import CheckpointError, RequestError, first_line
from cogmagic._files import typed_path
from cogmagic._models.adapters.local import CONVENTIONAL, is_lora
from cogmagic._models.catalog import by_other_name, catalogued, names_void, unknown_model
from cogmagic._models.checkpoints.embedded import embedded_folder
from cogmagic._models.checkpoints.folder import check_folder
from cogmagic._models.checkpoints.identify import identify, with_packed
from cogmagic._models.checkpoints.makes import no_pipeline
from cogmagic._models.model import Model

__all__ = ["configs_folder", "embedded_folder", "find_model", "local_folder"]


_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


_HUB_PAGE = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)", re.I)


def find_model(name: str) -> Model:
    """The model of a name: a short name, a hub id, or a folder.

    For a hub id outside the catalogue, its small configuration files are fetched to identify it.

    Raises:
        RequestError: for a name that is none of these.
        CheckpointError: for a folder or repository that is not a complete CogVideoX pipeline.
    """
    if not isinstance(name, str):
        raise RequestError(
            f"model={name!r:.80} is not text. Give a short name, a hub id or a folder."
        )
    known = catalogued(name)
    if known is not None:
        return _as_typed(known, name)
    try:
        folder = typed_path(name)
        is_folder, is_file = bool(name) and folder.is_dir(), folder.is_file()
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a NUL
        raise CheckpointError(f"--model {name[:100]!r} is not a usable path ({error}).") from None
    if is_folder:
        try:
            return identify(folder, str(folder.resolve()))
        except OSError as error:
            raise CheckpointError(
                f"{name} cannot be read ({first_line(error)}). Check its permissions."
            ) from None
    if is_file:
        raise _is_a_file(name, folder.absolute())
    if named := by_other_name(name):
        return named
    if names_void(name) and not name.startswith((".", "/", "~")):
        raise unknown_model(name)
    if page := _HUB_PAGE.match(name):
        raise RequestError(f"{name[:200]} is a web page. Give its hub id: --model {page[1]}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise CheckpointError(
            f"No folder at {name}. Check the path, or give a hub id (owner/name)."
        )
    if _HUB_ID.fullmatch(name):
        from cogmagic._models.hub.download import cached_folder, fetch_configs

        folder, size = fetch_configs(name)
        model = replace(identify(folder, name, has_weights=False), download_bytes=size)
        complete = cached_folder(model)
        return with_packed(model, complete) if complete else model
    raise unknown_model(name)


def _is_a_file(name: str, file: Path) -> CheckpointError:
    """The error for a file in place of a folder, with the folder if it belongs to a checkpoint."""
    for folder in file.parents[:2]:
        if (folder / "model_index.json").is_file():
            return CheckpointError(
                f"{name} is one file of a checkpoint. Give its folder: --model {folder}."
            )
    return no_pipeline(name, (CONVENTIONAL[0] if is_lora(file) else file.name,))


def _as_typed(model: Model, name: str) -> Model:
    """The model with the typed hub id, in the hub's spelling, as its source."""
    ids = (model.source, *model.also)
    typed = next((i for i in ids if i.lower() == name.lower()), model.source)
    return replace(model, source=typed, also=tuple(i for i in ids if i != typed))


def local_folder(model: Model) -> Path | None:
    """The complete checkpoint of a model on this machine; None if it must be downloaded."""
    if model.embedded or Path(model.source).is_absolute():
        folder = embedded_folder(model.name) if model.embedded else Path(model.source)
        check_folder(folder)
        return folder
    from cogmagic._models.hub.download import cached_folder

    return cached_folder(model)


def configs_folder(model: Model) -> Path | None:
    """The folder of the configurations of a model from `find_model`, or None."""
    if model.embedded or Path(model.source).is_absolute():
        return local_folder(model)
    from cogmagic._models.hub.cache import main_snapshot

    return main_snapshot(model.source)
