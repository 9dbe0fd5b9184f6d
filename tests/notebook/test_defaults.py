"""Defaults of the kernel, by %config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from cogmagic import RequestError
from tests.helpers.cells import PROMPT, printed


def test_unknown_keep_and_policy_are_refused_as_defaults(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.keep = 'cold'")
    with pytest.raises(TraitError, match=r"Unknown keep 'tepid'\. Choose from: hot, warm, cold"):
        shell.run("get_ipython().magics_manager.registry['CogMagic'].keep = 'tepid'")
    with pytest.raises(TraitError, match=r"Unknown policy 'luck'\. Choose from: auto, rule"):
        shell.run("get_ipython().magics_manager.registry['CogMagic'].policy = 'luck'")
    shell.run("print(get_ipython().magics_manager.registry['CogMagic'].keep)")
    assert capsys.readouterr().out.splitlines()[-1] == "cold"


def test_options_of_the_cell_override_the_defaults(shell: Any, toy: Path, cwd: Path) -> None:
    (cwd / "clips").mkdir()
    shell.run(f'%config CogMagic.model = "{toy}"')
    shell.run('%config CogMagic.tier = "model"')
    shell.run('%config CogMagic.save = "clips"')
    shell.run(f"%%cogvideo --frames 9 --steps 1 --out one\n{PROMPT}")
    shell.run(f"%%cogvideo --frames 9 --steps 1 --tier none --save here.mp4 --out two\n{PROMPT}")
    one, two = shell.user_ns["one"], shell.user_ns["two"]
    assert (one.report.tier, one.path.parent.name) == ("model", "clips")
    assert (two.report.tier, two.path.name) == ("none", "here.mp4")


def test_refused_default_keeps_the_value_before(
    shell: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shell.run('%config CogMagic.tier = "sequential"')
    shell.run('%config CogMagic.tier = "modle"')  # IPython logs what the trait refuses
    assert "Unknown tier 'modle'. Did you mean 'model'?" in caplog.text
    assert "tier     sequential" in printed(shell, "%cogvideo plan")


def test_default_gpus_apply_to_this_machine_only(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.gpus = '3'")
    with pytest.raises(RequestError, match="this machine has no GPU '3'"):
        shell.run("%cogvideo plan")
    with pytest.raises(RequestError, match=r"No GPU can be used; leave --gpus out\."):
        shell.run("%%cogvideo\na red circle")
    shell.run("%cogvideo plan --model 5b --gpu 'RTX 3060'")  # the default is not of that machine
    shell.run("%cogvideo plan --model 5b --gpu 'RTX 3090 + RTX 3060' --gpus 1")
    shell.run("%cogvideo plan --model 5b --which-gpu")
    printed = capsys.readouterr().out
    assert "on RTX 3060 (" in printed
    assert "RTX 3090 (" not in printed
