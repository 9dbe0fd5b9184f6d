"""Caches of prompt embeddings, so that a repeated prompt skips the text encoder.

On disk (`PromptCache`): one small file per prompt (1.8 MiB for the 5B models) in the user's cache
folder, named by a digest of the encoder's files, the prompt, the dtype, the weight storage, the
device and the library versions, so that a hit equals what encoding would give. The file does not
contain the prompt itself. Beyond 128 MiB, the least recently used files are removed. In memory
(`cached_in_memory`): for text encoders that belong to the caller, as in training.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from cogmagic._files import cache_folder, write_atomically
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request

if TYPE_CHECKING:
    import torch

__all__ = ["MAX_BYTES", "PromptCache", "cached_in_memory", "prompts_of"]


MAX_BYTES = 128 * 2**20
"""Bytes of the cache on disk."""


_PARTS = ("text_encoder", "tokenizer")
"""The components whose files determine embeddings."""


def prompts_of(request: Request) -> tuple[str, ...]:
    """The texts to encode: the prompt and, with guidance, the negative prompt."""
    prompt, negative = request.prompt, request.negative_prompt
    return (prompt, negative) if request.guided else (prompt,)


class PromptCache:
    """The cached embeddings of one request's prompts: see `prompts_of`."""

    def __init__(
        self, request: Request, checkpoint: Path, dtype: Dtype, device: str, storage: str = ""
    ) -> None:
        self.dtype, self._storage = dtype, storage
        self._checkpoint, self._device, self._tokens = checkpoint, device, request.model.max_tokens
        self._files = self._files_of(prompts_of(request))

    def of(self, request: Request) -> PromptCache:
        """The cache of another request of the same model."""
        return PromptCache(request, self._checkpoint, self.dtype, self._device, self._storage)

    def each(self, texts: Sequence[str]) -> dict[str, PromptCache]:
        """A cache of each of these texts alone, by the same encoder."""
        caches = {}
        for text, file in zip(texts, self._files_of(texts), strict=True):
            caches[text] = copy(self)
            caches[text]._files = [file]
        return caches

    def _files_of(self, texts: Sequence[str]) -> list[Path]:
        about = [_identity(self._checkpoint), self.dtype, self._device, self._tokens]
        about += [version(name) for name in ("torch", "transformers")]
        about += [f"quantised to {self._storage}"] if self._storage else []
        return [_folder() / f"{_digest([*about, text])}.safetensors" for text in texts]

    @property
    def present(self) -> bool:
        """Whether all are cached; the files may still turn out to be damaged."""
        return all(file.is_file() for file in self._files)

    def read(self) -> tuple[torch.Tensor, ...] | None:
        """The embeddings in host memory, each [1, tokens, width]; None if one is missing.

        Damaged files are removed, and so are embeddings that are not finite: earlier versions
        stored them.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        embeddings = []
        for file in self._files:
            try:
                # Read, not mapped: another kernel may remove the file at any time.
                embeds = load(file.read_bytes())["embeds"]
                shaped = embeds.ndim == 3 and embeds.shape[:2] == (1, self._tokens)
                if not (shaped and embeds.is_floating_point() and embeds.isfinite().all()):
                    raise ValueError("not the embeddings of a prompt, or not finite")
                embeddings.append(embeds)
                os.utime(file)  # the time of last use, by which files are removed
            except (OSError, KeyError, RuntimeError, SafetensorError, ValueError):
                with suppress(OSError):
                    file.unlink()
                return None
        return tuple(embeddings)

    def write(self, embeddings: list[torch.Tensor], max_bytes: int | None = MAX_BYTES) -> None:
        """Store the embeddings; a folder that cannot be written is no error.

        Args:
            embeddings: one for each prompt.
            max_bytes: the size to which the least recently used files are then removed; None for
                none, where many are written.
        """
        from safetensors.torch import save

        with suppress(OSError):
            _folder().mkdir(parents=True, exist_ok=True)
            for file, embeds in zip(self._files, embeddings, strict=True):
                data = save({"embeds": embeds.detach().cpu().contiguous()})
                write_atomically(file, data)
            if max_bytes is not None:
                _trim(max_bytes)

    @staticmethod
    def clear() -> int:
        """Remove all cached embeddings; return how many there were."""
        files = list(_cached_files())
        for file in files:
            with suppress(OSError):
                file.unlink()
        return len(files)


def _folder() -> Path:
    return cache_folder() / "prompts-v1"


def _cached_files() -> Iterator[Path]:
    return _folder().glob("*.safetensors")


def _trim(max_bytes: int) -> None:
    """Remove the least recently used files until the rest is small enough."""
    stats = sorted(((f, f.stat()) for f in _cached_files()), key=lambda fs: -fs[1].st_mtime)
    total = 0
    for file, stat in stats:
        total += stat.st_size
        if total > max_bytes:
            file.unlink()


def _identity(checkpoint: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files that determine embeddings."""
    files = sorted(f for part in _PARTS for f in (checkpoint / part).glob("*") if f.is_file())
    return [(str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns) for f in files]


def _digest(about: list[object]) -> str:
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


_IN_MEMORY: WeakKeyDictionary[Any, dict[tuple[Any, ...], torch.Tensor]] = WeakKeyDictionary()


def cached_in_memory(encoder: Any) -> dict[tuple[Any, ...], torch.Tensor]:
    """The embeddings in host memory that `encoder` has made, which live as long as it does.

    Not for an encoder whose weights change.
    """
    return _IN_MEMORY.setdefault(encoder, {})
