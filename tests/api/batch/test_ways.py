"""How a batch can use several GPUs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._api.batch.batch_plan import BatchPlan
from cogmagic._api.batch.plan_many import plan_batch
from cogmagic._api.plan_text import plan_text


def batch(gpus: str, count: object = 100, **options: Any) -> BatchPlan:
    machine = Machine.of(gpus, ram=options.pop("ram", 256))
    return plan_batch({"model": "5b", "prompts": count, "machine": machine, **options})


def test_both_ways_are_predicted_from_the_plans_of_one_video() -> None:
    ways = batch("8x A100 40GB").ways
    assert ways is not None
    many, together = ways.throughput, ways.latency
    assert many is not None
    assert together is not None
    one = batch("A100 40GB", 13)  # of 100 rows, the fullest of 8 GPUs makes 13
    assert one.ways is None
    assert many.batch_seconds == pytest.approx(one.seconds)
    assert (many.gpus, many.at_once, many.option) == (
        8,
        8,
        "%cogvideo cluster local",
    )
    assert (together.gpus, together.at_once, together.option) == (8, 1, "--parallel 8")
    assert together.batch_seconds == pytest.approx(batch("8x A100 40GB", parallel=8).seconds)
    assert together.video_seconds < many.video_seconds / 4
    assert many.gpu_hours == pytest.approx(8 * many.batch_seconds / 3600)
    assert ways.fastest is many


def test_few_videos_are_faster_together() -> None:
    ways = batch("2x H200", 3).ways
    assert ways is not None
    assert ways.fastest is ways.latency


def test_rows_go_to_the_gpu_that_is_free_first() -> None:
    """An RTX 4090 makes several videos while an RTX 3060 makes one."""
    ways = batch("RTX 4090 + RTX 3060", 40).ways
    assert ways is not None
    assert ways.throughput is not None
    alone = batch("RTX 4090", 40).seconds
    assert alone is not None
    assert 0.6 * alone < ways.throughput.batch_seconds < alone


def test_gpus_that_cannot_run_the_model_are_left_out_with_the_reason() -> None:
    text = str(batch("2x A100 40GB + T4"))
    assert "2 videos at once" in text
    assert "; GPU 2 left out: T4 cannot compute in bfloat16" in text
    ways = batch("A100 40GB + T4").ways
    assert ways is not None
    assert ways.throughput is None


def test_every_process_has_its_share_of_the_host_memory() -> None:
    ample, scarce = batch("8x RTX 3060", ram=512).ways, batch("8x RTX 3060", ram=32).ways
    assert ample is not None
    assert ample.throughput is not None
    assert scarce is not None
    assert scarce.throughput is not None
    assert scarce.throughput.batch_seconds > 1.05 * ample.throughput.batch_seconds


def test_a_plan_of_100_prompts_shows_both_ways_and_is_json() -> None:
    options = {"model": "5b", "prompts": "100", "gpu": "8x A100 40GB", "ram": 128.0}
    lines = plan_text(dict(options)).splitlines()
    assert lines[-3].startswith("batch    100 videos, ")
    assert lines[-2].startswith("fastest  8 videos at once, one a GPU: ")
    assert lines[-1].startswith("or       8 GPUs for each video: ")
    assert lines[-1].endswith(" (--parallel 8)")
    ways = json.loads(plan_text(options | {"json": True}))["ways"]
    assert ways["throughput"]["gpus"] == ways["latency"]["gpus"] == 8


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"num_videos": 2}, "--prompts 5 is the number of videos already"),
        ({"seeds": "1,2"}, "Leave out --num-videos and --seeds"),
    ],
)
def test_a_number_of_prompts_excludes_other_numbers(options: dict[str, Any], error: str) -> None:
    with pytest.raises(cogmagic.RequestError, match=error):
        batch("2x H200", "5", **options)
    with pytest.raises(
        cogmagic.RequestError, match="--prompts 0: a plan is for at least one video"
    ):
        batch("2x H200", "0")
