"""Adding a tier takes one class and one line in the registry: everything else follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, TierError
from cogmagic._footprint.footprint import Footprint
from cogmagic._tiers.base import Phases, Placement, Tier, Variant
from cogmagic._tiers.hooks import compute_on
from cogmagic._tiers.host_copy import HostCopy
from cogmagic._tiers.registry import TIERS
from cogmagic._tiers.residency import Residency


class TextFirst(Tier):
    """The text encoder alone on the GPU, then the transformer and the VAE together."""

    name = "text-first"
    title = "text first"
    meaning = "the text encoder first, then the transformer beside the VAE"
    devices = frozenset({"cuda", "cpu"})

    def phases(self, f: Footprint, overhead: int, variant: Variant) -> tuple[Phases, ...]:
        both = f.transformer.weights + f.vae.weights
        image = f.encode_image.peak if f.encode_image else 0
        return (
            {
                "load": 0,
                "encode": f.text_encoder.weights + f.encode.peak + overhead,
                "denoise": both + max(f.denoise.peak, image) + overhead,
                "decode": both + f.decode.peak + overhead,
            },
        )

    def place(self, pipe: Any, placement: Placement, host: HostCopy, undo: ExitStack) -> None:
        residency = Residency(undo)
        for module in (pipe.text_encoder, pipe.transformer, pipe.vae):
            compute_on(module, placement.device)
        second = [pipe.transformer, pipe.vae.encoder, pipe.vae.decoder]
        for called, home in (
            ([pipe.text_encoder], HostCopy([pipe.text_encoder])),
            (second, HostCopy([pipe.transformer, pipe.vae])),
        ):
            residency.add(called, partial(home.onload, placement.device), home.restore)


@pytest.fixture
def text_first() -> Iterator[Tier]:
    tier = TextFirst()
    TIERS[tier.name] = tier
    yield tier
    del TIERS[tier.name]


def test_a_new_tier_is_in_plans_and_can_be_chosen(text_first: Tier) -> None:
    machine = Machine.of("RTX 4090", ram=64)
    plan = cogmagic.plan(model="5b", machine=machine)
    candidate = next(c for c in plan.candidates if c.tier == "text-first")
    none = next(c for c in plan.candidates if c.tier == "none")
    assert candidate.peak_vram is not None
    assert none.peak_vram is not None
    assert candidate.peak_vram < none.peak_vram
    assert "\n  text-first " in str(plan)
    forced = cogmagic.plan(model="5b", machine=machine, tier="text-first")
    assert "tier     text-first (text first): the text encoder first" in str(forced)
    assert "text-first" in cogmagic.plan(model="5b", machine=Machine.of("RTX 3090")).reason + str(
        forced
    )


def test_a_new_tier_is_in_the_manual_completion_and_errors(text_first: Tier) -> None:
    from cogmagic._notebook.completion import complete
    from cogmagic._notebook.manual import manual

    assert "text-first" in "".join(manual().split())  # lines may end at a hyphen
    offers = complete("%%cogvideo --tier ")
    assert offers is not None
    assert "text-first" in offers[1]
    with pytest.raises(TierError, match=r"'text-frist'\. Did you mean.*text-first"):
        cogmagic.plan(tier="text-frist")


@pytest.mark.slow
def test_a_new_tier_makes_the_same_video(text_first: Tier, cwd: Path, session: Any) -> None:
    def digest(tier: str) -> str:
        video = cogmagic.generate(
            "a red circle moves", tier=tier, seed=1, num_frames=9, num_inference_steps=2
        )
        assert video.report.tier == tier
        return video.report.frames_sha256

    assert digest("text-first") == digest("none")


def test_a_tier_that_is_not_registered_does_not_exist() -> None:
    with pytest.raises(TierError, match="Unknown tier 'text-first'"):
        cogmagic.plan(tier="text-first")
