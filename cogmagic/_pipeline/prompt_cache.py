"""Prompts' embeddings, kept between runs: the same prompt again needs no text encoder.

One small file each (1.8 MiB for the 5B models) in the user's cache folder, named by a digest of the
encoder's files, the prompt, the dtype, the device and the libraries, so that what is found is what
encoding would give. The prompt itself is not in it. The oldest go when there are more than 128 MiB.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._files import cache_folder, write_atomically
from cogmagic._models.request import Request

if TYPE_CHECKING:
    import torch

__all__ = ["Texts"]


_MOST = 128 * 2**20


_PARTS = ("text_encoder", "tokenizer")


class Texts:
    """The embeddings of one request's prompts: the prompt and, with guidance, the negative one."""

    def __init__(self, request: Request, checkpoint: Path, dtype: str, device: str) -> None:
        guided = request.guidance_scale > 1.0
        prompts = [request.prompt, *([request.negative_prompt] if guided else [])]
        about = [_identity(checkpoint), dtype, device, request.model.max_tokens]
        about += [version(name) for name in ("torch", "transformers")]
        self._files = [_folder() / f"{_digest([*about, p])}.safetensors" for p in prompts]

    @property
    def there(self) -> bool:
        """Whether they are kept, undamaged or not."""
        return all(file.is_file() for file in self._files)

    def read(self) -> tuple[torch.Tensor, ...] | None:
        """The embeddings in host memory, each [1, tokens, width]; None if one is not to be had.

        What is damaged is removed.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        found = []
        for file in self._files:
            try:
                # Read, not mapped: another kernel may remove the file at any time.
                found.append(load(file.read_bytes())["embeds"])
                os.utime(file)  # used just now: among the last to go
            except (OSError, KeyError, SafetensorError):
                with suppress(OSError):
                    file.unlink()
                return None
        return tuple(found)

    def write(self, embeddings: list[torch.Tensor]) -> None:
        """Keep them; a folder that cannot be written is no error."""
        from safetensors.torch import save

        with suppress(OSError):
            _folder().mkdir(parents=True, exist_ok=True)
            for file, embeds in zip(self._files, embeddings, strict=True):
                data = save({"embeds": embeds.detach().cpu().contiguous()})
                write_atomically(file, data)
            _trim()

    @staticmethod
    def clear() -> int:
        """Forget all; how many there were."""
        files = list(_kept())
        for file in files:
            with suppress(OSError):
                file.unlink()
        return len(files)


def _folder() -> Path:
    return cache_folder() / "prompts-v1"


def _kept() -> Iterator[Path]:
    return _folder().glob("*.safetensors")


def _trim() -> None:
    """Remove the longest unused until the rest is small enough."""
    stats = sorted(((f, f.stat()) for f in _kept()), key=lambda fs: -fs[1].st_mtime)
    held = 0
    for file, stat in stats:
        held += stat.st_size
        if held > _MOST:
            file.unlink()


def _identity(checkpoint: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files that make embeddings."""
    files = sorted(f for part in _PARTS for f in (checkpoint / part).glob("*") if f.is_file())
    return [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _digest(about: list[object]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()
