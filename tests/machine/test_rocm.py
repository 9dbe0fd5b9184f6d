"""AMD GPUs from sysfs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cogmagic import Gpu
from cogmagic._machine.rocm import amd_gpus, hidden_note
from cogmagic._units import GIB
from tests.helpers.files import write

UNIQUE = (0x1111111111111111, 0x22AA222222222222, 0x22BB222222222222)


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


def add_card(root: Path, number: int, bus: int, name: str = "", used: int = 0) -> None:
    """A card of 16 GiB, its PCI device linked as in the kernel's sysfs, and a connector of it."""
    device = f"devices/pci0000:00/0000:{bus:02x}:00.0"
    write(
        root,
        {
            f"{device}/mem_info_vram_total": f"{16 * GIB}\n",
            f"{device}/mem_info_vram_used": f"{used * GIB}\n",
            f"{device}/product_name": f"{name}\n",
        },
    )
    card = root / "class/drm" / f"card{number}"
    card.mkdir(parents=True)
    (card / "device").symlink_to(root / device)
    connector = card.with_name(f"card{number}-DP-1")
    connector.mkdir()
    (connector / "device").symlink_to(card)


def add_node(root: Path, number: int, location: int, unique: int = 0, simds: int = 80) -> None:
    node = f"class/kfd/kfd/topology/nodes/{number}"
    facts = {"simd_count": simds, "location_id": location, "domain": 0, "unique_id": unique}
    write(root, {f"{node}/properties": "".join(f"{k} {v}\n" for k, v in facts.items())})


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three GPUs whose KFD nodes (2, 3, 10) are in another order than their cards (1, 2, 10)."""
    for number, bus, name in ((10, 0x03, "A"), (1, 0x43, "B"), (2, 0xC3, "C")):
        add_card(tmp_path, number, bus, name)
    add_node(tmp_path, 0, 0, simds=0)  # the processor
    for number, bus, unique in zip((2, 3, 10), (0x03, 0x43, 0xC3), UNIQUE, strict=True):
        add_node(tmp_path, number, bus << 8, unique)
    return tmp_path


def names(root: Path) -> str:
    gpus = amd_gpus(root)
    assert [g.index for g in gpus] == list(range(len(gpus)))
    return "".join(g.name for g in gpus)


def test_gpus_have_the_order_of_the_compute_driver(three: Path) -> None:
    assert names(three) == "ABC"
    assert [g.uuid for g in amd_gpus(three)] == [f"GPU-{u:016x}" for u in UNIQUE]
    assert amd_gpus(three)[0].free == 16 * GIB


def test_gpus_without_compute_nodes_have_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number, name in ((10, "C"), (2, "B"), (0, "A")):
        add_card(tmp_path, number, number + 1, name, used=number)
    (tmp_path / "class/drm/card1/device").mkdir(parents=True)  # another vendor's
    write(tmp_path, {"devices/pci0000:00/0000:03:00.0/unique_id": "22aa222222222222\n"})
    assert names(tmp_path) == "ABC"
    assert [(g.free, g.uuid) for g in amd_gpus(tmp_path)] == [
        (16 * GIB, None),
        (14 * GIB, "GPU-22aa222222222222"),
        (6 * GIB, None),
    ]


@pytest.mark.parametrize(
    ("rocr", "hip", "cuda", "visible"),
    [
        ("0,2", None, None, "AC"),
        ("2,0", None, None, "CA"),
        (" 2 , 0x1 ", None, None, "CB"),
        ("GPU-22bb222222222222", None, None, "C"),
        ("gpu-22BB, GPU-1", None, None, "CA"),
        ("GPU-22,0", None, None, ""),  # two GPUs
        ("0,GPU-33,1", None, None, "A"),
        ("GPU-", None, None, ""),
        ("1,1,0", None, None, "B"),
        ("1,08,0", None, None, "B"),
        ("1,3,0", None, None, "B"),
        ("1,,0", None, None, "B"),
        ("-1", None, None, ""),
        ("", None, None, ""),
        ("none", None, None, ""),
        (None, "2,0", None, "CA"),
        (None, None, "2,0", "CA"),
        (None, "1", "0", "B"),
        (None, "", "0", ""),
        (None, "-1", "0", ""),
        (None, None, "-1", ""),
        (None, "0,-1,1", None, "A"),
        (None, "0, 1", None, "A"),
        (None, "1,1,0,", None, "BA"),
        (None, "GPU-22bb,GPU-1111111111111111", None, "CA"),
        ("2,0", "1", None, "A"),
        ("2,0", "2", None, ""),
        ("2,1", None, "1,0", "BC"),
        ("1", "GPU-22aa", None, "B"),
        ("", "0", None, ""),
        ("-1", None, "0", ""),
    ],
)
def test_visible_devices_are_filtered_first_by_rocr_and_then_by_hip(
    three: Path,
    monkeypatch: pytest.MonkeyPatch,
    rocr: str | None,
    hip: str | None,
    cuda: str | None,
    visible: str,
) -> None:
    for name, value in (("ROCR", rocr), ("HIP", hip), ("CUDA", cuda)):
        if value is not None:
            monkeypatch.setenv(f"{name}_VISIBLE_DEVICES", value)
    assert names(three) == visible
    assert (hidden_note(three) is None) == bool(visible)


def test_note_names_the_variable_that_hides_all_gpus(
    three: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    note = "3 AMD GPU(s) hidden by {}; using the CPU."
    assert hidden_note(three) == note.format("CUDA_VISIBLE_DEVICES='7'")
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "")
    assert hidden_note(three) == note.format("HIP_VISIBLE_DEVICES=''")
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "-1")
    assert hidden_note(three) == note.format("ROCR_VISIBLE_DEVICES='-1'")
    assert hidden_note(tmp_path_factory.mktemp("sys")) is None


def torch_with(*addresses: tuple[int, int, int]) -> SimpleNamespace:
    """A torch that has initialised HIP, as far as it is asked for its devices' PCI addresses."""
    devices = [
        SimpleNamespace(pci_domain_id=domain, pci_bus_id=bus, pci_device_id=device)
        for domain, bus, device in addresses
    ]
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: len(devices),
        get_device_properties=devices.__getitem__,
    )
    return SimpleNamespace(cuda=cuda)


def test_devices_of_torch_are_joined_by_pci_address(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")  # changed after torch had read it
    monkeypatch.setitem(sys.modules, "torch", torch_with((0, 0xC3, 0), (0, 0x03, 0)))
    assert names(three) == "CA"
    monkeypatch.setitem(sys.modules, "torch", torch_with((1, 0xC3, 0), (0, 0x43, 0)))
    assert [(g.index, g.name, g.total) for g in amd_gpus(three)] == [
        (0, "AMD GPU", None),  # in a PCI domain that sysfs does not show
        (1, "B", 16 * GIB),
    ]
    older = torch_with((0, 0xC3, 0))
    older.cuda.get_device_properties = lambda _: object()
    monkeypatch.setitem(sys.modules, "torch", older)
    assert names(three) == "A"


def test_gpu_that_a_container_may_not_use_is_skipped(three: Path) -> None:
    for node, visible in ((3, "AC"), (2, "C"), (10, "")):
        properties = three / f"class/kfd/kfd/topology/nodes/{node}/properties"
        properties.unlink()
        properties.mkdir()  # reading it fails, also for root
        assert names(three) == visible


def test_partitions_share_the_memory_of_their_gpu(tmp_path: Path) -> None:
    add_card(tmp_path, 0, 0x03, "MI300X", used=4)
    for number in (1, 2):
        add_node(tmp_path, number, (number - 1) << 28 | 0x03 << 8, UNIQUE[number])
    assert [(g.name, g.total, g.free) for g in amd_gpus(tmp_path)] == [
        ("MI300X", 8 * GIB, None)
    ] * 2


def test_apu_has_host_memory_unless_its_carve_out_is_larger(tmp_path: Path) -> None:
    def gpu(carve_out: int, metrics: bytes) -> Gpu:
        for name, gib in (("vram_total", carve_out), ("gtt_total", 32), ("gtt_used", 2)):
            write(tmp_path, {f"class/drm/card0/device/mem_info_{name}": f"{gib * GIB}\n"})
        write(tmp_path, {"class/drm/card0/device/mem_info_vram_used": "0\n"})
        (tmp_path / "class/drm/card0/device/gpu_metrics").write_bytes(metrics)
        return amd_gpus(tmp_path)[0]

    apu = gpu(1, b"\x80\x00\x03\x00")
    assert (apu.unified, apu.total, apu.allowed) == (True, 32 * GIB, 30 * GIB)
    assert apu.sharing(64 * GIB, 20 * GIB).available == 20 * GIB
    assert apu.sharing(64 * GIB, 60 * GIB).available == 30 * GIB
    for carve_out, metrics in ((96, b"\x80\x00\x03\x00"), (16, b"\x80\x00\x01\x03"), (16, b"")):
        own = gpu(carve_out, metrics)
        assert (own.unified, own.total) == (False, carve_out * GIB)
