"""What a batch says about the workers of a cluster."""

from __future__ import annotations

from cogmagic._api.batch.worker_words import rows_at_work, workers_used
from cogmagic._api.live_line import describe
from cogmagic._cluster.cluster import Actor
from cogmagic._progress import Progress

H200, T4 = "NVIDIA H200 139 GiB", "Tesla T4 15 GiB"
MIXED = (
    Actor("a", H200, row=9, tier="none"),
    Actor("a", H200, row=8, tier="none"),
    Actor("b", T4, row=5, tier="stream"),
    Actor("b", T4, out="Tesla T4 cannot compute in bfloat16. Type --dtype float16."),
    Actor("c", T4, tier="stream"),
)


def test_the_live_line_has_the_rows_of_all_workers() -> None:
    assert rows_at_work(MIXED) == "4 workers: rows 5, 8-9"
    assert rows_at_work(MIXED[2:]) == "2 workers: row 5"
    assert rows_at_work(MIXED[4:]) == "1 worker"
    assert rows_at_work(()) == "0 workers"
    progress = Progress("denoise", 1, 5, row=5, rows=12)
    line = describe(progress, 3.0, rows_at_work(MIXED))
    assert line == "row 5 of 12 · denoise · 1/5 · 3 s · 4 workers: rows 5, 8-9"


def test_the_facts_have_the_tier_of_each_card() -> None:
    assert workers_used(MIXED) == (
        "4 workers (2 x NVIDIA H200 139 GiB, tier none; 2 x Tesla T4 15 GiB, tier stream;"
        " Tesla T4 15 GiB left out: Tesla T4 cannot compute in bfloat16)"
    )
    assert workers_used((Actor("a", "CPU", tier="none"),)) == "1 worker (CPU, tier none)"
    assert workers_used((Actor("a", "CPU"),)) == ""
