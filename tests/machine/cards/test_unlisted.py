"""The answer to a card that is not listed."""

from __future__ import annotations

import pytest

from cogmagic import RequestError
from cogmagic._machine.cards.names import find_card, parse_gpus


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("RTX 5065", "RTX 5060"),
        ("RTX 6090", "RTX 5090"),
        ("RTX 7080", "RTX 5080"),
        ("RTX 3600", "RTX 3060"),
        ("RTX 4900", "RTX 4090"),
        ("RTX 5500", "RTX 5050"),
        ("RTX 309", "RTX 3090"),
        ("RTX 30600", "RTX 3060"),
        ("RTX 4o90", "RTX 4090"),
        ("gforce rtx 3090", "RTX 3090"),
        ("RTX 2050", "RTX 2060"),
        ("RTX 4090 Super", "RTX 4090"),
        ("RTX 4080 Ti", "RTX 4080"),
        ("RTX 3060 Super", "RTX 3060"),
        ("RTX 5080 Ti Laptop", "RTX 5080 Laptop"),
        ("RTX 4000", "RTX 4000 Ada"),
        ("RTX PRO 5000", "RTX PRO 6000 Blackwell"),
        ("RTX 6000 Blackwell", "RTX PRO 6000 Blackwell"),
        ("RTX A1000", "RTX A2000 12GB"),
        ("GTX 960", "GTX 1060 6GB"),
        ("GTX 970", "GTX 1070"),
        ("GTX 980 Ti", "GTX 1080 Ti"),
        ("GTX 1050 Ti", "GTX 1060 6GB"),
        ("GTX 1630", "GTX 1650"),
        ("RTX 1080", "GTX 1080"),
        ("RTX 1660", "GTX 1660"),
        ("GTX 3060", "RTX 3060"),
        ("A60", "A40"),
        ("A101", "A100 40GB"),
        ("A20", "A16"),
        ("H300", "H200"),
        ("H1000", "H100 NVL 94GB"),
        ("L400", "L40"),
        ("L5", "L4"),
        ("T5", "T4"),
        ("B300", "B200"),
        ("GB200", "B200"),
        ("GB20", "DGX Spark GB10"),
        ("M40", "P40"),
        ("K80", "P100 16GB"),
        ("MI350X", "MI300X"),
        ("MI60", "MI100"),
        ("RX 7900", "RX 7900 GRE"),
        ("RX 7800", "RX 7800 XT"),
        ("RX 6800 XT", "RX 7800 XT"),
        ("RX 6900 XT", "RX 7900 XT"),
        ("RX 580", "RX 7800 XT"),
        ("Radeon PRO W7900", "RX 7900 GRE"),
        ("RTX 4500 Ada", "RTX A4500"),
        ("RTX 5880 Ada", "RTX 6000 Ada"),
        ("RTX A5500", "RTX A5000"),
        ("Quadro P5000", "Quadro RTX 5000"),
        ("T1000", "RTX A2000 12GB"),
        ("RX 9080 XT", "RX 9070 XT"),
    ],
)
def test_unknown_card_names_the_nearest_by_generation_and_number(typed: str, nearest: str) -> None:
    with pytest.raises(RequestError) as error:
        find_card(typed)
    assert f"Unknown card {typed!r}. Did you mean {nearest!r}?" in str(error.value)


@pytest.mark.parametrize(
    "typed", ["Arc A770", "Intel Arc B580", "A750", "b570", "Iris Xe", "Intel UHD 770"]
)
def test_intel_gpu_is_not_supported(typed: str) -> None:
    with pytest.raises(RequestError, match="Intel GPUs, Arc among them, are not supported"):
        find_card(typed)


@pytest.mark.parametrize("typed", ["TPU v4", "Ascend 910B", "Gaudi 3", "Moore Threads S80"])
def test_other_accelerator_is_not_supported(typed: str) -> None:
    with pytest.raises(RequestError, match="is not supported: cogmagic computes on NVIDIA"):
        find_card(typed)


@pytest.mark.parametrize(
    "typed",
    ["24GB", "24 GB", "24", "24g", "24 gib", "24GB VRAM", "24 GB of VRAM", "2x 24GB", "24GB x2"],
)
def test_amount_of_memory_is_not_a_card(typed: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_gpus(typed)
    assert "'. That is an amount of memory. Type --gpu NAME --vram 24, or" in str(error.value)


@pytest.mark.parametrize("typed", ["980", "0", "2 G4"])
def test_number_alone_is_a_card(typed: str) -> None:
    with pytest.raises(RequestError, match="Unknown card"):
        parse_gpus(typed)


def test_unknown_card_says_how_to_plan_for_it() -> None:
    with pytest.raises(RequestError) as error:
        find_card("RTX 6090")
    assert str(error.value) == (
        "Unknown card 'RTX 6090'. Did you mean 'RTX 5090'? Similar: RTX 5090, RTX 5090 D, RTX 5090"
        " Laptop. For an unlisted card, name one about as fast, with the GiB of yours: --gpu NAME"
        " --vram GIB. --vram alone assumes the pace of an RTX 3060."
    )
