"""Values that the verbs `status` and `models` return, and their display."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cogmagic._html import volatile_table, volatile_text
from cogmagic._machine.allocator import allocator_option
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.machine import Machine
from cogmagic._models.catalog import MODELS, catalogued, unknown_model
from cogmagic._models.model import Model
from cogmagic._units import gib

__all__ = ["Models", "Status"]


@dataclass(frozen=True)
class Status:
    """VRAM per GPU, host memory and the loaded pipeline, at one moment."""

    machine: Machine
    loaded: str | None
    """Model and dtype of the loaded pipeline, or None."""
    loaded_bytes: int = 0
    """Bytes of its weights in host memory."""
    hot_bytes: int = 0
    """Bytes of its weights on GPUs, where ``keep="hot"`` leaves them for the next run."""
    workers: int = 0
    """The worker processes of runs with ``--parallel`` that wait for the next one."""
    workers_ram: int = 0
    """Bytes of their private host memory; mapped weight files do not count."""
    workers_vram: Mapping[int, int] = field(default_factory=dict)
    """Bytes that they use of each GPU, their CUDA contexts included."""
    cluster: str = ""
    """The connected cluster and its workers, one a line."""

    def rows(self) -> list[tuple[str, str]]:
        """The label and the text of each line."""
        rows = []
        for gpu in self.machine.gpus:  # two lines each, to fit 80 columns
            rows.append((f"GPU {gpu.index}", _memory(gpu)))
            rows.append(("", _users(gpu, self.workers_vram.get(gpu.index, 0))))
        if not rows:
            rows = [("GPU", _other_device(self.machine))]
        if self.machine.device == "cuda":
            rows.append(("allocator", allocator_option()))
        ram = self.machine.ram
        limit = " (the container's limit)" if ram.source == "container" else ""
        if ram.mappable is not None:
            limit += f"; {gib(ram.mappable)} may still be mapped (ulimit -v or -d)"
        rows.append(("RAM", f"{gib(ram.available)} available of {gib(ram.total)}{limit}"))
        rows.append(("loaded", self._loaded()))
        if self.workers:
            vram = sum(self.workers_vram.values())
            on_gpus = f" and {gib(vram)} of VRAM" if vram else ""
            text = f"{self.workers} processes use {gib(self.workers_ram)} of RAM{on_gpus}"
            rows += [("workers", text), ("", "%cogvideo release ends them")]
        for line in self.cluster.removeprefix("cluster ").splitlines():
            rows.append(("" if line.startswith(" ") else "cluster", line.strip()))
        if self.machine.note:
            rows.append(("note", self.machine.note))
        return rows

    def _loaded(self) -> str:
        if self.loaded is None:
            return "nothing"
        where = [f"{gib(self.loaded_bytes)} in RAM"] if self.loaded_bytes else []
        where += [f"{gib(self.hot_bytes)} on the GPU"] if self.hot_bytes else []
        return f"{self.loaded}, {' and '.join(where) or 'without its weights'}"

    def __str__(self) -> str:
        return "\n".join(f"{label:<9} {text}" for label, text in self.rows())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude
        return volatile_text(str(self))


def _memory(gpu: Gpu) -> str:
    shared = ", shared with the CPU" if gpu.unified else ""
    return f"{gpu.name}: {gib(gpu.free)} free of {gib(gpu.total)}{shared}"


def _users(gpu: Gpu, workers: int) -> str:
    """Who uses its memory, of which worker processes have `workers` bytes."""
    mine = "n/a" if gpu.reserved is None else gib(gpu.reserved)
    if gpu.reserved is None and gpu.free is not None:
        mine = "0.00 GiB"  # CUDA is not initialised, so torch has reserved nothing
    others = None if gpu.others is None else max(gpu.others - workers, 0)
    own = f", its workers {gib(workers)}" if workers else ""
    return f"this kernel {mine}{own}, others about {gib(others)}"


def _other_device(machine: Machine) -> str:
    if machine.device == "cpu" or not machine.computing:
        return "none; runs on the CPU"
    (gpu,) = machine.computing
    return (
        f"{gpu.name} through MPS: {gib(gpu.available)} available of {gib(gpu.total)},"
        " shared with the CPU"
    )


@dataclass(frozen=True)
class LocalModel:
    """A model of the family, and where it is on this machine."""

    name: str
    folder: Path | None
    """The checkpoint, as ``from_pretrained`` takes it; None where it is not downloaded."""


_HEAD = "model", "task", "download", "size", "frames", "fps", "dtype"


@dataclass(frozen=True)
class Models:
    """The models as a table, with which of them are downloaded.

    ``cogmagic.models()["tiny"].folder`` is the embedded model's checkpoint.
    """

    folders: dict[str, Path | None]
    """The checkpoint on this machine by the short name of the model, or None."""

    def __getitem__(self, name: str) -> LocalModel:
        """The model of that short name or hub id.

        Raises:
            RequestError: for a name outside the catalogue.
        """
        model = catalogued(name)
        if model is None:
            raise unknown_model(name)
        return LocalModel(model.name, self.folders.get(model.name))

    def __str__(self) -> str:
        widths = [max(map(len, column)) for column in zip(_HEAD, *self._rows(), strict=True)]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in (_HEAD, *self._rows())
        ]
        # In a column of their own, the hub ids would make lines of more than 80 characters.
        ids = [f"{m.name:<{widths[0]}}  {m.source}" for m in MODELS if not m.embedded]
        return "\n".join([*lines, "", "Hub ids:", *ids])

    def as_json(self) -> str:
        """The models as JSON, an object a line."""
        return "\n".join(json.dumps(self._facts(m)) for m in MODELS)

    def _facts(self, m: Model) -> dict[str, Any]:
        folder = self.folders.get(m.name)
        return {
            "name": m.name,
            "source": m.source,
            "task": m.task,
            "width": m.width,
            "height": m.height,
            "frames": m.frames.rule(),
            "fps": m.fps,
            "dtype": m.dtype,
            "download_bytes": m.download_bytes,
            "folder": None if folder is None else str(folder),
        }

    def _rows(self) -> list[tuple[str, ...]]:
        return [self._row(m) for m in MODELS]

    def _row(self, m: Model) -> tuple[str, ...]:
        size = f"{m.width}x{m.height}"
        download = f"{m.download_bytes / 1e9:.1f} GB" if m.download_bytes else "none"
        if m.download_bytes and self.folders.get(m.name):
            download = "done"
        return m.name, m.task, download, size, m.frames.rule(), str(m.fps), m.dtype

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        del include, exclude
        sources = ("embedded" if m.embedded else m.source for m in MODELS)
        rows = [(*row, source) for row, source in zip(self._rows(), sources, strict=True)]
        return volatile_table((*_HEAD, "hub id"), rows, str(self))
