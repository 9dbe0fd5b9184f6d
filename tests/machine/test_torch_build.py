"""GPUs that a build of torch supports."""

from __future__ import annotations

import pytest

from cogmagic._machine.torch_build import built_for


@pytest.mark.parametrize(
    ("capability", "architectures", "usable"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 6), ["sm_80", "sm_90"], True),
        ((7, 0), ["sm_75", "sm_80", "sm_90"], False),
        ((12, 0), ["sm_80", "sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((12, 1), ["sm_120"], True),
        (None, ["sm_90"], True),
        ((9, 4), ["gfx942"], True),
    ],
)
def test_torch_build_supports_the_gpus_of_its_architectures(
    capability: tuple[int, int] | None, architectures: list[str], usable: bool
) -> None:
    assert built_for(capability, architectures) is usable
