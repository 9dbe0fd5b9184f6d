"""Components spread over several GPUs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cogmagic import Gpu, Machine, Request, TierError
from cogmagic._models.catalog import catalogued
from cogmagic._tiers.device_map import check_assignment, check_map
from cogmagic._tiers.needs import Needs
from cogmagic._units import GIB
from tests.helpers.plans import five, plan


def test_planning_for_sixteen_gpus_tries_few_orders() -> None:
    from cogmagic._tiers.balanced import orders

    for count, ways in ((2, 2), (3, 6)):
        assert len(orders(Machine.of("16x A100 40GB"), "bfloat16", count)) == ways


def test_balanced_assigns_as_diffusers_does() -> None:
    model = catalogued("2b")
    assert model is not None
    found = plan(Request.of("any", model), Machine.of("2x T4"))
    needs = next(c for c in found.candidates if c.tier == "balanced").needs
    first, second = needs.gpus
    assert set(first) == {"load", "encode"}  # T5 in float16 is the largest
    assert set(second) == {"load", "denoise", "decode"}
    assert needs.variant.order == (0, 1)


def spread_over(gpus: str, **changes: int) -> Needs:
    """What `balanced` takes of these, the last of which has other room or compute capability."""
    machine = Machine.of(gpus)
    last = replace(machine.gpus[-1], **changes)
    found = plan(five(), replace(machine, gpus=(*machine.gpus[:-1], last)))
    return next(c for c in found.candidates if c.tier == "balanced").needs


def test_balanced_uses_the_gpus_with_most_vram_left() -> None:
    small = spread_over("2x RTX 3090 + RTX 3060")
    assert small.variant.order == (0, 1)  # the third would be the fullest
    assert [sorted(set(g) - {"load"}) for g in small.gpus] == [["denoise"], ["decode", "encode"]]
    even = spread_over("3x RTX 3090")
    assert [sorted(set(g) - {"load"}) for g in even.gpus] == [["denoise"], ["encode"], ["decode"]]
    busy = spread_over("3x RTX 3090", free=6 * GIB)
    assert busy.variant.order == (0, 1)
    assert spread_over("2x RTX 3090 + V100 16GB").variant.order == (0, 1)  # bfloat16
    alone = plan(five(), Machine.of("RTX 3090 + V100 16GB"))
    assert "balanced" not in {c.tier for c in alone.candidates}


def gpus(*free: int) -> Machine:
    return Machine(tuple(Gpu(i, "A card", free=f) for i, f in enumerate(free)), device="cuda")


def test_balanced_map_is_that_of_diffusers_or_refused(toy: Path) -> None:
    where = check_assignment(toy, "float32", gpus(GIB, GIB), (1, 0))
    largest = max(where, key=lambda name: sum(f.stat().st_size for f in (toy / name).iterdir()))
    assert where.pop(largest) == 1
    assert set(where.values()) == {0}
    three = check_assignment(toy, "float32", gpus(GIB, GIB, GIB), (2, 0, 1))
    assert sorted(three.values()) == [0, 1, 2]
    with pytest.raises(TierError, match=r"on GPU 1, where 0\.0 GiB are available") as error:
        check_assignment(toy, "float32", gpus(GIB, 1000), (0, 1))
    assert "cannot place the" in str(error.value)


def test_another_assignment_of_diffusers_is_refused() -> None:
    sizes = {"transformer": 3, "text_encoder": 2, "vae": 1}

    def spilt(*args: Any, **options: Any) -> dict[Any, list[str]]:
        return {0: ["transformer"], "cpu": ["vae"]}

    with pytest.raises(TierError, match="diffusers would assign transformer to 0, vae to cpu"):
        check_map(sizes, (0, 1), gpus(GIB, GIB), spilt)


def test_assignment_of_nothing_is_refused() -> None:
    sizes = {"transformer": 3, "text_encoder": 2, "vae": 1}
    with pytest.raises(TierError, match="but this version of diffusers would assign nothing"):
        check_map(sizes, (0, 1), gpus(GIB, GIB), lambda *_, **__: {})
