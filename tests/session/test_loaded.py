"""A loaded pipeline that is used again or replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cogmagic
from cogmagic import Machine
from cogmagic._planning.parallel import of_rank
from cogmagic._session.loaded import Loaded
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT, QUICK


def test_changed_weight_files_are_loaded_again(tmp_path: Path, session: Session) -> None:
    from tests.helpers.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "model")
    wish = {"model": str(folder), "save": tmp_path, **QUICK}
    first = cogmagic.generate(PROMPT, **wish)
    save_checkpoint(folder, layers=1)
    second = cogmagic.generate(PROMPT, **wish)
    assert first.report.frames_sha256 != second.report.frames_sha256


@pytest.mark.slow
def test_the_pipeline_is_reused_and_replaced(
    toy: Path, toy_i2v: Path, cwd: Path, session: Session
) -> None:
    from PIL import Image

    cogmagic.generate(PROMPT, model=str(toy), seed=1, num_inference_steps=1)
    first = session.loaded
    cogmagic.generate(PROMPT, model=str(toy), seed=2, num_inference_steps=1, tier="model")
    assert session.loaded is first
    image = Image.new("RGB", (96, 96), "red")
    video = cogmagic.generate(
        PROMPT, model=str(toy_i2v), seed=1, num_inference_steps=1, image=image
    )
    assert session.loaded is not first
    assert video.frames().shape == (17, 96, 96, 3)


@pytest.mark.parametrize("tier", ["none", "staged"])
def test_ranks_other_than_the_first_load_no_text_encoder(toy: Path, tier: str) -> None:
    machine = replace(Machine.of(ram=16), device="cpu")
    plan = cogmagic.plan(model=str(toy), machine=machine, parallel=2, tier=tier)
    model = plan.request.model
    first, other = (Loaded.of(model, of_rank(plan, i), toy, machine) for i in (0, 1))
    assert first.pipe.text_encoder is not None
    assert other.pipe.text_encoder is None
    assert other.pipe.transformer is not None
    assert other.nbytes < first.nbytes or tier == "staged"
    assert of_rank(plan, 1).available.prompts_cached
