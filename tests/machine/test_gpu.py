"""GPUs by index or UUID."""

from __future__ import annotations

import pytest

from cogmagic import RequestError
from cogmagic._machine.gpu import gpu_names


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, ()), ("0,2", ("0", "2")), (1, ("1",)), ([0, "GPU-8"], ("0", "GPU-8")),
        ("", None), ("0,", None), ([], None), (1.5, None), ([True], None), (False, None),
    ],
)  # fmt: skip
def test_gpu_names_are_parsed(given: object, names: tuple[str, ...] | None) -> None:
    if names is None:
        with pytest.raises(RequestError, match="name GPUs by index or UUID, as --gpus 0,2"):
            gpu_names(given)
    else:
        assert gpu_names(given) == names
