"""Cards by every name that people and drivers give them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic import Machine, RequestError
from cogmagic._machine.cards.names import CARDS, card_for, find_card, parse_gpus
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
        ("3060", "RTX 3060"),
        ("RTX 3060 8GB", "RTX 3060 8GB"),
        ("3050 6 GB", "RTX 3050 6GB"),
        ("H20-3e", "H20 141GB"),
        ("GH200 480GB", "GH200 96GB"),
        ("Orin 16GB", "Jetson Orin NX 16GB"),
        ("Jetson AGX Orin Developer Kit 64GB", "Jetson AGX Orin 64GB"),
        ("Jetson Orin Nano Super", "Jetson Orin Nano 8GB"),
        ("AGX Thor", "Jetson AGX Thor 128GB"),
        ("Thor 64GB", "Jetson T4000 64GB"),
        ("Jetson T4000", "Jetson T4000 64GB"),
        ("Thor T5000", "Jetson AGX Thor 128GB"),
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
        ("NVIDIA H20", 95.6, "H20 96GB"),
        ("NVIDIA H20-3e", 140.4, "H20 141GB"),
        ("NVIDIA GH200 480GB", 95.6, "GH200 96GB"),
        ("NVIDIA GH200 144G HBM3e", 142.5, "GH200 144GB"),
        ("NVIDIA GeForce RTX 3060", 8, "RTX 3060 8GB"),
        ("Orin", 29.9, "Jetson AGX Orin 32GB"),
        ("Orin", 15.3, "Jetson Orin NX 16GB"),
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


@pytest.mark.parametrize(
    ("typed", "known", "advice"),
    [
        ("RTX 3060 10GB", "'RTX 3060' (12.0 GiB)", "For less VRAM: --gpu 'RTX 3060' --vram 10."),
        ("RTX 3080 11GB", "'RTX 3080 12GB'", "For less VRAM: --gpu 'RTX 3080 12GB' --vram 11."),
        ("Orin 12GB", "'Jetson AGX Orin 64GB'", "--gpu 'Jetson Orin NX 16GB' --vram 12."),
        ("H100 64GB", "'H100 NVL 94GB'", "For less VRAM: --gpu 'H100 PCIe 80GB' --vram 64."),
        ("A100 64GB", "'A100 40GB'", "For less VRAM: --gpu 'A100 80GB' --vram 64."),
        ("A100 96GB", "'A100 80GB'", "Nearest: --gpu 'A100 80GB'."),
        ("H20 200GB", "'H20 96GB'", "Nearest: --gpu 'H20 141GB'."),
        ("GB10 256GB", "'DGX Spark GB10'", "Nearest: --gpu 'DGX Spark GB10'."),
        ("H100 PCIe 94GB", "'H100 SXM 80GB'", "Use --gpu 'H100 NVL 94GB'."),
        ("H100 NVL 80GB", "'H100 NVL 94GB'", "Use --gpu 'H100 PCIe 80GB'."),
        ("MI250 128GB", "'MI250'", "For several: --gpu '2x MI250'."),
        ("T4 32GB", "'T4' (15.0 GiB)", "For several: --gpu '2x T4'."),
        ("A100 0GB", "'A100 40GB'", "Nearest: --gpu 'A100 40GB'."),
        ("A100 60.5GB", "'A100 40GB'", "For less VRAM: --gpu 'A100 80GB' --vram 60.5."),
        ("A100 99999GB", "'A100 40GB'", "Nearest: --gpu 'A100 80GB'."),
    ],
)
def test_unknown_variant_names_the_known_ones_and_what_to_type(
    typed: str, known: str, advice: str
) -> None:
    with pytest.raises(RequestError) as error:
        find_card(typed)
    assert str(error.value).startswith(f"Unknown variant {typed!r}. Known: ")
    assert known in str(error.value)
    assert str(error.value).endswith(advice)


@pytest.mark.parametrize(
    ("typed", "choices"),
    [
        ("Orin", 5), ("Jetson Orin", 5), ("Jetson Orin 8GB", 2), ("2x Orin", 5), ("RTX 6000", 3),
        ("Thor", 2), ("AGX", 3), ("Jetson", 7),
    ],
)  # fmt: skip
def test_name_of_several_products_is_refused_with_their_names(typed: str, choices: int) -> None:
    with pytest.raises(RequestError, match=r"is the name of several cards\. Use '") as error:
        parse_gpus(typed)
    names = re.findall(r"'([^']+)' \([\d.]+ GiB\)", str(error.value))
    assert len(names) == choices
    assert [find_card(name).name for name in names] == names


@pytest.mark.parametrize(
    ("typed", "name", "also"),
    [
        ("A100", "A100 40GB", ("A100 80GB",)),
        ("A100 40GB", "A100 40GB", ()),
        ("V100", "V100 16GB", ("V100 32GB",)),
        ("H100", "H100 PCIe 80GB", ("H100 SXM 80GB", "H100 NVL 94GB")),
        ("H100 80GB", "H100 PCIe 80GB", ("H100 SXM 80GB",)),
        ("H100 PCIe", "H100 PCIe 80GB", ()),
        ("NVIDIA H100 80GB HBM3", "H100 SXM 80GB", ()),
        ("H20", "H20 96GB", ("H20 141GB",)),
        ("RTX 3060", "RTX 3060", ()),
        ("3080", "RTX 3080 10GB", ("RTX 3080 12GB",)),
        ("RTX 4060 Ti", "RTX 4060 Ti 8GB", ("RTX 4060 Ti 16GB",)),
        ("RTX 5060 Ti", "RTX 5060 Ti 8GB", ("RTX 5060 Ti 16GB",)),
        ("RTX 3080 Laptop", "RTX 3080 Laptop 8GB", ("RTX 3080 Laptop 16GB",)),
        ("RX 9060 XT", "RX 9060 XT 8GB", ("RX 9060 XT 16GB",)),
        ("AGX Orin", "Jetson AGX Orin 32GB", ("Jetson AGX Orin 64GB",)),
        ("Orin NX", "Jetson Orin NX 8GB", ("Jetson Orin NX 16GB",)),
        ("Thor 128GB", "Jetson AGX Thor 128GB", ()),
    ],
)
def test_plan_names_the_other_cards_of_a_name(typed: str, name: str, also: tuple[str, ...]) -> None:
    card = find_card(typed)
    assert (card.name, set(card.also)) == (name, set(also))
    rates = Machine.of(typed).rates
    assert rates is not None
    assert rates.source.startswith(f"the datasheet of {name} ")
    assert rates.source.endswith(f"; also of this name: {', '.join(card.also)}") is bool(also)


def test_number_of_several_generations_is_refused_with_their_names() -> None:
    with pytest.raises(RequestError) as error:
        find_card("RTX 6000")
    assert str(error.value) == (
        "'RTX 6000' is the name of several cards. Use 'Quadro RTX 6000' (23.7 GiB),"
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
        ("RTX 4090", 12, "RTX 4090"), ("RTX 3060", 8, "RTX 3060 8GB"), ("H20", 141, "H20 141GB"),
        ("Orin", 16, "Jetson Orin NX 16GB"), ("AGX Orin", 64, "Jetson AGX Orin 64GB"),
        ("H100", 94, "H100 NVL 94GB"), ("A100", 30, "A100 40GB"),
        ("A100", 60.5, "A100 80GB"), ("RTX 5060 Ti", 12, "RTX 5060 Ti 16GB"),
        ("H100", 90, "H100 NVL 94GB"), ("AGX Orin", 48, "Jetson AGX Orin 64GB"),
    ],
)  # fmt: skip
def test_vram_names_the_variant_of_that_size(gpu: str, vram: float, name: str) -> None:
    (described,) = Machine.of(gpu, vram=vram).gpus
    assert described.name == name


def test_vram_names_the_variant_of_several_cards() -> None:
    assert [g.name for g in Machine.of("2x A100", vram=80).gpus] == ["A100 80GB"] * 2
    assert [g.name for g in Machine.of("RTX 5060 Ti x2", vram=16).gpus] == ["RTX 5060 Ti 16GB"] * 2
    assert [g.name for g in Machine.of("2x A100", vram=60).gpus] == ["A100 80GB"] * 2
    with pytest.raises(RequestError, match=r"vram=96 is more than A100 80GB has.*vram=80\."):
        Machine.of("A100", vram=96)
    names = [g.name for g in Machine.of("RTX 3090 + RTX 3060", vram=10).gpus]
    assert names == ["RTX 3090", "RTX 3060"]


def test_card_count_is_parsed_with_and_without_spaces() -> None:
    assert [c.name for c in parse_gpus("2x4090+3 × rtx3060")] == ["RTX 4090"] * 2 + ["RTX 3060"] * 3
    for text in ("4090 x2", "4090x2", "2*4090", "2 4090"):
        assert [c.name for c in parse_gpus(text)] == ["RTX 4090"] * 2
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
