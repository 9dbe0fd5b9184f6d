"""The driver's handle of one actor: started, asked, and replaced when its process has died."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayTaskError

from cogmagic._cluster.actor import Maker, Place
from cogmagic._cluster.messages import Actor, Started
from cogmagic._cluster.nodes import on_node
from cogmagic._errors import first_line

__all__ = ["Worker", "ending_of"]

_MOST_DEATHS = 5
"""Deaths of a worker's processes, without a video between them, after which it is left out."""


class Worker:
    """One place of the cluster, and the actor there.

    Args:
        index: its number in this connection.
        place: where it is.
    """

    def __init__(self, index: int, place: Place) -> None:
        self.index, self.place = index, place
        self.call: Any = None
        """Ray's reference to the answer that is awaited; None while idle."""
        self.task = ""
        """The method that was called: ``start``, ``begin``, ``make``, ``settle`` or ``release``."""
        self.batch = 0
        """The batch that it has begun."""
        self.row = 0
        self.deaths = 0
        """Since its last video."""
        self.out = ""
        """Why it makes nothing any more."""
        self.out_of_batch: tuple[int, str] = 0, ""
        """A batch whose rows it cannot make, and why."""
        self.to_release = False
        """Whether it is to release its weights once it is idle."""
        self.device = self.tier = ""
        self.pid = self.held = 0
        self._actor: Any = None
        self.start()

    @property
    def name(self) -> str:
        """Its name in errors."""
        return f"worker {self.index + 1} on {self.place.node}"

    def start(self) -> None:
        """Start its process; `call` is answered when it is ready."""
        maker = ray.remote(
            num_cpus=0 if self.place.gpus else 1,
            num_gpus=self.place.gpus,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"control": 2},
            scheduling_strategy=on_node(self.place.node_id),
        )(Maker)
        self.batch = self.row = self.pid = self.held = 0
        self._actor = maker.remote(self.place)
        self.ask("start")

    def ask(self, task: str, *arguments: Any) -> None:
        """Call a method of the actor, whose answer `call` will have."""
        self.task, self.call = task, getattr(self._actor, task).remote(*arguments)

    def release(self) -> None:
        """Have it release the weights that it holds, now or once it is idle."""
        idle = self.call is None
        self.to_release = not (idle or self.out)
        if idle and not self.out and self.held:
            self.ask("release")

    def settled(self, held: int) -> None:
        """It has left its weights where they stay, or released them.

        Args:
            held: the bytes that it holds.
        """
        self.held = held
        if self.to_release:
            self.release()

    def control(self, method: str, *arguments: Any) -> Any:
        """Call a method beside the one that is running; Ray's reference to its answer."""
        return getattr(self._actor, method).remote(*arguments)

    def started(self, answer: Started) -> None:
        """Its process is ready."""
        self.device, self.pid = answer.device, answer.pid
        self.place = replace(self.place, memory=answer.memory)

    def leave(self, reason: str) -> None:
        """End its process, and leave it out."""
        self.kill()
        self.out, self.call = reason, None

    def kill(self) -> None:
        """End its process."""
        ray.kill(self._actor, no_restart=True)

    def has_died(self, how: str, *, node_alive: bool) -> None:
        """Replace the process, or leave the worker out.

        Args:
            how: its end, a clause.
            node_alive: whether its host belongs to the cluster still.
        """
        self.deaths += 1
        self.call, self.row, self.pid = None, 0, 0
        if not node_alive:
            self.out = "its node was lost"
        elif self.deaths >= _MOST_DEATHS:
            self.out = f"{how}, {self.deaths} times in a row"
        else:
            self.start()

    def reason_out(self, batch: int) -> str:
        """Why it makes no rows of a batch; empty if it does."""
        if self.out:
            return self.out
        number, reason = self.out_of_batch
        return reason if number == batch else ""

    def shown(self, batch: int) -> Actor:
        """What the kernel shows of it."""
        return Actor(
            node=self.place.node,
            device=self.device,
            row=self.row or None,
            tier=self.tier,
            out=self.reason_out(batch),
            pid=self.pid,
            held=self.held,
        )


def ending_of(error: Exception) -> str:
    """How a worker's process ended, or why it cannot start, a clause."""
    if isinstance(error, RayTaskError):
        return first_line(error.cause or error)
    known = {"OutOfMemoryError": "host memory ran out", "GetTimeoutError": "its answer was lost"}
    return known.get(type(error).__name__, "its process died")
