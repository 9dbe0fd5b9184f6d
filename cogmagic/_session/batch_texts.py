"""The prompt embeddings of a batch's rows, encoded in chunks that fit in host memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cogmagic._errors import OutOfMemoryError, TierError
from cogmagic._footprint.configs import configs_of
from cogmagic._footprint.work import ITEM
from cogmagic._machine.failures import drop_tracebacks
from cogmagic._machine.ram import trim
from cogmagic._models.batch_row import Row
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.prompt_cache import MAX_BYTES, prompts_of
from cogmagic._progress import Clock
from cogmagic._session.attempts import encode
from cogmagic._session.pipeline_slot import PipelineSlot
from cogmagic._session.prepare import Job
from cogmagic._units import GIB

if TYPE_CHECKING:
    import torch

__all__ = ["MOST_BYTES", "BatchTexts", "chunk_bytes"]

MOST_BYTES = GIB
"""Most bytes of embeddings in host memory at once: 579 texts of a published model."""

_MOST_TEXTS = 1000
"""Most texts encoded at once: all those of a small model would delay the first video."""

_PUBLISHED_WIDTH = 4096
"""Width of T5-XXL's embeddings."""


def text_bytes(request: Request, dtype: Dtype, folder: Path | None) -> int:
    """Bytes of the embeddings of one text: 226 × 4096 × 2 = 1.77 MiB for the published models."""
    width = configs_of(folder)["transformer"]["text_embed_dim"] if folder else _PUBLISHED_WIDTH
    return request.model.max_tokens * int(width) * ITEM[dtype]


_WRITES = 64
"""Embeddings that are written to the disk's cache before old ones are removed from it."""


def most_texts(nbytes: int) -> int:
    """Most texts of `nbytes` each whose embeddings are in host memory at once."""
    return min(MOST_BYTES // nbytes, _MOST_TEXTS)


def chunk_bytes(requests: Sequence[Request], dtype: Dtype, folder: Path | None) -> int:
    """Bytes of the embeddings that a batch of these requests has in host memory at once."""
    if not requests:
        return 0
    texts = {text for request in requests for text in prompts_of(request)}
    nbytes = text_bytes(requests[0], dtype, folder)
    return min(min(len(texts), _MOST_TEXTS) * nbytes, MOST_BYTES)


class BatchTexts:
    """The embeddings of the next rows of a batch, in host memory.

    Each text is encoded once per chunk, while the text encoder is on the GPU. Texts that cannot be
    encoded are left out: their rows encode them again, and each fails with its own error.
    """

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._embeddings: dict[str, torch.Tensor] = {}

    def covers(self, row: Row) -> bool:
        """Whether the row belongs to the rows whose texts were encoded last."""
        return row.number in self._rows

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return sum(embeds.nbytes for embeds in self._embeddings.values())

    def encode(self, rows: Sequence[Row], job: Job, slot: PipelineSlot, clock: Clock) -> None:
        """Replace the embeddings by those of as many of `rows` as may be held at once.

        Args:
            rows: the next rows, at least one.
            job: any of the batch.
            slot: holds the pipeline.
            clock: receives the progress.
        """
        self._embeddings.clear()
        trim()
        each = text_bytes(job.request, job.texts.dtype, job.folder)
        texts = self._next_texts(rows, most_texts(each))
        nbytes = len(texts) * each
        caches = job.texts.each(texts)
        for text, cache in caches.items():
            clock.check()
            if stored := cache.read():
                self._embeddings[text] = stored[0]
        slot.embeddings = self.nbytes
        missing = [text for text in texts if text not in self._embeddings]

        def receive(text: str, embeds: torch.Tensor) -> None:
            self._embeddings[text] = embeds
            slot.embeddings += embeds.nbytes
            if nbytes <= MAX_BYTES:  # else most would be removed again, and all older ones
                caches[text].write([embeds], None if len(self._embeddings) % _WRITES else MAX_BYTES)

        if missing:
            request = replace(rows[0].request, loras=job.request.loras)
            first = replace(job, request=request, embeddings=None, held=nbytes)
            try:
                encode(first, missing, receive, slot, clock)
            except (OutOfMemoryError, TierError) as error:
                drop_tracebacks(error)
                slot.cool()

    def job_of(self, job: Job) -> Job:
        """A row's job with its embeddings, if they are in memory."""
        texts = prompts_of(job.request)
        if not all(text in self._embeddings for text in texts):
            return replace(job, texts=job.texts.of(job.request), embeddings=None, held=self.nbytes)
        embeddings = tuple(self._embeddings[text] for text in texts)
        return replace(job, embeddings=embeddings, held=self.nbytes)

    def _next_texts(self, rows: Sequence[Row], most: int) -> list[str]:
        """The distinct texts of the first rows: at most `most`, but all of the first row."""
        self._rows, texts = set(), dict[str, None]()
        for row in rows:
            more = [text for text in prompts_of(row.request) if text not in texts]
            if self._rows and len(texts) + len(more) > most:
                break
            self._rows.add(row.number)
            texts |= dict.fromkeys(more)
        return list(texts)
