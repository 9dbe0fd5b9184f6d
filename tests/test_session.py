"""The kernel's one pipeline: kept, dropped, refused, cleaned up after whatever happens."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import BusyError, Cancelled, OutOfMemoryError, OutputError, Progress
from cogmagic._session.session import Session

PROMPT = "a red circle moves right"
QUICK: dict[str, Any] = {"num_inference_steps": 2, "num_frames": 9, "seed": 1}


def test_phases_are_told_in_order_and_timed(toy: Path, cwd: Path, session: Session) -> None:
    told: list[Progress] = []
    video = cogmagic.generate(PROMPT, model=str(toy), on_progress=told.append, **QUICK)
    phases = list(dict.fromkeys(p.phase for p in told))
    assert phases == ["load", "encode", "denoise", "decode", "save"]
    assert list(video.report.seconds) == phases
    assert [(p.done, p.total) for p in told if p.phase == "denoise"] == [(0, 2), (1, 2), (2, 2)]
    decoded = [p for p in told if p.phase == "decode"]
    assert decoded[-1].done == decoded[-1].total  # the count of tiles was right
    assert video.report.peak_vram is None
    assert video.path.is_file()


def test_a_clip_larger_than_a_tile(toy: Path, cwd: Path, session: Session) -> None:
    told: list[Progress] = []
    video = cogmagic.generate(
        PROMPT, model=str(toy), width=240, height=160, on_progress=told.append, **QUICK
    )
    assert video.frames().shape == (9, 160, 240, 3)
    assert (told[-2].phase, told[-2].done, told[-2].total) == ("decode", 6, 6)


def test_cogvideox_1_5_padding_is_not_in_the_video(tmp_path: Path, session: Session) -> None:
    from tests.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "v15", v15=True)
    video = cogmagic.generate(
        PROMPT, model=str(folder), save=tmp_path / "a.mp4", **{**QUICK, "num_frames": 17}
    )
    assert video.frames().shape == (17, 96, 96, 3)


@pytest.mark.parametrize(("width", "height"), [(96, 160), (160, 96)])
def test_cogvideox_1_5_in_sizes_beyond_its_configured_grid(
    tmp_path: Path, session: Session, width: int, height: int
) -> None:
    from tests.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "v15", v15=True)  # its configuration says 96×96
    wish = {"model": str(folder), "save": tmp_path, **QUICK, "num_frames": 17}
    video = cogmagic.generate(PROMPT, width=width, height=height, **wish)
    assert video.frames().shape == (17, height, width, 3)


def test_latents_out_and_decoded_here_equal_the_pipelines_own_frames(
    toy: Path, cwd: Path, session: Session
) -> None:
    """The split into phases changes nothing: diffusers' own call gives the same pixels."""
    import hashlib

    from cogmagic._pipeline.load import load, scheduler_for

    video = cogmagic.generate(PROMPT, model=str(toy), guidance_scale=4, **QUICK)
    pipe = load(toy, "t2v", "float32")
    request = cogmagic.Request.of(PROMPT, cogmagic.plan(model=str(toy)).request.model)
    pipe.scheduler = scheduler_for(pipe, request)
    images = pipe(
        PROMPT, height=96, width=96, num_frames=9, num_inference_steps=2, guidance_scale=4,
        generator=torch.Generator("cpu").manual_seed(1), output_type="pil", max_sequence_length=16,
    ).frames[0]  # fmt: skip
    raw = b"".join(image.tobytes() for image in images)
    assert hashlib.sha256(raw).hexdigest() == video.report.frames_sha256


def live_tensors() -> int:
    """Bytes of all distinct tensors that are alive."""
    gc.collect()
    alive = [o for o in gc.get_objects() if issubclass(type(o), torch.Tensor)]
    alive = [t for t in alive if type(t).__name__ != "FakeTensor"]  # left by compiling: no memory
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in alive}.values())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError, torch.OutOfMemoryError])
@pytest.mark.parametrize(
    ("tier", "phase"),
    [
        *(("none", phase) for phase in ("load", "encode", "denoise", "decode", "save")),
        ("model", "denoise"),
        ("sequential", "denoise"),
    ],
)
def test_nothing_is_left_after_a_failure_in_any_phase(
    toy: Path, cwd: Path, session: Session, phase: str, stop: Any, tier: str
) -> None:
    before = live_tensors()

    def fail(progress: Progress) -> None:
        if progress.phase == phase and progress.done == bool(progress.total):
            raise stop("injected")

    expected = {KeyboardInterrupt: Cancelled, torch.OutOfMemoryError: OutOfMemoryError}
    with pytest.raises(expected.get(stop, stop)) as error:
        cogmagic.generate(PROMPT, model=str(toy), tier=tier, on_progress=fail, **QUICK)
    assert error.value.__context__ is None  # it would keep the first error's tensors
    if stop is RuntimeError:
        assert "in fail" in error.value.__notes__[0]  # where it happened can still be read
    assert list(cwd.iterdir()) == []
    session.release()
    assert live_tensors() <= before + 1000, "the failure holds tensors"
    again = cogmagic.generate(PROMPT, model=str(toy), tier=tier, **QUICK)
    assert again.path.is_file()


@pytest.mark.parametrize(
    "shortage",
    [
        MemoryError(),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_every_kind_of_shortage_is_one_line(
    toy: Path, cwd: Path, session: Session, shortage: Exception
) -> None:
    def fail(progress: Progress) -> None:
        if progress.phase == "encode":
            raise shortage

    with pytest.raises(OutOfMemoryError, match="ran out of memory in tier none, where") as error:
        cogmagic.generate(PROMPT, model=str(toy), on_progress=fail, **QUICK)
    assert "\n" not in str(error.value)


def test_weights_saved_anew_are_loaded_anew(tmp_path: Path, session: Session) -> None:
    from tests.checkpoints import save_checkpoint

    folder = save_checkpoint(tmp_path / "model")
    wish = {"model": str(folder), "save": tmp_path, **QUICK}
    first = cogmagic.generate(PROMPT, **wish)
    save_checkpoint(folder, layers=1)
    second = cogmagic.generate(PROMPT, **wish)
    assert first.report.frames_sha256 != second.report.frames_sha256


def test_one_generation_at_a_time(toy: Path, cwd: Path, session: Session) -> None:
    running, finish = threading.Event(), threading.Event()

    def hold(progress: Progress) -> None:
        running.set()
        finish.wait(30)

    first = threading.Thread(
        target=lambda: cogmagic.generate(PROMPT, model=str(toy), on_progress=hold, **QUICK)
    )
    first.start()
    try:
        assert running.wait(30)
        with pytest.raises(BusyError, match="a red circle"):
            cogmagic.generate(PROMPT, model=str(toy))
        with pytest.raises(BusyError):
            cogmagic.release()
    finally:
        finish.set()
        first.join(60)
    assert len(list(cwd.glob("*.mp4"))) == 1


def test_an_unwritable_place_is_refused_before_loading(
    toy: Path, cwd: Path, session: Session
) -> None:
    with pytest.raises(OutputError, match="no folder"):
        cogmagic.generate(PROMPT, model=str(toy), save="nowhere/a.mp4")
    assert session.loaded is None


def test_weights_are_not_kept_when_ram_is_short(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cogmagic._session.holder.host_ram", lambda: cogmagic.Ram(8 * 2**30, 2**30))
    video = cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert session.loaded is None
    assert "not kept: 1.00 GiB of RAM left" in video.facts_line()


def test_status_and_release(toy: Path, cwd: Path, session: Session) -> None:
    assert "nothing" in str(cogmagic.status())
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert "t2v (float32)" in str(cogmagic.status())
    assert cogmagic.release().startswith("Freed")
    assert cogmagic.release() == "Nothing was loaded."
    assert "5b-i2v" in str(cogmagic.models())
