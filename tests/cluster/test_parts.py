"""The parts of a cluster that need no Ray: tiers by card, versions, files, leftovers."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cogmagic import ClusterError, DeviceError, Machine, OutputError, Request, TierError
from cogmagic._cluster.address import Address
from cogmagic._cluster.cluster import connect
from cogmagic._cluster.failure import failure_of
from cogmagic._cluster.inputs import SentFile, local_files, lora_files, portable, with_files
from cogmagic._cluster.leftovers import own_folder, remove_folder
from cogmagic._cluster.messages import Start
from cogmagic._cluster.tier import tier_for
from cogmagic._machine import ram
from cogmagic._machine.amounts import gib_bytes
from cogmagic._models.batch_row import Row, StoredInput
from cogmagic._models.inputs import ANY_INPUT
from cogmagic._pipeline.load import load
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._planning.memory_options import DEFAULTS
from cogmagic._video.request_inputs import inputs_read
from tests.helpers.clips import Made
from tests.helpers.lora_files import write_lora

ROWS = [Row(n, Request.of("a red circle", "5b", seed=n)) for n in (1, 2)]


def limited(gib: float) -> Machine:
    return Machine.of("A100 40GB", ram=64).limited_to(gib_bytes(gib, "--vram-limit"))


def test_workers_with_other_limits_have_other_tiers_in_one_batch() -> None:
    assert tier_for(ROWS, DEFAULTS, limited(40)) == "none"
    assert tier_for(ROWS, DEFAULTS, limited(12)) == "stream"
    with pytest.raises(TierError, match="GiB"):
        tier_for(ROWS, DEFAULTS, limited(1))


def test_a_card_that_some_rows_fit_is_not_left_out() -> None:
    large = Row(1, Request.of("a", "1.5-5b", seed=1))
    small = Row(2, Request.of("a", "1.5-5b", seed=1, size="768x768", num_frames=17))
    tight = Machine.of("RTX 3060", ram=64).limited_to(gib_bytes(6, "--vram-limit"))
    with pytest.raises(TierError):
        tier_for([large], DEFAULTS, tight)
    assert tier_for([large, small], DEFAULTS, tight) == tier_for([small], DEFAULTS, tight)
    assert tier_for([small], DEFAULTS, tight)


def test_actors_of_a_host_share_the_memory_that_is_available_when_they_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ram, "_most", None)
    whole = ram.host_ram()
    assert whole.available is not None
    share = ram.share_of_ram(4)
    assert share == pytest.approx((whole.available + whole.mine) / 4, rel=0.1)
    ram.limit_ram(share)
    limited = ram.host_ram()
    assert (limited.total, limited.swap) == (share, 0)
    assert limited.available == pytest.approx(share - limited.mine, abs=2**24)


@pytest.mark.parametrize(
    ("name", "version", "text"),
    [
        ("cogmagic", "0.0.1", "has cogmagic 0.0.1, but this kernel"),
        ("cogmagic", "", "has no cogmagic, but this kernel has"),
        ("ray", "2.50.0", "has Ray 2.50.0, but this kernel"),
        ("python", "3.9.2", "has Python 3.9.2, but this kernel"),
    ],
)
def test_a_node_with_another_version_is_refused(name: str, version: str, text: str) -> None:
    nodes = pytest.importorskip("cogmagic._cluster.nodes")
    import ray

    import cogmagic

    python = ".".join(map(str, sys.version_info[:2]))
    mine = {"python": f"{python}.99", "ray": ray.__version__, "cogmagic": cogmagic.__version__}
    nodes.check_versions({"here": mine})  # a patch of Python may differ
    with pytest.raises(ClusterError, match=rf"^Node there {text}") as error:
        nodes.check_versions({"here": mine, "there": mine | {name: version}})
    assert "\n" not in str(error.value)


def test_a_cluster_of_other_versions_is_refused_in_one_line() -> None:
    ray_start = pytest.importorskip("cogmagic._cluster.ray_start")
    from ray._private.utils import check_version_info

    start = Start(1, Address.of("head:6379"), "")
    theirs = {"ray_version": "2.50.0", "python_version": "3.12.1"}
    with pytest.raises(RuntimeError) as mismatch:
        check_version_info(theirs, "this")
    error = str(ray_start.refusal(start, mismatch.value))
    assert error.startswith("The cluster at head:6379 runs Ray 2.50.0 on Python 3.12.1, but this")
    assert error.endswith("pip install ray==2.50.0")
    for other in (ConnectionError("no node\nsecond"), RuntimeError("InvalidAuthToken")):
        assert "\n" not in str(ray_start.refusal(start, other))
        assert "~/.ray/auth_token" in str(ray_start.refusal(start, other))


@pytest.mark.parametrize(("address", "asked"), [("ray://head:10001", 4), ("local", 2)])
def test_a_lost_session_is_asked_for_again(
    address: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_start = pytest.importorskip("cogmagic._cluster.ray_start")
    monkeypatch.setattr(ray_start, "end_processes", lambda _: None)
    starts: list[Start] = []

    def lose(start: Start) -> None:
        starts.append(start)
        if len(starts) != succeeds:
            raise ConnectionAbortedError("Initialization failure from server:\nlost")

    monkeypatch.setattr(ray_start, "_init", lose)
    start, succeeds = Start(1, Address.of(address), ""), asked
    ray_start.connected(start)
    starts.clear()
    succeeds = asked + 1
    with pytest.raises(ClusterError):
        ray_start.connected(start)
    assert len(starts) == asked


def test_a_head_that_starts_no_session_is_named_with_its_reason() -> None:
    ray_start = pytest.importorskip("cogmagic._cluster.ray_start")
    failed = "Initialization failure from server:\nTraceback:\n  File\nRuntimeError: no backend\n"
    start = Start(1, Address.of("ray://head:10001"), "")
    assert str(ray_start.refusal(start, ConnectionAbortedError(failed))) == (
        "The head of the cluster at ray://head:10001 could not start a session for this kernel"
        " (RuntimeError: no backend). Try again when the head is less busy."
    )


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cogmagic._cluster.cluster.find_spec", lambda _: None)
    with pytest.raises(ClusterError, match=r"^Ray is not installed. Type %pip install ray,"):
        connect("local")


def test_importing_the_cluster_imports_no_ray() -> None:
    assert importlib.util.find_spec("ray")
    code = "import sys, cogmagic._api.batch.generate_many; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pictures_are_sent_with_their_rows(tmp_path: Path, toy_i2v: Path) -> None:
    file = tmp_path / "red.png"
    Image.new("RGB", (48, 32), "red").save(file)
    row = Row(1, Request.of("a", str(toy_i2v), image=str(file), seed=1))
    row = Row(1, row.request, inputs={"image": StoredInput.of("image", str(file))})
    assert StoredInput.of("image", file).value == str(file)  # which every process can unpickle
    sent = portable(row)
    file.unlink()
    assert sent.complete().image.getpixel((0, 0)) == (255, 0, 0)


def test_clips_and_masks_are_sent_with_their_rows(tmp_path: Path, toy_inp: Path) -> None:
    clip = Made("clip.mkv", "ffv1", rate=8, count=9).at(tmp_path)
    folder = tmp_path / "mask"
    folder.mkdir()
    for n in range(9):
        Image.new("L", (64, 48), 255 * (n > 4)).save(folder / f"{n}.png")
    given = {"video": clip, "mask": folder}
    request = Request.of("a", str(toy_inp), num_frames=9, fps=8, **given)
    inputs = {name: StoredInput.of(name, value) for name, value in given.items()}
    row = Row(1, replace(request, inputs=dict.fromkeys(given, ANY_INPUT)), inputs=inputs)
    here, sent = row.complete(), pickle.loads(pickle.dumps(portable(row)))  # noqa: S301
    here, *read = inputs_read(here, lambda: None)
    clip.unlink()
    shutil.rmtree(folder)
    there, *same = inputs_read(sent.complete(), lambda: None)
    assert all((a == b).all() for a, b in zip(read[:2], same[:2], strict=True))
    assert there.mask.share == here.mask.share == 4 / 9


def test_a_lora_is_written_on_hosts_that_lack_it(tmp_path: Path, toy: Path) -> None:
    file = write_lora(
        tmp_path / "red.safetensors", load(PipelineSpec(toy, "t2v", "float32")).transformer
    )
    request = Request.of("a", str(toy), lora=str(file), seed=1)
    row, content = Row(1, request), file.read_bytes()
    files = lora_files([row], lambda data: data)
    node = tmp_path / "node"
    assert local_files(files, node, bytes) == {file: file}  # the same file is here
    assert with_files(row, {file: file}) == row
    file.unlink()
    here = local_files(files, node, bytes)
    assert here[file].read_bytes() == content
    assert here[file].is_relative_to(node)
    assert with_files(row, here).request.loras[0].file == here[file]
    file.write_bytes(b"another")
    here[file].write_bytes(b"cut off")
    assert local_files(files, node, bytes) == here
    assert here[file].read_bytes() == content
    assert all(isinstance(f, SentFile) and f.content for f in files.values())


def test_errors_are_sorted_by_whom_they_stop() -> None:
    kinds: list[tuple[Exception, str]] = [
        (ValueError("no such colour\nsecond line"), "row"),
        (TierError("does not fit"), "misfit"),
        (OutputError("disk full"), "worker"),
        (DeviceError("lost GPU"), "device"),
    ]
    for error, kind in kinds:
        assert failure_of(error).kind == kind
    assert str(failure_of(kinds[0][0]).error) == "ValueError: no such colour"


def test_folders_of_killed_workers_are_removed(tmp_path: Path) -> None:
    code = "import os; print(os.getpid())"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    (tmp_path / f"cogmagic-worker-{ended.stdout.strip()}-x").mkdir()
    with own_folder(tmp_path) as first, own_folder(tmp_path) as second:
        assert {str(folder) for folder in tmp_path.iterdir()} == {first, second}
    assert not any(tmp_path.iterdir())


def test_what_a_killed_cluster_leaves_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "cogmagic-ray-x"
    folder.mkdir()
    code = "import time; time.sleep(600)"
    mine: Any = subprocess.Popen(
        [sys.executable, "-c", code, f"/ray/raylet --sockets={folder}/sockets"]
    )
    other: Any = subprocess.Popen([sys.executable, "-c", code, "/ray/raylet"])
    try:
        remove_folder(folder)
        assert mine.wait(300) is not None
        assert other.poll() is None
        assert not folder.exists()
    finally:
        other.kill()
        other.wait()
