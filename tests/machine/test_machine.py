"""A machine as it is detected, or described by its cards."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogmagic import Gpu, Machine, RequestError
from cogmagic._machine import nvml as _nvml
from cogmagic._machine.cards.names import find_card
from cogmagic._machine.gpu import selected
from cogmagic._machine.torch_build import TorchBuild, cpu_only_note, torch_build
from cogmagic._machine.torch_check import checked_by_torch
from cogmagic._spelling import as_python
from cogmagic._units import GIB
from tests.helpers.nvml import FakeNvml


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gpus": "RTX 3600"}, "Unknown card 'RTX 3600'. Did you mean 'RTX 3060'?"),
        ({"gpus": "RTX 3090 + RX 7900 XTX"}, "mixes AMD's cards with NVIDIA's"),
        (
            {"gpus": "RTX 4090", "vram": 100},
            "more than 4 times what RTX 4090 has. Nearest: --vram 96.",
        ),
        ({"gpus": "RTX 4090 48GB", "vram": 100}, "Nearest: --vram 96."),
        ({"gpus": "GB10", "vram": 256}, "--vram 256 is more than DGX Spark GB10 has."),
        ({"gpus": "M3 Max"}, "M3 Max has the Mac's memory, 8 to 512 GiB. Add it, as in --ram 16."),
        ({"gpus": "M1", "vram": 8}, "M1 has no VRAM of its own. Use --ram GIB"),
        ({"gpus": "2x M3 Max", "ram": 36}, "Name an Apple chip alone"),
        ({"gpus": ""}, "Unknown card ''"),
        ({"gpus": "0x T4"}, "0 cards; a machine has 1 to 16"),
        ({"gpus": "65x T4"}, "65 cards"),
        ({"gpus": "T4", "vram": 80}, "--vram 80 is more than T4 has. Nearest: --vram 15."),
        ({"vram": -1}, "--vram -1 is out of range (0.5 to 4096 GiB)"),
        ({"vram": float("nan")}, "--vram nan"),
        ({"gpus": "T4", "ram": 0}, "--ram 0"),
    ],
)
def test_impossible_machine_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError) as error:
        Machine.of(**arguments)  # type: ignore[arg-type]
    assert as_python(message) in str(error.value)
    assert "\n" not in str(error.value)


def test_vram_without_a_card_is_a_generic_gpu() -> None:
    (gpu,) = Machine.of(vram=10).gpus
    assert (gpu.total, gpu.name) == (10 * GIB, "GPU of 10 GiB")


def test_nominal_size_of_a_card_is_accepted() -> None:
    (gpu,) = Machine.of("RTX 4090", vram=24).gpus
    assert gpu.total == find_card("RTX 4090").vram
    with pytest.raises(RequestError) as error:
        Machine.of("H100 + T4", vram=30)
    assert str(error.value) == "vram=30 is more than T4 has. Nearest: vram=15."
    assert Machine.of("RTX 4090", vram=23.9).gpus[0].total is not None


def test_rebuilt_card_may_have_more_memory_than_its_datasheet() -> None:
    by_name, by_option = Machine.of("RTX 4090 48GB"), Machine.of("RTX 4090", vram=48)
    assert by_name == by_option
    assert [g.total for g in by_name.gpus] == [48 * GIB]
    assert by_name.rates == Machine.of("RTX 4090").rates


def test_apple_chip_is_a_mac_with_its_memory() -> None:
    assert Machine.of("M3 Max", ram=36) == Machine.of("apple m3 max 36GB")
    machine = Machine.of("M3 Max", ram=36)
    assert (machine.device, machine.ram.total) == ("mps", 36 * GIB)
    assert [g.available for g in machine.computing] == [27 * GIB]


def test_vram_alone_names_the_card_whose_speed_it_assumes() -> None:
    rates = Machine.of(vram=24).rates
    assert rates is not None
    assert rates.source == (
        "the datasheet of RTX 3060 (Ampere), as --vram names no card: add --gpu NAME"
    )


def test_rates_are_those_of_the_roomiest_gpu() -> None:
    mixed, alone = Machine.of("RTX 3060 + RTX 3090"), Machine.of("RTX 3090")
    assert mixed.roomiest is not None
    assert (mixed.roomiest.name, mixed.rates) == ("RTX 3090", alone.rates)


@given(st.floats(0.5, 4096))
def test_described_gpu_has_free_memory(vram: float) -> None:
    (gpu,) = Machine.of(vram=vram).gpus
    assert gpu.free is not None
    assert gpu.total is not None
    assert 0 < gpu.free < gpu.total


def test_gpus_are_selected_by_index_or_uuid(nvml: FakeNvml, cuda_build: None) -> None:
    detected = Machine.detect()
    assert [g.name for g in detected.gpus] == ["H100", "RTX 3060"]
    assert detected.driver == "580.95.05"
    assert detected.versions == f"torch {version('torch')}, diffusers {version('diffusers')}"
    for name in ("1", str(detected.gpus[1].uuid), str(detected.gpus[1].uuid)[:8].upper()):
        machine = Machine.detect(gpus=(name,))
        assert [(g.index, g.name) for g in machine.gpus] == [(1, "RTX 3060")]
        assert machine.rates is not None
        assert detected.rates is not None
        assert machine.rates.products < detected.rates.products  # those of the other card
    assert Machine.detect(gpus=("0", "1")).gpus == detected.gpus
    for name in ("2", "GPU-f", "x"):
        with pytest.raises(RequestError, match=rf"no GPU '{name}'. Choose from 0 \(H100\), 1 \("):
            Machine.detect(gpus=(name,))
    with pytest.raises(RequestError, match="'GPU-' names 2 GPUs"):
        Machine.detect(gpus=("GPU-",))
    with pytest.raises(RequestError, match="No GPU can be used; leave --gpus out"):
        selected((), ("0",))


def test_cpu_build_of_torch_beside_a_gpu_is_noted(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._machine.hardware.torch_build", lambda: TorchBuild("2.13.0+cpu"))
    machine = Machine.detect()
    assert (machine.device, machine.gpus) == ("cpu", ())
    assert "H100 found, but torch 2.13.0+cpu was built without CUDA" in str(machine.note)
    assert "pip install" in str(machine.note)
    assert "\n" not in cpu_only_note((Gpu(0, "H100"),), TorchBuild())


def test_driver_that_is_too_old_for_torch_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """CI's torch has no CUDA, which is what an outdated driver looks like to it."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    machine = checked_by_torch(Machine((Gpu(0, "GTX 970"),), device="cuda"))
    assert (machine.device, machine.gpus) == ("cpu", ())
    assert "cannot start CUDA" in str(machine.note)
    without_mps = checked_by_torch(Machine(device="mps"))
    assert without_mps.device == "cpu"
    for here in (machine, without_mps):  # which then compiles for its CPU
        assert "no C++ compiler is on PATH" in here.compiler


def test_detect_reads_the_torch_build_without_importing_torch() -> None:
    code = (
        "import sys, cogmagic; m = cogmagic.Machine.detect(); print(m.ram.total > 0);"
        "from cogmagic._machine.torch_build import torch_build; print(torch_build().version);"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    import torch

    assert done.stdout.split() == ["True", torch.__version__, "False"]
    assert torch_build() == TorchBuild(torch.__version__, torch.version.cuda, torch.version.hip)


def test_roomiest_gpu_is_chosen() -> None:
    gpus = (Gpu(0, "A", free=4 * GIB), Gpu(1, "B", free=40 * GIB), Gpu(2, "C", free=40 * GIB))
    assert Machine(gpus, device="cuda").roomiest is gpus[1]
    assert Machine().roomiest is None


def test_gpu_in_use_is_chosen_among_equals() -> None:
    def roomiest(free: float) -> int:
        """Of two, when the second has this kernel's context and so many GiB free."""
        gpus = Gpu(0, "A", free=24 * GIB), Gpu(1, "B", free=round(free * GIB), reserved=0)
        chosen = Machine(gpus, device="cuda").roomiest
        assert chosen is not None
        return chosen.index

    assert roomiest(23.3) == 1
    assert roomiest(23.2) == 1  # of which libraries took some
    assert roomiest(22.9) == 0


def test_driver_that_does_not_start_is_noted_and_asked_again(
    nvml: FakeNvml, cuda_build: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(_nvml, "_driver_uuids", lambda *_: ())
    assert "2 NVIDIA GPU(s) seen, but the CUDA driver does not start" in str(Machine.detect().note)


def test_damaged_history_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cogmagic._machine.history import History

    with_experience = Machine.with_experience

    monkeypatch.setattr("cogmagic._machine.experience.driver_version", lambda: "580.95")
    machine = Machine.of("RTX 4090")
    History(tmp_path).path.write_text("not ours")
    with pytest.warns(UserWarning, match="run history was unreadable"):
        first = with_experience(machine, machine.gpus[0], tmp_path)
    assert (first.past, first.driver, first.cache_folder) == ((), "580.95", tmp_path)
    with_experience(machine, machine.gpus[0], tmp_path)  # not again
