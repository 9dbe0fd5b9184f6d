"""A run as the history records it."""

from __future__ import annotations

from cogmagic._machine.history import PastRun

RUN = PastRun(
    when=1.8e9,
    card="Card",
    versions="torch 2",
    model="5b",
    size="720x480",
    num_frames=49,
    dtype="bfloat16",
    tier="model",
    predicted_allocated=1000,
    measured_allocated=1100,
    predicted_step=2.0,
    measured_step=1.0,
)
