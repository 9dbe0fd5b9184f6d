"""The three speeds: what a run has of them, what they gain, and what they exclude."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Plan, RequestError, TierError
from cogmagic._machine.compiler import compiler_problem
from cogmagic._planning import planner
from cogmagic._planning.all_speeds import with_speeds
from cogmagic._planning.compile_time import code_keys
from cogmagic._planning.memory_options import Available, MemoryOptions
from cogmagic._planning.plan_json import as_json
from cogmagic._planning.speed_times import SpeedTime, SpeedTimes
from tests.helpers.plans import five, plan, ran

H100 = Machine.of("H100 80GB", ram=128)


def on(card: str = "H100 80GB", **options: Any) -> Plan:
    machine = options.pop("machine", None) or Machine.of(card, ram=128)
    made: Plan = cogmagic.plan(model="5b", machine=machine, **options)
    return made


def test_exact_uses_nothing_and_is_the_default() -> None:
    made = on()
    assert made.options.speed == "exact"
    assert made.speedups.names == ()
    assert made.remarks == ()
    assert made.candidates == on(speed="exact").candidates


def test_each_tier_gets_what_it_can_use_of_a_speed() -> None:
    made = on(speed="faster")
    for candidate in made.candidates:
        assert candidate.speedups.compile == candidate.placement.compiles
        assert candidate.speedups.decode == candidate.placement.compiles
        assert candidate.savings.storage == "fp8_products"
    sequential = on(speed="faster", tier="sequential")
    assert sequential.remarks == (
        "--speed faster leaves out compiling: tier 'sequential' loads layer by layer;"
        " fast decoding: tier 'sequential' loads layer by layer",
    )
    assert f"\nspeed    {sequential.remarks[0]}" in str(sequential)
    assert sequential.refusal == ""
    two = on("2x A100 40GB", speed="faster", tier="balanced")
    assert two.chosen is not None
    assert two.savings.storage == ""


@pytest.mark.parametrize(
    ("machine", "part"),
    [
        (Machine.of("A100 80GB"), "fp8 products: they take an Ada or Hopper GPU, not A100 80GB"),
        (replace(H100, compiler="no C compiler is on PATH"), "compiling: no C compiler is on PATH"),
        (replace(H100, compiler="no C compiler is on PATH"), "decoding: no C compiler is on PATH"),
        (Machine.of("P100 16GB"), "compiling: Triton needs compute capability 7.0 or newer, and"),
        (Machine.of("M3 Max", ram=64), "compiling: torch's compiler for MPS is a prototype"),
        (Machine(), "fp8 products: they take an Ada or Hopper GPU"),
    ],
)
def test_speed_names_what_the_machine_lacks_and_its_own_option_is_refused(
    machine: Machine, part: str
) -> None:
    made = cogmagic.plan(model="2b", machine=machine, speed="faster")
    assert part in made.remarks[0]
    assert part in " ".join(json.loads(as_json(made))["remarks"])
    if part.startswith("compiling") and machine.device == "cuda":
        reason = part.partition(": ")[2]
        text = f"compile=True does not work, since {reason}.*. Leave out compile=True"
        with pytest.raises(RequestError, match=text):
            cogmagic.plan(model="2b", machine=machine, compile=True)


def test_options_of_one_part_beside_a_speed() -> None:
    with pytest.raises(
        RequestError, match=r"fp8=True cannot be combined with speed=\"faster\".*speed=\"fast\""
    ):
        on(speed="faster", fp8=True)
    assert on(speed="fast", fp8=True).savings.storage == "fp8_products"
    assert on("A100 80GB", speed="fast", fp8=True).savings.storage == "fp8"
    for speed in ("exact", "fast"):
        assert on(speed=speed, compile=True).speedups.compile
    with pytest.raises(TierError, match="compile=True does not work with tier 'sequential'"):
        on(speed="fast", compile=True, tier="sequential")
    with pytest.raises(RequestError, match=r"Unknown speed 'turbo'\. Did you mean 'fast'"):
        on(speed="turbo")


def test_suggestions_of_faster_do_not_add_fp8() -> None:
    made = cogmagic.plan(model="1.5-5b", machine=Machine.of(vram=4), speed="faster")
    assert not made.fits
    assert not any("--fp8" in change for change in made.changes)


def test_plan_has_the_seconds_of_all_speeds() -> None:
    made = on()
    assert [time.name for time in made.speeds.times] == ["exact", "fast", "faster"]
    for time in made.speeds.times:
        alone = on(speed=time.name)
        assert alone.speeds.times == made.speeds.times
        assert (alone.tier, alone.seconds) == (time.tier, time.seconds)
        assert alone.compile_seconds == time.compile_seconds
        assert alone.chosen is not None
        assert alone.chosen.next_seconds == time.again
        assert f"{time.name} {time.seconds:.0f} s" in str(made)
    assert [t["seconds"] for t in json.loads(as_json(made))["speeds"]] == [
        time.seconds for time in made.speeds.times
    ]
    assert [time.name for time in on(fp8=True).speeds.times] == ["exact", "fast"]
    assert cogmagic.plan(model="5b", machine=Machine()).speeds.times == ()


def test_compiling_is_free_once_this_kernel_has_the_code_of_a_clip() -> None:
    first = plan(five(), H100, speed="fast")
    available = Available(code=frozenset(code_keys(five(), first.dtype, first.resolved)))
    for request, seconds in ((five(), 0.0), (five(num_frames=25), 5.0)):  # less than the first
        again = planner.plan(request, H100, MemoryOptions(speed="fast"), available)
        assert again.compile_seconds == seconds
    assert first.compile_seconds == 18
    assert first.seconds is not None
    again = planner.plan(five(), H100, MemoryOptions(speed="fast"), available)
    assert again.seconds == pytest.approx(first.seconds - 18)


def test_compile_seconds_are_those_of_past_runs_on_this_card() -> None:
    first = plan(five(), H100, speed="fast")
    assert first.chosen is not None
    card = H100.gpus[0].name
    row = ran(first, 1, card=card, tier=first.tier, uses=first.resolved.text, measured_compile=12.0)
    other = replace(row, size="480x720", measured_compile=9.0)

    def seconds(*past: Any) -> float:
        return plan(five(), replace(H100, past=past), speed="fast").compile_seconds

    assert seconds(row) == 12
    assert seconds(row, replace(row, measured_compile=3.0)) == 3  # torch's cache has the code
    assert seconds(other, replace(other, measured_compile=2.0)) == 9  # the first of that clip
    third = replace(row, num_frames=9, measured_compile=5.0)
    assert seconds(other, third) == 9  # the longest, as nothing has been compiled
    options = MemoryOptions(speed="fast")
    available = Available(code=frozenset(["of another clip"]))
    machine = replace(H100, past=(other, third))
    after = planner.plan(five(), machine, options, available)
    assert after.compile_seconds == 5  # without the longest
    assert seconds(other, replace(row, measured_compile=None)) == 9
    assert seconds(replace(row, card="T4"), replace(row, uses="compile")) == 18


def test_the_kernels_of_fast_decoding_are_compiled_once_for_each_dtype() -> None:
    first = plan(five(), H100, speed="fast")
    blocks, decoding = code_keys(five(), first.dtype, first.resolved)
    short = five(num_frames=25)

    def seconds(code: Any, *past: Any, request: Any = short) -> float:
        machine, available = replace(H100, past=past), Available(code=frozenset(code))
        return planner.plan(
            request, machine, MemoryOptions(speed="fast"), available
        ).compile_seconds

    assert seconds([decoding]) == seconds([blocks, decoding]) == 5.0
    assert seconds([blocks]) == seconds(["of a float16 model"]) == 10.0
    row = ran(first, 1, card=H100.gpus[0].name, tier=first.tier, uses=first.resolved.text)
    assert seconds([blocks], replace(row, model="another", uses="compile, decode")) == 5.0
    for other in ({"dtype": "float16"}, {"uses": "compile"}, {"card": "T4"}):
        assert seconds([blocks], replace(row, **other)) == 10.0
    alone = plan(five(), H100, compile=True)
    assert "decode" not in alone.resolved.text
    assert alone.compile_seconds == 13.0


def test_runs_with_speedups_are_learned_from_separately() -> None:
    exact, fast = plan(five(), H100), plan(five(), H100, speed="fast")
    card = H100.gpus[0].name
    slow = ran(fast, 2, card=card, tier=fast.tier, uses=fast.resolved.text)
    learned = replace(H100, past=(slow,) * 9)
    assert plan(five(), learned).step_seconds == exact.step_seconds
    assert fast.step_seconds is not None
    learned_step = plan(five(), learned, speed="fast").step_seconds
    assert learned_step == pytest.approx(2 * fast.step_seconds, rel=0.05)


def test_few_steps_do_not_pay_for_compiling_and_the_plan_counts_the_clips() -> None:
    exact, fast = plan(five(), H100), plan(five(), H100, speed="fast")
    slow = ran(exact, 1, card=H100.gpus[0].name)
    quick = ran(fast, 0.5, card=H100.gpus[0].name, uses=fast.resolved.text)
    machine = replace(H100, past=(slow,) * 9 + (quick,) * 9)
    long, short = (on(machine=machine, num_inference_steps=n) for n in (50, 4))
    one, other, _ = long.speeds.times
    assert other.seconds < one.seconds
    assert long.speeds.gain.startswith("--speed fast: ")
    later = f"{other.again:.0f} s instead of {one.again:.0f} s"
    assert f", from the second clip on {later} (the same picture" in long.speeds.gain
    assert f"\nfaster   with {long.speeds.gain}\n" in str(long)
    assert long.speeds.note == ""
    one, other, _ = short.speeds.times
    assert one.again > other.again
    assert short.speeds.gain == ""
    clips = int(short.speeds.note.split(" pays from ")[1].split()[0])
    _check_clips(clips, one, other)
    assert short.speeds.note in str(short)


def _check_clips(clips: int, exact: SpeedTime, fast: SpeedTime) -> None:
    """A speed pays with so many clips, and not with one fewer."""
    first, each = exact.seconds - fast.seconds, exact.again - fast.again
    assert first + (clips - 2) * each <= 0 < first + (clips - 1) * each


def test_a_second_clip_neither_reads_nor_converts_nor_compiles() -> None:
    made = on(num_inference_steps=4, speed="faster")
    exact, _, faster = made.speeds.times
    code = frozenset(code_keys(five(num_inference_steps=4), made.dtype, made.resolved))
    loaded = Available(weights_loaded=True, first_run=False, code=code)
    options = MemoryOptions(speed="faster")
    again = planner.plan(five(num_inference_steps=4), H100, options, loaded)
    assert again.seconds == pytest.approx(faster.again)
    assert faster.again < exact.again < exact.seconds < faster.seconds
    note = made.speeds.note
    _check_clips(int(note.split(" pays from ")[1].split()[0]), exact, faster)
    assert " pays from 3 clips of this shape on: the first takes 15 s more, with 18 s of" in note
    assert note.endswith(" and each further one 7.73 s less")
    cold = on(num_inference_steps=4, keep="cold").speeds.times[0]
    assert cold.seconds == exact.seconds
    assert exact.again < cold.again < cold.seconds  # which is read again, but not the first run
    staged = on(tier="staged").speeds.times[0]
    assert staged.again > on(tier="model").speeds.times[0].again + 5  # it reads every file again


def test_other_speeds_are_not_the_first_run_of_a_kernel_with_loaded_weights() -> None:
    """fp8 products take the weights from the files again, but this kernel has made a video."""
    fresh, used = (
        with_speeds(planner.plan(five(), H100, available=Available(**here)), H100).speeds.times[2]
        for here in ({}, {"weights_loaded": True})
    )
    assert fresh.name == used.name == "faster"
    assert fresh.seconds - used.seconds == pytest.approx(1.5)
    assert fresh.again == used.again


def test_speeds_have_their_times_in_one_unit() -> None:
    times = [
        SpeedTime(n, "none", first, 20, again)
        for n, first, again in (("exact", 665.0, 647.0), ("fast", 590.0, 552.0))
    ]
    speeds = SpeedTimes(tuple(times))
    assert str(speeds) == (
        "exact 665 s (647 s from the second clip) · fast 590 s (552 s from the second clip)"
    )
    assert "590 s instead of 665 s, from the second clip on 552 s instead of 647 s" in speeds.gain
    hours = [replace(t, seconds=9 * t.seconds, again=9 * t.again) for t in times]
    assert str(SpeedTimes(tuple(hours))).startswith("exact 100 min (97 min from")


def test_exact_names_what_makes_its_bits_others() -> None:
    assert "\nspeed    exact but for cache first-block:0.08\n" in str(on(cache="first-block"))
    assert "\nspeed    exact but for compiled blocks\n" in str(on(compile=True, lean_decode=True))
    assert "\nspeed    fast: lean decode, compiled blocks" in str(
        on(speed="fast", lean_decode=True)
    )


def test_short_clips_are_not_compiled_away_by_a_slower_tier() -> None:
    assert on(speed="fast", num_inference_steps=1).tier == on(num_inference_steps=1).tier


def test_what_torch_compiles_with_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: name if name == "gcc" else None)
    monkeypatch.setattr("cogmagic._machine.compiler.find_spec", lambda _: None)
    assert "no C++ compiler is on PATH" in compiler_problem("cpu")
    assert "does not include Triton" in compiler_problem("cuda")
    assert compiler_problem("mps") == ""


@pytest.mark.parametrize(
    ("platform", "installed", "compiler"),
    [
        ("linux", "apt-get install g++", "g++"),
        ("darwin", "xcode-select --install", "clang++"),
        ("win32", "Visual Studio Build Tools, and start Jupyter from their command prompt", "cl"),
    ],
)
def test_a_missing_compiler_is_named_as_the_system_has_it(
    monkeypatch: pytest.MonkeyPatch, platform: str, installed: str, compiler: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("shutil.which", lambda _: None)
    for device, language in (("cpu", "C++"), ("cuda", "C")):
        expected = f"no {language} compiler is on PATH: install one ({installed})"
        assert compiler_problem(device) == expected
    monkeypatch.setattr("shutil.which", lambda name: name if name == compiler else None)
    assert compiler_problem("cpu") == ""
