"""Amounts of memory as people type them."""

from __future__ import annotations

import math

import pytest

from cogmagic import RequestError
from cogmagic._machine.amounts import gib_bytes, vram_limit_bytes
from cogmagic._units import GIB


@pytest.mark.parametrize("amount", [12, 12.0, "12", "12GiB", "12 GB", " 12g "])
def test_amounts_are_read_as_gib(amount: object) -> None:
    assert gib_bytes(amount, "--vram") == 12 * GIB


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        (-1, "--vram -1 is out of range (0.5 to 4096 GiB). Nearest: --vram 0.5."),
        ("5000GB", "--vram 5000 is out of range (0.5 to 4096 GiB). Nearest: --vram 4096."),
        ("lots", "--vram 'lots' is not an amount in GiB, such as --vram 12."),
        *((bad, "is not an amount in GiB") for bad in ("", "gb", None, True, [1], math.nan)),
    ],
)
def test_impossible_amount_is_refused_with_the_nearest(amount: object, message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        gib_bytes(amount, "--vram")
    assert message in str(refusal.value)


@pytest.mark.parametrize("value", [None, 2**29, 10 * GIB, 10 * GIB + 1, 4096 * GIB])
def test_vram_limit_from_half_a_gib_is_bytes(value: int | None) -> None:
    assert vram_limit_bytes(value) == value


@pytest.mark.parametrize("value", [0.5, 10, 1023.5])
def test_vram_limit_below_1024_is_gib(value: float) -> None:
    assert vram_limit_bytes(value) == value * GIB


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.2, "vram_limit=0.2 is out of range (0.5 to 4096 GiB). Nearest: vram_limit=0.5."),
        (12288, "nor bytes (from 536,870,912). If it is in MiB: vram_limit=12."),
        (2**29 - 1, "vram_limit=536870911 is neither GiB (below 1024) nor bytes"),
        (4097 * GIB, "bytes is out of range (0.5 to 4096 GiB). For 10 GiB: vram_limit=10."),
        ("10", "vram_limit='10' is neither GiB nor bytes. For 10 GiB: vram_limit=10."),
        (True, "vram_limit=True is neither GiB nor bytes."),
        (math.inf, "vram_limit=inf is neither GiB nor bytes."),
    ],
)
def test_ambiguous_or_impossible_vram_limit_is_refused(value: object, message: str) -> None:
    with pytest.raises(RequestError) as refusal:
        vram_limit_bytes(value)
    assert message in str(refusal.value)
