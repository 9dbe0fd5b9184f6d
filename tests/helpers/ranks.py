"""Ranks of a video as real processes on the CPU, connected by gloo."""

from __future__ import annotations

import multiprocessing
import tempfile
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from cogmagic._pipeline.parallel.split import Split

PRELOADED = [
    "diffusers.pipelines.cogvideo.pipeline_cogvideox",
    "diffusers.models.transformers.cogvideox_transformer_3d",
    "torch._dynamo",
    "transformers.models.t5.modeling_t5",
    "transformers.models.t5.tokenization_t5",
    "tests.pipeline.parallel.cases",
]


class Ranks:
    """Processes that run functions of tests as ranks, one run after another.

    They are forked from a process that has imported the libraries, which takes seconds.
    """

    def __init__(self, most: int) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._folder = tempfile.TemporaryDirectory()
        self._numbers = count()
        pairs = [context.Pipe() for _ in range(most)]
        self._pipes = [ours for ours, _ in pairs]
        self.processes = [
            context.Process(target=serve, args=(theirs, index), daemon=True)
            for index, (_, theirs) in enumerate(pairs)
        ]
        for process in self.processes:
            process.start()

    def run(self, split: Split, function: Callable[..., Any], *args: Any) -> list[Any]:
        """The result of `function(rank, *args)` on each rank of a split.

        Args:
            split: how the ranks divide a video.
            function: of a module, by its name.
            *args: what can be pickled.

        Raises:
            BaseException: the first rank's that raised one.
        """
        file = Path(self._folder.name) / f"store{next(self._numbers)}"
        pipes = self._pipes[: split.count]
        for pipe in pipes:
            pipe.send((split, str(file), function, args))
        results = [pipe.recv() for pipe in pipes]
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()
        for process in self.processes:
            process.join(10)
        self._folder.cleanup()


def serve(pipe: Any, index: int) -> None:
    """Run what arrives, until the pipe closes."""
    import torch
    import torch.distributed as dist

    from cogmagic._pipeline.parallel.group import joined

    torch.set_num_threads(1)
    while True:
        try:
            split, file, function, args = pipe.recv()
        except EOFError:
            return
        try:
            store = dist.FileStore(file, split.count)
            with joined(index, split, store, torch.device("cpu")) as rank:
                result = function(rank, *args)
        except BaseException as error:
            error.add_note(traceback.format_exc())
            result = error
        pipe.send(result)
