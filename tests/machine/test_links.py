"""Links between GPUs, as NVML reports them and as cards have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cogmagic import Machine
from cogmagic._machine import links as _links
from cogmagic._machine.gpu import Gpu
from cogmagic._machine.links import UNKNOWN_LINK, link_among, read_links
from tests.helpers.nvml import FakeNvml, NVMLError

PEERS_READ, PEERS_NVLINK = 0, 2


class Linked(FakeNvml):
    """Two cards with some NVLinks, and what the driver says of access to each other."""

    count = 18
    access: int | None = 0

    def nvmlDeviceGetNvLinkState(self, handle: str, link: int) -> int:
        if link >= self.count:
            raise NVMLError
        return int(link != 1)  # one is down

    def nvmlDeviceGetP2PStatus(self, one: str, other: str, kind: int) -> int:
        assert kind in (PEERS_READ, PEERS_NVLINK)
        if self.access is None:
            raise NVMLError
        return 0 if kind == PEERS_READ and self.access == 0 else int(not self.count or self.access)


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Linked]:
    from cogmagic._machine import nvml as _nvml

    fake = Linked()
    monkeypatch.setattr(_nvml, "_nvml", lambda: fake)
    _nvml._devices_cached.clear()
    _links._links.cache_clear()
    yield fake
    _nvml._devices_cached.clear()
    _links._links.cache_clear()


def gpu(index: int, letter: str, name: str, capability: tuple[int, int]) -> Gpu:
    uuid = f"GPU-{letter * 8}-0000-1111-2222-33334444{letter * 4}"
    return Gpu(index, name, uuid=uuid, total=80 * 2**30, capability=capability)


HOPPERS = gpu(0, "a", "NVIDIA H100 80GB HBM3", (9, 0)), gpu(1, "b", "NVIDIA H200", (9, 0))
OTHERS = gpu(0, "a", "RTX 4090", (8, 9)), gpu(1, "b", "RTX 3060", (8, 6))


def test_nvlinks_that_are_up_are_counted(linked: Linked) -> None:
    (link,) = read_links(HOPPERS)
    assert (link.kind, link.gpus) == ("NVLink", (0, 1))
    assert link.rate == pytest.approx(17 * 25e9 * 2 / 3)


def test_an_old_driver_that_knows_no_peers_leaves_its_nvlinks(linked: Linked) -> None:
    linked.access = None
    assert read_links(HOPPERS)[0].kind == "NVLink"


@pytest.mark.parametrize(("access", "kind"), [(0, "PCIe"), (None, "PCIe"), (3, "host memory")])
def test_without_nvlink_the_drivers_access_decides(
    linked: Linked, access: int | None, kind: str
) -> None:
    linked.count, linked.access = 0, access
    (link,) = read_links(OTHERS)
    assert link.kind == kind


def test_without_nvml_the_link_is_pcie() -> None:
    _links._links.cache_clear()
    (link,) = read_links((Gpu(0, "A"), Gpu(2, "B")))
    assert (link.kind, link.rate, link.gpus) == ("PCIe", UNKNOWN_LINK.rate, (0, 2))
    assert read_links((Gpu(0, "A"),)) == ()


@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        ("8x A100 40GB", "NVLink"),
        ("4x H200", "NVLink"),
        ("2x H100 PCIe 80GB", "PCIe"),
        ("2x L40S", "PCIe"),
        ("2x RTX 6000 Ada", "PCIe"),
        ("2x RTX 4090", "host memory"),
        ("2x GTX 1660", "host memory"),
        ("H200 + H100 SXM 80GB", "PCIe"),
        ("RTX 3090 + L40S", "host memory"),
        ("4x MI300X", "PCIe"),
    ],
)
def test_described_machines_have_the_links_of_their_cards(machine: str, kind: str) -> None:
    described = Machine.of(machine)
    assert len(described.links) == len(described.gpus) * (len(described.gpus) - 1) // 2
    assert {link.kind for link in described.links} == {kind}


def test_the_slowest_link_sets_the_pace() -> None:
    machine = Machine.of("2x A100 40GB + L40S")
    kinds = {n: link_among(machine.links, machine.gpus[:n]).kind for n in (2, 3)}
    assert kinds == {2: "NVLink", 3: "PCIe"}
    assert link_among((), machine.gpus) == UNKNOWN_LINK


def test_mig_instances_do_not_work_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from cogmagic._machine.machine import _not_together

    instances = Gpu(0, "H100 MIG 1g", uuid="MIG-1"), Gpu(1, "H100 MIG 1g", uuid="MIG-2")
    assert _not_together(instances) == "NCCL does not connect MIG instances"
    assert _not_together(instances[:1]) == ""
    monkeypatch.setattr("sys.platform", "win32")
    assert _not_together(()) == "torch has no NCCL on Windows"
