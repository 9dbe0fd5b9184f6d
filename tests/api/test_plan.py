"""The verb `plan`: its options, its table, its JSON, and what it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Request, RequestError, TierError
from cogmagic._units import GIB

RED = "a red circle moves to the right on a black background"


def test_planning_is_quick_and_brings_in_no_torch() -> None:
    code = """
import sys
import cogmagic
machine = cogmagic.Machine.of("RTX 3060")

cogmagic.plan(model="1.5-5b", num_frames=161, machine=machine)
print({"torch", "diffusers", "transformers", "numpy"} & set(sys.modules))
cogmagic.plan("a cat", machine=machine)  # tokenizers imports numpy
print({"torch", "diffusers", "transformers"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "set()"]


def test_plan_prints_json_and_lists_the_cards_that_fit(shell: Any, capsys: Any) -> None:
    shell.run('%cogvideo plan --model 5b --gpu "RTX 4090" --ram 32 --json')
    found = json.loads(capsys.readouterr().out)
    assert (found["tier"], found["rule"], found["fits"]) == ("model", "model", True)
    assert [c["tier"] for c in found["candidates"]] == [
        "none", "model", "stream", "staged", "sequential",
    ]  # fmt: skip
    source = "from the datasheet of RTX 4090 and published times of an L40: not measured"
    assert found["times"] == source
    shell.run("%cogvideo plan --model 2b --which-gpu")
    listed = capsys.readouterr().out
    assert "RTX 4090" in listed
    assert listed.index("GTX 1080 Ti") < listed.index("RTX 4090")  # the slowest first
    assert "Times follow from datasheets" in listed
    assert "bfloat16" not in listed  # 2b is made for float16
    shell.run("%cogvideo plan --model 5b --which-gpu")
    assert "of them for lack of bfloat16: try --dtype float32." in capsys.readouterr().out
    shell.run("%cogvideo plan --model 5b --which-gpu --dtype float32")
    times = [line.split()[-1] for line in capsys.readouterr().out.splitlines()[1:-2]]
    assert "n/a" in times
    assert not any(t == "n/a" for t in times[: times.index("n/a")])
    assert set(times[times.index("n/a") :]) == {"n/a"}  # never 0 s
    shell.run("%cogvideo history")
    assert "No runs yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('plan --gpu "RTX 3600"', "Unknown card"),
        ("plan --vram lots", "--vram 'lots' is not an amount in GiB"),
        ("plan --vram -3", "--vram -3 is out of range"),
        ("plan --vram 48 --gpu T4", "--vram 48 is more than T4 has. Nearest: --vram 15."),
        ("plan --vram-limit 0", "--vram-limit 0 is out of range (0.5 to 4096 GiB)."),
        ("plan --policy rulr", "Did you mean 'rule'?"),
        ("plan --which-gpu --gpu T4", "Leave out --gpu, --gpus and --vram"),
        ("plan --which-gpu --gpus 0", "Leave out --gpu, --gpus and --vram"),
        ("plan --model 2b --gpu T4 --dtype bfloat16", "Leave --dtype out: 2b is made for float16."),
        (
            'plan --model 5b --gpu "T4 + 3090" --tier balanced',
            "but 1 that can compute in bfloat16 may be used",
        ),
        (
            'plan --model 5b --gpu "T4 + 3090" --policy rule',
            "but 1 that can compute in bfloat16 may be used",
        ),
        ("history --forget", "takes only --clear"),
    ],
)
def test_bad_input_is_one_line(shell: Any, line: str, says: str) -> None:
    with pytest.raises(cogmagic.CogMagicError) as error:
        shell.run(f"%cogvideo {line}")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_wrong_argument_types_are_one_line_errors() -> None:
    machine = Machine.of("RTX 3060")
    wrong: tuple[dict[str, Any], ...] = (
        {"tier": 5}, {"policy": None}, {"model": None}, {"machine": "RTX 3060"},
    )  # fmt: skip
    for options in wrong:
        with pytest.raises(
            cogmagic.CogMagicError, match=r"tier 5|policy None|model=None|Machine\.of"
        ):
            cogmagic.plan(**({"machine": machine} | options))
    with pytest.raises(RequestError, match="5 is not the name of a card"):
        Machine.of(5)  # type: ignore[arg-type]


def test_amounts_may_have_a_unit(shell: Any, capsys: Any) -> None:
    shell.run("%cogvideo plan --model 5b --vram 10GB --ram 32GiB")
    assert "GPU of 10 GiB" in capsys.readouterr().out


def test_default_vram_limit_is_not_applied_to_another_machine(shell: Any, capsys: Any) -> None:
    shell.run("%config CogMagic.vram_limit = 8")
    shell.run('%cogvideo plan --model 5b --gpu "RTX 4090"')
    assert "limited to" not in capsys.readouterr().out


def test_ram_option_keeps_this_machines_disk(shell: Any, capsys: Any) -> None:
    shell.run("%cogvideo plan --model 5b --ram 64 --json")
    assert json.loads(capsys.readouterr().out)["download"] > 2e10


def test_plan_here_knows_cached_prompts_and_loaded_weights(cwd: Path, capsys: Any) -> None:
    from cogmagic._planning.memory_options import NOTHING_HERE, Available
    from cogmagic._session.session import session

    options: dict[str, Any] = {"num_inference_steps": 1, "num_frames": 9}
    try:
        before = cogmagic.plan(RED, **options)
        assert replace(before.available, code=frozenset()) == NOTHING_HERE  # of other tests' runs
        report = cogmagic.generate(RED, **options).report
        assert 0.2 * GIB < (report.peak_ram or 0) < 20 * GIB
        assert (report.own_peak, report.held_before) == (None, {})
        after = cogmagic.plan(RED, **options)
        assert replace(after.available, code=frozenset()) == Available(
            prompts_cached=True, weights_loaded=True
        )
        assert "in host memory from an earlier run" in str(after)
        assert not cogmagic.plan(**options).available.prompts_cached  # of which prompt?
        assert not cogmagic.plan(RED, fp8=True, **options).available.weights_loaded
        described = cogmagic.plan(RED, machine=Machine.of("RTX 4090"), **options)
        assert replace(described.available, code=frozenset()) == NOTHING_HERE
    finally:
        session().release()


def test_ram_option_changes_only_host_memory(shell: Any, capsys: Any) -> None:
    here = Machine.detect()
    shell.run("%cogvideo plan --model 2b --ram 4")
    shown = capsys.readouterr().out
    assert ("GiB of RAM" in shown) == (here.device == "cpu")


def test_a_request_takes_the_place_of_the_prompt() -> None:
    request = Request.of(RED, "5b", frames=9)
    machine = Machine.of("RTX 4090")
    plan = cogmagic.plan(request, machine=machine)
    assert plan.request == request
    assert plan == cogmagic.plan(RED, model="5b", frames=9, seed=request.seed, machine=machine)
    for options, name in (({"frames": 17}, "num_frames"), ({"model": "2b"}, "model")):
        with pytest.raises(RequestError, match=f"The Request has its own {name}. Pass no options"):
            cogmagic.plan(request, machine=machine, **options)
    with pytest.raises(RequestError, match="Unknown option 'foo'"):
        cogmagic.plan(request, machine=machine, foo=1)
    for wrong in ({"num_frames": -3}, {"scheduler": "foo"}, {"prompt": 3}):
        with pytest.raises(RequestError):
            cogmagic.plan(replace(request, **wrong), machine=machine)


def test_unknown_options_are_refused_by_name() -> None:
    with pytest.raises(RequestError, match="Unknown option 'savings'"):
        cogmagic.plan(savings=1)
    for tier in ("", 0, False):
        with pytest.raises(TierError, match="Unknown tier"):
            cogmagic.plan(tier=tier)  # type: ignore[call-overload]
