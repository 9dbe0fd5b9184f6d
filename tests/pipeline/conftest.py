"""Fixtures of the tests of decoding."""

from __future__ import annotations

from typing import Any

import pytest

from tests.helpers.decoders import embedded_vae, narrow_vae


@pytest.fixture(scope="module")
def tiny() -> Any:
    """The embedded model's VAE."""
    return embedded_vae()


@pytest.fixture(scope="module")
def narrow() -> Any:
    """A VAE whose channels are no power of two."""
    return narrow_vae()
