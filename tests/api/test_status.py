"""Status, release and the list of models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cogmagic
from cogmagic._api.status import Status
from cogmagic._machine.gpu import Gpu
from cogmagic._session.session import Session
from cogmagic._units import GIB
from tests.helpers.toy import PROMPT, QUICK


def test_status_and_release(toy: Path, cwd: Path, session: Session) -> None:
    assert "nothing" in str(cogmagic.status())
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert "t2v (float32)" in str(cogmagic.status())
    assert cogmagic.release().startswith("Freed")
    assert cogmagic.release() == "Nothing was loaded."
    models = cogmagic.models()
    assert "5b-i2v" in str(models)
    embedded = models["tiny"].folder
    assert embedded is not None
    assert (embedded / "model_index.json").is_file()
    with pytest.raises(cogmagic.RequestError, match="Unknown model 'tine'"):
        models["tine"]


def test_vram_of_the_workers_is_not_that_of_other_processes() -> None:
    gpus = tuple(Gpu(i, "H200", free=100 * GIB, total=140 * GIB) for i in (0, 1))
    machine = replace(cogmagic.Machine(), gpus=gpus, device="cuda")
    alone = Status(machine, None).rows()
    assert alone[2] == ("GPU 1", "H200: 100.00 GiB free of 140.00 GiB")
    assert alone[3] == ("", "this kernel 0.00 GiB, others about 40.00 GiB")
    vram = {0: 30 * GIB, 1: 25 * GIB}
    status = Status(machine, None, workers=2, workers_ram=GIB, workers_vram=vram)
    assert status.rows()[3][1].endswith("its workers 25.00 GiB, others about 15.00 GiB")
    assert max(map(len, str(status).splitlines())) <= 80
    rows = dict(status.rows())
    assert rows["workers"] == "2 processes use 1.00 GiB of RAM and 55.00 GiB of VRAM"
