"""Cards by every name that people and drivers give them, and machines made of them."""

from __future__ import annotations

import pytest

from cogmagic import Machine, RequestError
from cogmagic._cards import CARDS, card_for, find_card, parse_gpus
from cogmagic._gpu import GIB


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_every_card_is_found_by_its_own_name_and_its_drivers(card: object) -> None:
    assert find_card(card.name) == card  # type: ignore[attr-defined]
    driver = "NVIDIA " + card.name.replace(" Laptop", " Laptop GPU")  # type: ignore[attr-defined]
    found = card_for(driver, card.vram)  # type: ignore[attr-defined]
    assert found is not None
    assert (found.tflops_16, found.capability) == (card.tflops_16, card.capability)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("rtx3060", "RTX 3060"),
        ("4090", "RTX 4090"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX 4070 Ti Super"),
        ("3080", "RTX 3080 10GB"),
        ("RTX 3080 12 GB", "RTX 3080 12GB"),
        ("a100", "A100 40GB"),
        ("A100-80GB", "A100 80GB"),
        ("t4", "T4"),
        ("Tesla V100", "V100 16GB"),
        ("H100 SXM", "H100 SXM 80GB"),
    ],
)
def test_names_that_people_type(typed: str, name: str) -> None:
    assert find_card(typed).name == name


@pytest.mark.parametrize(
    ("driver", "gib", "name"),
    [
        ("NVIDIA H100 80GB HBM3", 79.65, "H100 SXM 80GB"),
        ("NVIDIA H100 PCIe", 79.65, "H100 PCIe 80GB"),
        ("NVIDIA A100-SXM4-40GB", 40, "A100 40GB"),
        ("NVIDIA A100-SXM4-80GB", 80, "A100 80GB"),
        ("Tesla T4", 15, "T4"),
        ("Tesla V100-SXM2-16GB", 16, "V100 16GB"),
        ("NVIDIA GeForce RTX 3080", 12, "RTX 3080 12GB"),
        ("NVIDIA GeForce RTX 3080 Ti", 12, "RTX 3080 Ti"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16, "RTX 4090 Laptop"),
        ("NVIDIA RTX 6000 Ada Generation", 48, "RTX 6000 Ada"),
        ("NVIDIA RTX A6000", 48, "RTX A6000"),
        ("NVIDIA L40S", 45, "L40S"),
    ],
)
def test_names_that_drivers_tell(driver: str, gib: float, name: str) -> None:
    found = card_for(driver, round(gib * GIB))
    assert found is not None
    assert found.name == name


def test_an_unknown_driver_name_is_no_card() -> None:
    assert card_for("Moore Threads S80", 16 * GIB) is None


def test_several_cards() -> None:
    assert [c.name for c in parse_gpus("2x A100 40GB")] == ["A100 40GB"] * 2
    assert [c.name for c in parse_gpus("RTX 3090 + 2 x t4")] == ["RTX 3090", "T4", "T4"]
    machine = Machine.of("2x RTX 3060", ram=32)
    assert len(machine.gpus) == 2
    assert machine.ram.available == 32 * GIB
    assert all(g.free is not None and 11 * GIB < g.free < 12 * GIB for g in machine.gpus)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"gpus": "RTX 3600"}, "Unknown card 'RTX 3600'. Did you mean 'RTX 30"),
        ({"gpus": ""}, "Unknown card ''"),
        ({"gpus": "0x T4"}, "0 cards, but it must be 1 to 16"),
        ({"gpus": "65x T4"}, "65 cards"),
        ({"gpus": "T4", "vram": 80}, "--vram 80 is more than T4 has. Nearest: --vram 15.0"),
        ({"vram": -1}, "--vram -1: an amount in GiB from 0.5 to 4096"),
        ({"vram": float("nan")}, "--vram nan"),
        ({"gpus": "T4", "ram": 0}, "--ram 0"),
    ],
)
def test_machines_that_cannot_be(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(RequestError) as error:
        Machine.of(**arguments)  # type: ignore[arg-type]
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_an_amount_without_a_name() -> None:
    (gpu,) = Machine.of(vram=10).gpus
    assert (gpu.total, gpu.name) == (10 * GIB, "GPU of 10 GiB")
