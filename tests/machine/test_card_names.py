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
        ("5060", "RTX 5060"),
        ("5060 ti 8gb", "RTX 5060 Ti 8GB"),
        ("RTX 5060 Ti 16GB", "RTX 5060 Ti 16GB"),
        ("1660ti", "GTX 1660 Ti"),
        ("gtx1650", "GTX 1650"),
        ("Tesla P40", "P40"),
        ("RTX 8000", "Quadro RTX 8000"),
        ("Quadro RTX 6000", "Quadro RTX 6000"),
        ("a800", "A800 40GB"),
        ("H800", "H800 PCIe 80GB"),
        ("4050 laptop", "RTX 4050 Laptop"),
        ("RTX 5070 Ti Mobile", "RTX 5070 Ti Laptop"),
        ("3060m", "RTX 3060 Laptop"),
        ("4070tisuper", "RTX 4070 Ti Super"),
        ("4070 TiS", "RTX 4070 Ti Super"),
        ("RTX 2070S", "RTX 2070 Super"),
        ("7900xtx", "RX 7900 XTX"),
        ("AMD Radeon RX 7800 XT", "RX 7800 XT"),
        ("MI 300X", "MI300X"),
        ("AMD Instinct MI250", "MI250"),
        ("RTX_4090", "RTX 4090"),
        ("NVIDIA GeForce RTX™ 4090 24GB GDDR6X", "RTX 4090"),
        ("RTX 4060 Notebook", "RTX 4060 Laptop"),
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
        ("Quadro RTX 6000", 24, "Quadro RTX 6000"),
        ("NVIDIA GeForce GTX 1660 SUPER", 6, "GTX 1660 Super"),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", 24, "RTX 5090 Laptop"),
        ("NVIDIA GeForce RTX 5060 Ti", 16, "RTX 5060 Ti 16GB"),
        ("Tesla P40", 22.5, "P40"),
        ("NVIDIA H20", 96, "H20"),
        ("NVIDIA GeForce RTX 4090 D", 24, "RTX 4090 D"),
        ("AMD Instinct MI300X OAM", 192, "MI300X"),
        ("AMD Radeon RX 7900 XT", 20, "RX 7900 XT"),
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
    "typed", ["rtx", "Ti", "laptop", "ada", "super", "24GB", "RTX 2080 Laptop"]
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
    with pytest.raises(RequestError, match=r"For less VRAM: --gpu 'RTX 3050' --vram 6\."):
        find_card("RTX 3050 6GB")


def test_number_of_several_generations_is_refused_with_their_names() -> None:
    with pytest.raises(RequestError) as error:
        find_card("RTX 6000")
    assert str(error.value) == (
        "'RTX 6000' is the number of several cards. Use 'Quadro RTX 6000' (23.7 GiB),"
        " 'RTX 6000 Ada' (48.0 GiB), 'RTX PRO 6000 Blackwell' (95.6 GiB)."
    )
    with pytest.raises(RequestError, match=r"'Quadro RTX 5000' .* 'RTX 5000 Ada'"):
        find_card("RTX 5000")


@pytest.mark.parametrize(
    ("typed", "name", "gib"),
    [
        ("RTX 4090 48GB", "RTX 4090", 48),
        ("4090 D 48 GB", "RTX 4090 D", 48),
        ("RTX 2080 Ti 22GB", "RTX 2080 Ti", 22),
        ("RTX 3080 20GB", "RTX 3080 10GB", 20),
        ("RTX 3080 24GB", "RTX 3080 12GB", 24),
        ("RTX 3070 16GB", "RTX 3070", 16),
        ("RTX 4060 Ti 32GB", "RTX 4060 Ti 16GB", 32),
        ("RX 7900 XTX 48GB", "RX 7900 XTX", 48),
        ("RTX 4090 96GB", "RTX 4090", 96),
    ],
)
def test_rebuilt_card_has_the_memory_of_its_name(typed: str, name: str, gib: int) -> None:
    card = find_card(typed)
    assert (card.name, card.vram) == (name, gib * GIB)


@pytest.mark.parametrize("typed", ["RTX 4090 480GB", "A100 96GB", "T4 32GB", "GB10 256GB"])
def test_card_is_not_rebuilt_with_any_memory(typed: str) -> None:
    with pytest.raises(RequestError, match="Unknown variant"):
        find_card(typed)


@pytest.mark.parametrize(
    "driver",
    [
        "NVIDIA GeForce RTX 2080 Laptop GPU",
        "NVIDIA GeForce RTX 3080 Ti Laptop GPU",
        "NVIDIA GeForce RTX 5060 SUPER",
        "NVIDIA GeForce RTX 2070 with Max-Q Design",
        "NVIDIA GeForce RTX 4080 D",
        "AMD Radeon RX 7900M",
        "NVIDIA RTX 5000 Ada Generation Laptop GPU",
        "NVIDIA RTX 4000 SFF Ada Generation",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "Quadro RTX 4000",  # Turing, not Ada
    ],
)
def test_other_chip_of_the_same_number_is_no_match(driver: str) -> None:
    assert card_for(driver, 16 * GIB) is None


@pytest.mark.parametrize("text", ["7900xtx", "7900 XTX", "7900xt", "2x7900xtx", "2 x 7900 XTX"])
def test_xtx_is_not_a_number_of_cards(text: str) -> None:
    cards = parse_gpus(text)
    assert {c.name.lower().replace("rx ", "") for c in cards} <= {"7900 xtx", "7900 xt"}
    assert len(cards) == (2 if text.startswith("2") else 1)


@pytest.mark.parametrize(
    ("gpu", "vram", "name"),
    [
        ("A100", 80, "A100 80GB"), ("V100", 32, "V100 32GB"),
        ("RTX 5060 Ti", 16, "RTX 5060 Ti 16GB"),
        ("RTX 3080", 12, "RTX 3080 12GB"), ("P40", 24, "P40"), ("T4", 16, "T4"), ("L4", 24, "L4"),
        ("RTX 4090", 12, "RTX 4090"),
    ],
)  # fmt: skip
def test_vram_names_the_variant_of_that_size(gpu: str, vram: int, name: str) -> None:
    (described,) = Machine.of(gpu, vram=vram).gpus
    assert described.name == name


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
