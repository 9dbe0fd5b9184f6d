"""Memory limits of control groups, in trees laid out as kernels and container engines do.

Layouts: the kernel's admin-guide/cgroup-v2.rst and admin-guide/cgroup-v1/memory.rst,
cgroup_namespaces(7), Docker's and Kubernetes' cgroup drivers, Slurm's task/cgroup plugin.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogmagic._machine.control_groups import GroupMemory, group_memory
from cogmagic._machine.ram import host_ram
from cogmagic._units import GIB, MIB
from tests.helpers.files import write

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
UNLIMITED = "9223372036854771712\n"  # 2**63, rounded down to a page of 4 KiB
TOP = "sys/fs/cgroup"


def tree(root: Path, membership: str, mounts: str, files: dict[str, str]) -> Path:
    """A root directory with ``/proc/self`` and the files of control groups."""
    proc = {"proc/self/cgroup": membership, "proc/self/mountinfo": mounts}
    write(root, proc | {f"{TOP}/{name}": text for name, text in files.items()})
    return root


def v2(limit: str, used: int, stat: str = "", folder: str = "") -> dict[str, str]:
    """The files of one group of version 2."""
    files = {"memory.max": f"{limit}\n", "memory.current": f"{used}\n", "memory.stat": stat}
    return {folder + name: text for name, text in files.items()}


def v1(limit: str, used: int, stat: str = "", folder: str = "memory/") -> dict[str, str]:
    """The files of one group of version 1."""
    names = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"
    texts = limit, f"{used}\n", stat
    return {folder + name: text for name, text in zip(names, texts, strict=True)}


def test_page_cache_in_use_is_not_taken(tmp_path: Path) -> None:
    """By the second run the weights have been read twice, so their pages are active."""
    stat = (
        f"anon {2 * GIB}\nfile {21 * GIB}\nkernel {GIB}\nshmem {GIB}\nfile_mapped {18 * GIB}\n"
        f"file_dirty {GIB}\ninactive_anon {3 * GIB}\nactive_file {18 * GIB}\n"
        f"inactive_file {2 * GIB}\nunevictable 0\nslab_reclaimable {GIB // 2}\n"
    )
    tree(tmp_path, "0::/\n", V2, v2(str(32 * GIB), 24 * GIB, stat))
    left = 32 * GIB - (24 - 18 - 2) * GIB + GIB // 2  # shmem and what is private are taken
    assert group_memory(tmp_path) == GroupMemory(32 * GIB, left)


def test_version_1_counts_the_sums_of_a_group_and_its_children(tmp_path: Path) -> None:
    stat = f"active_file 5\ntotal_active_file {3 * GIB}\ntotal_inactive_file {GIB}\n"
    mount = V1.replace("0:32 /", "0:32 /docker/abc", 1)
    tree(tmp_path, "4:memory:/docker/abc\n", mount, v1(str(12 * GIB), 5 * GIB, stat))
    assert group_memory(tmp_path) == GroupMemory(12 * GIB, 11 * GIB)


def test_group_with_least_left_decides(tmp_path: Path) -> None:
    """The job's siblings use most of what the user's slice may have."""
    slice_, job = "user.slice/user-1000.slice/", "user.slice/user-1000.slice/job.scope/"
    files = v2("max", 70 * GIB) | v2(str(16 * GIB), 13 * GIB, folder=slice_)
    files |= v2(str(8 * GIB), GIB, folder=job)
    tree(tmp_path, f"0::/{job.rstrip('/')}\n", V2, files)
    assert group_memory(tmp_path) == GroupMemory(8 * GIB, 3 * GIB)


def test_throttling_counts_as_a_limit(tmp_path: Path) -> None:
    files = v2(str(8 * GIB), GIB) | {"memory.high": f"{6 * GIB}\n"}
    tree(tmp_path, "0::/\n", V2, files)
    assert group_memory(tmp_path) == GroupMemory(6 * GIB, 5 * GIB)


def test_swap_of_version_2_is_limited_by_any_ancestor(tmp_path: Path) -> None:
    files = v2("max", GIB) | {"memory.swap.max": f"{2 * GIB}\n", "memory.swap.current": f"{GIB}\n"}
    files |= v2(str(8 * GIB), GIB, folder="pod/") | {"pod/memory.swap.max": "max\n"}
    tree(tmp_path, "0::/pod\n", V2, files)
    assert group_memory(tmp_path) == GroupMemory(8 * GIB, 7 * GIB, swap=GIB)


def test_memory_and_swap_of_version_1_are_limited_together(tmp_path: Path) -> None:
    files = v1(str(8 * GIB), 3 * GIB) | {
        "memory/memory.memsw.limit_in_bytes": f"{10 * GIB}\n",
        "memory/memory.memsw.usage_in_bytes": f"{4 * GIB}\n",
    }
    tree(tmp_path, "4:memory:/\n", V1, files)
    assert group_memory(tmp_path) == GroupMemory(8 * GIB, 5 * GIB, swap=GIB)
    write(tmp_path, {f"{TOP}/memory/memory.memsw.limit_in_bytes": UNLIMITED})
    group = group_memory(tmp_path)
    assert (group.limit, group.left, group.swap) == (8 * GIB, 5 * GIB, None)


def test_limit_of_a_hidden_ancestor_of_version_1_applies(tmp_path: Path) -> None:
    """Such as a pod whose containers have no limits of their own."""
    stat = f"total_inactive_file {GIB}\nhierarchical_memory_limit {6 * GIB}\n"
    mount = V1.replace("0:32 /", "0:32 /kubepods/pod1/c1", 1)
    tree(tmp_path, "4:memory:/kubepods/pod1/c1\n", mount, v1(UNLIMITED, 3 * GIB, stat))
    assert group_memory(tmp_path) == GroupMemory(6 * GIB, 4 * GIB)


HYBRID = "4:memory:/slurm/uid_1/job_2/step_0\n1:cpu:/\n0::/system.slice/slurmd.service\n"
EIGHT = GroupMemory(8 * GIB, 7 * GIB)
NO_LIMIT = GroupMemory()


@pytest.mark.parametrize(
    ("membership", "mounts", "files", "expected"),
    [
        pytest.param(
            HYBRID,
            V1 + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            v1(UNLIMITED, 40 * GIB) | v1(str(8 * GIB), GIB, folder="memory/slurm/uid_1/job_2/"),
            EIGHT,
            id="hybrid, a limit of the job",
        ),
        pytest.param(
            "0::/a\n",
            V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
            v2(str(8 * GIB), GIB, folder="unified/a/"),
            EIGHT,
            id="version 2 beside version 1",
        ),
        pytest.param(
            "5:cpu:/docker/abc\n4:cpu,memory:/docker/abc\n",
            V1,
            v1(str(8 * GIB), GIB),
            EIGHT,
            id="a path of the host, which the container does not see",
        ),
        pytest.param("0::/docker/abc\n", "", v2(str(8 * GIB), GIB), EIGHT, id="no mountinfo"),
        pytest.param("0::/../job\n", V2, v2(str(8 * GIB), GIB), EIGHT, id="above the namespace"),
        pytest.param(
            "0::/../job\n",
            V2.replace("0:26 /", "0:26 /..", 1),
            v2("max", GIB) | v2(str(8 * GIB), GIB, folder="job/"),
            EIGHT,
            id="mounted before the namespace",
        ),
        pytest.param(
            "0::/\n",
            V2.replace("0:26 /", "0:26 /../..", 1),
            v2(str(8 * GIB), GIB),
            EIGHT,
            id="a mount of an ancestor",
        ),
        pytest.param(
            "\n:\nno\n7\n::\nx:memory\n0::/a\n",
            "\n- \na b\n - cgroup2\n" + V2,
            v2(str(8 * GIB), GIB, "active_file\nx y z\ninactive_file many\n", folder="a/"),
            EIGHT,
            id="malformed lines",
        ),
        pytest.param("0::/a\n", V2, v2("max", GIB, folder="a/"), NO_LIMIT, id="max"),
        pytest.param("0::/a\n", V2, v2("", GIB, folder="a/"), NO_LIMIT, id="empty"),
        pytest.param("0::/a\n", V2, v2("-1", GIB, folder="a/"), NO_LIMIT, id="negative"),
        pytest.param("4:memory:/\n", V1, v1(UNLIMITED, GIB), NO_LIMIT, id="unlimited version 1"),
        pytest.param(
            "4:memory:/\n", V1, v1(f"{2**63 - 65536}", GIB), NO_LIMIT, id="pages of 64 KiB"
        ),
        pytest.param("4:memory:/\n", V2, v2(str(GIB), GIB), NO_LIMIT, id="not mounted"),
        pytest.param("0::/a\n", V2, {"a/memory.max/x": ""}, NO_LIMIT, id="a folder for a file"),
        pytest.param("", V2, v2(str(GIB), GIB), NO_LIMIT, id="no groups"),
        pytest.param(
            "0::/a\n", V2, v2(str(GIB), 3 * GIB, folder="a/"), GroupMemory(GIB, 0), id="over"
        ),
    ],
)
def test_layouts_are_read(
    membership: str, mounts: str, files: dict[str, str], expected: GroupMemory, tmp_path: Path
) -> None:
    assert group_memory(tree(tmp_path, membership, mounts, files)) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="no such names of files")
def test_names_may_have_spaces_colons_and_any_bytes(tmp_path: Path) -> None:
    names = "my group:1", "line\x85separator", os.fsdecode(b"latin-1 \xe9"), "a - b"
    for i, name in enumerate(names):
        root = tmp_path / str(i)
        escaped = name.replace(" ", "\\040")
        mount = f"30 23 0:26 /{escaped} /sys/fs/{escaped} rw - cgroup2 cgroup2 rw\n"
        (root / "proc/self").mkdir(parents=True)
        for file, text in (("cgroup", f"0::/{name}/job\n"), ("mountinfo", mount)):
            (root / "proc/self" / file).write_bytes(os.fsencode(text))
        write(root / "sys/fs" / name / "job", v2(str(8 * GIB), GIB))
        assert group_memory(root) == EIGHT, name


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files")
def test_unreadable_usage_counts_as_this_process_own(tmp_path: Path) -> None:
    tree(tmp_path, "0::/\n", V2, v2(str(8 * GIB), GIB))
    (tmp_path / TOP / "memory.current").unlink()
    assert group_memory(tmp_path, own=2 * GIB) == GroupMemory(8 * GIB, 6 * GIB)
    (tmp_path / TOP / "memory.max").chmod(0)
    if os.getuid():
        assert group_memory(tmp_path) == NO_LIMIT


@settings(max_examples=20)
@given(st.text(), st.text(), st.text())
def test_no_text_raises_an_error(
    tmp_path_factory: pytest.TempPathFactory, a: str, b: str, c: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    tree(root, "", "", v2("", 0))
    (root / "proc/self/cgroup").write_text(f"0::/{a}\n{b}", errors="replace")
    (root / "proc/self/mountinfo").write_text(f"{V2}{c}", errors="replace")
    (root / TOP / "memory.max").write_text(c, errors="replace")
    (root / TOP / "memory.stat").write_text(b, errors="replace")
    group_memory(root)


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    assert group_memory(tmp_path) == NO_LIMIT


def test_host_ram_has_the_tightest_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from cogmagic._machine import ram

    def limited(*amounts: int | None) -> None:
        monkeypatch.setattr(ram, "group_memory", lambda **_: GroupMemory(*amounts))

    limited(256 * MIB, 100 * MIB, 0)
    now = host_ram()
    assert (now.total, now.available, now.source) == (256 * MIB, 100 * MIB, "container")
    assert now.swap == 0
    limited(2**50, 2**49, None)
    now = host_ram()
    assert now.source == "machine"
    assert 0 < (now.available or 0) <= (now.total or 0) < 2**49


INSIDE = """
import os, sys
from pathlib import Path
group, file = Path(sys.argv[1]), Path(sys.argv[2])
(group / "cgroup.procs").write_text("0")
from cogmagic._machine.control_groups import group_memory
with file.open("wb") as out:
    for _ in range(100):
        out.write(os.urandom(2**20))
    os.fsync(out.fileno())
print(group_memory().left)
for _ in range(2):
    with file.open("rb") as again:
        while again.read(2**20):
            pass
print(group_memory().left)
used = *group.glob("memory.usage_in_bytes"), *group.glob("memory.current")
print(used[0].read_text())
block = bytearray(120 * 2**20)  # more than is free, without the cache
block[::4096] = b"x" * len(block[::4096])
print(group_memory().limit)
"""


def _new_group() -> Path | None:
    """A group of 256 MiB below that of this process, where the system permits one."""
    for version, base in (("memory", Path("/sys/fs/cgroup/memory")), ("", Path("/sys/fs/cgroup"))):
        try:
            lines = Path("/proc/self/cgroup").read_text().splitlines()
            paths = [path for _, name, path in (x.split(":", 2) for x in lines) if name == version]
            group = base / paths[0].lstrip("/") / f"cogmagic test:{os.getpid()}"
            group.mkdir()
        except (OSError, IndexError):
            continue
        limit = "memory.limit_in_bytes" if version else "memory.max"
        try:
            (group / limit).write_text(str(256 * MIB))
        except OSError:  # version 2 without its memory controller
            group.rmdir()
            continue
        return group
    return None


def test_file_read_twice_in_a_real_group_takes_nothing(tmp_path: Path) -> None:
    """The kernel frees it where memory is needed: nothing is killed."""
    group = _new_group()
    if group is None:
        pytest.skip("may not create a control group")
    try:
        command = [sys.executable, "-c", INSIDE, str(group), str(tmp_path / "weights")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        group.rmdir()
    before, after, used, limit = map(int, done.stdout.split())
    assert limit == 256 * MIB
    assert used > 100 * MIB  # the file's pages are the group's
    assert abs(before - after) < 8 * MIB
    assert after > limit - 60 * MIB
