"""Cards by every name that people and drivers give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic import Machine, RequestError
from cogmagic._machine.card_names import CARDS, card_for, find_card, parse_gpus
from cogmagic._units import GIB


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)
def test_every_card_is_found_by_its_name_and_its_driver_name(card: object) -> None:
    assert find_card(card.name) == card  # type: ignore[attr-defined]
    driver = "NVIDIA " + card.name.replace(" Laptop", " Laptop GPU")  # type: ignore[attr-defined]
    match = card_for(driver, card.vram)  # type: ignore[attr-defined]
    assert match is not None
    assert (match.tflops_16, match.capability) == (card.tflops_16, card.capability)  # type: ignore[attr-defined]


def test_rtx_pro_is_found_with_and_without_its_generation() -> None:
    for name in (
        "RTX PRO 6000",
        "rtx pro 6000 blackwell",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition",
    ):
        assert find_card(name).name == "RTX PRO 6000 Blackwell"
    match = card_for("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 97887 * 2**20)
    assert match is not None
    assert match.name == "RTX PRO 6000 Blackwell"
    assert (
        card_for("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 97887 * 2**20) is None
    )


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
def test_typed_name_finds_the_card(typed: str, name: str) -> None:
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
def test_driver_name_finds_the_card(driver: str, gib: float, name: str) -> None:
    match = card_for(driver, round(gib * GIB))
    assert match is not None
    assert match.name == name


def test_unknown_driver_name_finds_no_card() -> None:
    assert card_for("Moore Threads S80", 16 * GIB) is None


def test_several_cards_are_parsed() -> None:
    assert [c.name for c in parse_gpus("2x A100 40GB")] == ["A100 40GB"] * 2
    assert [c.name for c in parse_gpus("RTX 3090 + 2 x t4")] == ["RTX 3090", "T4", "T4"]
    machine = Machine.of("2x RTX 3060", ram=32)
    assert len(machine.gpus) == 2
    assert machine.ram.available == 32 * GIB
    assert all(g.free is not None and 11 * GIB < g.free < 12 * GIB for g in machine.gpus)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("RTX 3090 24GB", "RTX 3090"),
        ("RTX 3060 12 GB", "RTX 3060"),
        ("T4 16GB", "T4"),  # the driver reports 15 GiB
        ("L40S 48GB", "L40S"),
        ("H100 94GB", "H100 NVL 94GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 40GB"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB"),
        ("H100 SXM5", "H100 SXM 80GB"),
    ],
)
def test_typed_size_or_driver_name_finds_the_card(typed: str, name: str) -> None:
    assert find_card(typed).name == name


@pytest.mark.parametrize(
    "typed", ["rtx", "Ti", "laptop", "ada", "super", "24GB", "RTX 5090 Laptop"]
)
def test_words_without_a_model_number_find_no_card(typed: str) -> None:
    with pytest.raises(RequestError, match="Unknown card") as error:
        find_card(typed)
    assert "\n" not in str(error.value)


def test_unknown_variant_lists_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"Unknown variant 'RTX 3060 8GB'\. Known: .*12\.0 GiB"):
        find_card("RTX 3060 8GB")
    with pytest.raises(RequestError, match=r"'A100 40GB' .* 'A100 80GB'"):
        find_card("A100 64GB")


@pytest.mark.parametrize(
    "driver",
    [
        "NVIDIA GeForce RTX 5090 Laptop GPU",
        "NVIDIA GeForce RTX 3050 Laptop GPU",
        "NVIDIA GeForce RTX 3080 Ti Laptop GPU",
        "NVIDIA GeForce RTX 2080 SUPER",
        "NVIDIA GeForce RTX 2070 with Max-Q Design",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA RTX 5000 Ada Generation Laptop GPU",
        "NVIDIA RTX 4000 SFF Ada Generation",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "Quadro RTX 6000",  # Turing, not Ada
    ],
)
def test_other_chip_of_the_same_number_is_no_match(driver: str) -> None:
    assert card_for(driver, 16 * GIB) is None


def test_card_count_is_parsed_with_and_without_spaces() -> None:
    assert [c.name for c in parse_gpus("2x4090+3 × rtx3060")] == ["RTX 4090"] * 2 + ["RTX 3060"] * 3
    for text in ("9" * 5000 + "x T4", "16x T4 + T4"):
        with pytest.raises(RequestError, match="1 to 16"):
            parse_gpus(text)


@given(st.text(max_size=40), st.none() | st.integers(0, 2**60))
def test_any_text_gives_a_card_or_a_one_line_error(text: str, total: int | None) -> None:
    card_for(text, total)
    try:
        answer = f"{len(parse_gpus(text))} cards"
    except RequestError as error:
        answer = str(error)
    assert len(answer.splitlines()) == 1
