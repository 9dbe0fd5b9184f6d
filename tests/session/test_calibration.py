"""A GPU that is probed, and runs that are recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cogmagic import Machine
from cogmagic._units import GIB
from tests.helpers.nvml import FakeNvml
from tests.helpers.plans import five, plan


def test_gpu_is_probed_once_per_kernel_until_its_probes_are_deleted(
    nvml: FakeNvml, cuda_build: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of events; what a probe measures is looked at on GPUs."""
    from contextlib import nullcontext

    import torch

    from cogmagic._machine import rates as _rates
    from cogmagic._session import calibration as calibration

    made: list[int] = []

    def probe(_: torch.device) -> _rates.Rates:
        made.append(1)
        return _rates.Rates(7e14, 4e14, 1e14, 3e12, source="probe")

    monkeypatch.setattr("cogmagic._machine.probe.probe", probe)
    monkeypatch.setattr(calibration, "_probed", set())
    monkeypatch.setattr(calibration, "use_expandable_segments", lambda: None)
    monkeypatch.setattr(calibration, "checked_by_torch", lambda machine: machine)
    monkeypatch.setattr(torch.random, "fork_rng", lambda _: nullcontext())
    for _ in range(2):
        machine = calibration.calibrated(Machine.detect(), ())
        assert machine.rates is not None
        assert (machine.rates.source, machine.rates.probes, len(made)) == ("probe", 1, 1)
    _rates.delete_probes(own_cache)
    assert Machine.detect().rates != machine.rates
    again = calibration.calibrated(Machine.detect(), ())
    assert again.rates is not None
    assert (again.rates.probes, len(made)) == (1, 2)
    for kernel in range(6):
        monkeypatch.setattr(calibration, "_probed", set())
        calibration.calibrated(Machine.detect(), ())
        assert len(made) == min(kernel + 3, 6)  # five are enough
    own_cache.joinpath("rates-v5.json").unlink()
    monkeypatch.setattr(_rates, "write_table", refuse)
    unkept = calibration.calibrated(Machine.detect(), ())
    assert unkept.rates is not None
    assert unkept.rates.source == "probe"


def refuse(*_: object) -> None:
    raise PermissionError


def test_run_is_recorded_with_its_software_and_without_other_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._machine.history import History
    from cogmagic._session.calibration import record_run
    from cogmagic._video.report import Report

    monkeypatch.setenv("COGMAGIC_CACHE", str(tmp_path))
    software = {"driver": "580.95.05", "versions": "torch 2.13.0, diffusers 0.42.1"}
    machine = replace(Machine.of("RTX 4090 + RTX 3060"), **software)
    before = plan(five(), machine)
    report = Report(
        tier=before.tier,
        reason="",
        device="",
        dtype="bfloat16",
        peak_allocated={0: 20 * GIB, 1: 9 * GIB},  # the second is not used by the run
        held_before={0: 6 * GIB, 1: 9 * GIB},
    )
    record_run(machine, before, report)
    (row,) = History().read()
    assert row.measured_allocated == 14 * GIB
    assert row.driver == "580.95.05"
    assert row.versions.endswith(", torch 2.13.0, diffusers 0.42.1")
    assert plan(five(), replace(machine, past=(row,))).peak_allocated != before.peak_allocated


def test_run_in_float32_corrects_the_seconds_of_float32_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._machine.history import History
    from cogmagic._session.calibration import record_run
    from cogmagic._video.report import Report

    monkeypatch.setenv("COGMAGIC_CACHE", str(tmp_path))
    machine = Machine.of("T4")
    wide, narrow = (plan(five(dtype=dtype), machine) for dtype in ("float32", "float16"))
    report = Report(
        tier=wide.tier, reason="", device="", dtype="float32", step_seconds=2 * wide.step_seconds
    )
    for _ in range(3):
        record_run(machine, wide, report)
    learned = replace(machine, past=History().read())
    assert plan(wide.request, learned).step_seconds > 1.5 * wide.step_seconds
    assert plan(narrow.request, learned).step_seconds == narrow.step_seconds


def test_out_of_memory_is_evidence_if_the_plan_was_predicted_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._machine.history import History
    from cogmagic._session.calibration import record_run

    monkeypatch.setenv("COGMAGIC_CACHE", str(tmp_path))
    machine = Machine.of("RTX 4090")
    before = plan(five(), machine)
    record_run(machine, before, None)
    (row,) = History().read()
    assert row.out_of_memory
    after = plan(five(), replace(machine, past=(row,)))
    assert not next(c for c in after.candidates if c.tier == "model").fits
    assert after.tier == "stream"
    under = plan(five(), machine, tier="none", vram_limit=10 * GIB)  # was known not to fit
    record_run(machine.limited_to(10 * GIB), under, None)
    assert plan(five(), replace(machine, past=History().read()[1:])).tier == "model"


def test_oom_is_recorded_only_if_it_was_predicted_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogmagic._machine.failures import is_device_shortage, is_shortage
    from cogmagic._machine.history import History
    from cogmagic._session.calibration import record_run

    assert is_shortage(MemoryError())
    assert not is_device_shortage(MemoryError())
    assert is_device_shortage(RuntimeError("CUDA error: out of memory"))
    small = Machine.of(vram=5)
    record_run(small, plan(five(), small, tier="sequential"), None)  # was said not to fit
    two = Machine.of("RTX 3090 + RTX 3060")
    record_run(two, plan(five(), two, tier="balanced"), None)  # of which card?
    assert History().read() == ()


def test_a_run_that_loads_stores_the_pace_of_its_files(tmp_path: Path) -> None:
    from cogmagic._machine.file_paces import with_file_paces
    from cogmagic._planning.memory_options import Available, MemoryOptions
    from cogmagic._planning.planner import plan as planned
    from cogmagic._session.calibration import record_reading
    from cogmagic._video.report import Report

    machine = replace(Machine.of("H100 SXM"), cache_folder=tmp_path)
    assert machine.rates is not None
    report = Report(tier="none", reason="", device="", dtype="bfloat16", seconds={"load": 30.0})
    options = MemoryOptions(tier="none")
    loaded, cold, cached = (
        planned(five(), machine, options, available)
        for available in (Available(weights_loaded=True), Available(), Available(cached=1.0))
    )
    record_reading(machine, loaded, report)
    assert with_file_paces(machine.rates, tmp_path) == machine.rates
    record_reading(machine, cold, report)
    learned = with_file_paces(machine.rates, tmp_path)
    assert 0.75e9 < learned.disk < 1.05e9  # 21.5 GB in 30 s, of which other work took some
    assert learned.copying == machine.rates.copying
    # With what was learned, the phase is predicted as it was.
    again = planned(five(), replace(machine, rates=learned), options, Available())
    assert again.seconds is not None
    assert cold.seconds is not None
    chosen = again.chosen
    assert chosen is not None
    assert chosen.needs.loading.seconds(learned) == pytest.approx(30.9)
    record_reading(machine, cached, replace(report, seconds={"load": 5.0}))
    assert with_file_paces(machine.rates, tmp_path).copying > 5e9
