"""The stored rates of a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cogmagic import Machine
from tests.helpers.benchmarks import script

compare = script("compare")


TIERS = compare.rows()


def test_probe_of_a_busy_gpu_is_recognised() -> None:
    from cogmagic._machine.rates import disturbed

    datasheet = Machine.of("H100 SXM").rates
    assert datasheet is not None
    slow = replace(datasheet, products=datasheet.products / 14, source="probe")
    assert disturbed(slow, datasheet)
    assert not disturbed(slow, None)  # a card of no known datasheet, as a part of one: it may be so
    probed = [compare.probed(r["rates"], Machine.of("H100 SXM")) for r in TIERS if "rates" in r]
    assert not any(disturbed(rates, datasheet) for rates in probed)


@pytest.mark.parametrize(
    "damage",
    ['{"GPU": [{"compute": 0}]}', "[" * 100_000, '{"GPU": {"disk": 1}}', '{"GPU": null}', "é"],
)
def test_damaged_rates_file_is_ignored(tmp_path: Path, damage: str) -> None:
    from cogmagic import Gpu
    from cogmagic._machine.rates import Rates, probed_rates, store_probe

    gpu = Gpu(0, "GPU")
    rates = Rates(1e14, 1e14, 1e13, 1e12, source="probe", probes=1)
    store_probe(gpu, rates, tmp_path)
    assert probed_rates(gpu, tmp_path) == rates
    (file,) = tmp_path.iterdir()
    [(key, [sound])] = json.loads(file.read_text()).items()
    file.write_text(json.dumps({key: [sound | {"fp8": 1e15}]}))
    assert probed_rates(gpu, tmp_path) == replace(rates, fp8=1e15)
    for name in ("products", "attention", "memory", "fp8", "locked", "tensor", "mapping"):
        for value in (
            None if name == "fp8" else 0,
            None,
            "x",
            True,
            float("nan"),
            1e300,
            10**400,
            -1,
        ):
            file.write_text(json.dumps({key: [sound | {name: value}]}))
            assert probed_rates(gpu, tmp_path) is None
    file.write_text(damage.replace("GPU", key))
    assert probed_rates(gpu, tmp_path) is None
    store_probe(gpu, rates, tmp_path)
    assert probed_rates(gpu, tmp_path) == rates


def test_rates_are_the_median_of_the_last_five_probes_with_this_software(tmp_path: Path) -> None:
    from cogmagic import Gpu
    from cogmagic._machine.rates import Rates, probed_rates, store_probe

    gpu, other = Gpu(0, "GPU", uuid="GPU-1"), Gpu(1, "GPU", uuid="GPU-2")
    for n, pace in enumerate((9.0, 1.0, 5.0, 2.0, 3.0, 4.0)):
        store_probe(
            gpu, Rates(pace * 1e13, 1e13, 1e13, 1e12, tensor=pace * 1e-4), tmp_path, "torch 2"
        )
        median = probed_rates(gpu, tmp_path, "torch 2")
        assert median is not None
        assert median.probes == min(n + 1, 5)
    assert (median.products, median.tensor, median.source) == (3e13, pytest.approx(3e-4), "probe")
    assert probed_rates(other, tmp_path, "torch 2") is None
    store_probe(other, Rates(1e13, 1e13, 1e13, 1e12), tmp_path, "torch 2")
    assert probed_rates(gpu, tmp_path, "torch 3") is None
    store_probe(gpu, Rates(7e13, 1e13, 1e13, 1e12), tmp_path, "torch 3")
    newer = probed_rates(gpu, tmp_path, "torch 3")
    assert newer is not None
    assert newer.products == 7e13
    assert probed_rates(gpu, tmp_path, "torch 2") == median  # another environment's
    for version in (4, 5):
        store_probe(gpu, Rates(7e13, 1e13, 1e13, 1e12), tmp_path, f"torch {version}")
    assert probed_rates(gpu, tmp_path, "torch 2") is None  # gone
    assert probed_rates(other, tmp_path, "torch 2") is not None
    assert [p.name for p in tmp_path.iterdir()] == ["rates-v5.json"]
