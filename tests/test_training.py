"""Validation inside real training loops: one and two processes, DeepSpeed's stages."""

from __future__ import annotations

import gc
import json
import os
import socket
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from diffusers import CogVideoXPipeline

import cogmagic
from cogmagic import OutputError, RequestError, TierError, TrainingError
from cogmagic._models.find import embedded_folder
from cogmagic.training import validation

LOOP = Path(__file__).with_name("training_loop.py")
SMALL = {"num_frames": 9, "width": 64, "height": 64, "num_inference_steps": 2}

deepspeed = pytest.mark.skipif(sys.platform != "linux", reason="DeepSpeed needs Linux")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def train(folder: Path, processes: int, **options: str) -> list[dict[str, Any]]:
    """What each process of a training loop tells; all at the same time."""
    out = folder / "-".join(["out", *options.values()])
    command = [str(LOOP), str(out), *(f"{k}={v}" for k, v in options.items())]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if processes > 1 or "zero" in options:
        launch = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
        command = [*launch, f"--master_port={free_port()}", *command]
    if "zero" in options:
        environment |= {"ACCELERATE_USE_DEEPSPEED": "true"}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [json.loads(Path(f"{out}-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.parametrize(
    ("processes", "options"),
    [
        (1, {}),
        (2, {}),
        (2, {"mixed": "bf16", "wrapped": "yes"}),
        pytest.param(2, {"zero": "1"}, marks=deepspeed),
        pytest.param(2, {"zero": "2", "mixed": "bf16", "wrapped": "yes"}, marks=deepspeed),
        pytest.param(2, {"zero": "3"}, marks=deepspeed),
    ],
    ids=lambda value: "-".join(value.values()) or "plain" if isinstance(value, dict) else None,
)
def test_training_goes_on_as_if_nothing_had_been(
    tmp_path: Path, processes: int, options: dict[str, str]
) -> None:
    """To the last bit, and nothing that it relies on has moved."""
    alone = train(tmp_path, processes, **options)
    validated = train(tmp_path, processes, **options, validate="yes")
    for before, after in zip(alone, validated, strict=True):
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
        assert after["notes"] == []
        assert after["videos"] == validated[0]["videos"]  # each process has all of them
    videos = validated[0]["videos"]
    assert len(videos) == 3
    assert {v["tier"] for v in videos} == {"deepspeed" if "zero" in options else "none"}
    assert all(Path(v["path"]).is_file() for v in videos)
    assert videos[0]["sha"] != videos[2]["sha"]  # the same prompt, another seed
    assert len(list((tmp_path / "videos").iterdir())) == 6


@pytest.mark.parametrize("zero", [None, pytest.param("3", marks=deepspeed)])
def test_training_goes_on_after_a_failure_in_validation(tmp_path: Path, zero: str | None) -> None:
    options = {"zero": zero} if zero else {}
    alone = train(tmp_path, 2, **options)
    for before, after in zip(alone, train(tmp_path, 2, **options, validate="raise"), strict=True):
        assert after["notes"] == ["RuntimeError: injected"] * 2
        assert after["losses"] == before["losses"]
        assert after["differences"] == []
    assert list((tmp_path / "videos").iterdir()) == []


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"mixed": "bf16"}, {"zero": "2"}, {"zero": "3"}], ids=str)
@pytest.mark.parametrize("processes", [1, 2])
def test_training_on_a_gpu_goes_on(tmp_path: Path, processes: int, options: dict[str, str]) -> None:
    """Its backward passes are not deterministic to the last bit."""
    if processes > torch.cuda.device_count():
        pytest.skip(f"needs {processes} GPUs")
    alone = train(tmp_path, processes, **options)
    validated = train(tmp_path, processes, **options, validate="yes")
    for before, after in zip(alone, validated, strict=True):
        assert after["losses"] == pytest.approx(before["losses"], rel=1e-3)
        assert after["differences"] == []
        assert max(after["grew"]) < 2**20, after["grew"]  # less: the libraries' workspaces go
        assert {v["tier"] for v in after["videos"]} == {
            "deepspeed" if "zero" in options else "model"
        }


def test_a_failure_in_one_process_is_told_to_the_others(tmp_path: Path) -> None:
    main, other = train(tmp_path, 2, validate="raise-one")
    assert main["notes"] == ["RuntimeError: injected"] * 2
    said = "TrainingError: The validation failed in process 0 (RuntimeError: injected)."
    assert other["notes"] == [said] * 2
    assert main["losses"] == other["losses"]
    assert main["differences"] == other["differences"] == []


@pytest.mark.parametrize("zero", [None, pytest.param("3", marks=deepspeed)])
def test_what_one_process_refuses_is_told_to_the_others(tmp_path: Path, zero: str | None) -> None:
    options = {"zero": zero} if zero else {}
    main, other = train(tmp_path, 2, **options, validate="refuse-one")
    (told,), (refused,) = main["notes"], other["notes"]
    assert refused.startswith("RequestError: ")
    assert told == (
        f"TrainingError: The validation was refused in process 1 ({refused.partition(': ')[2]})."
    )
    assert len(main["losses"]) == len(other["losses"]) == 4
    assert main["videos"] == other["videos"]  # the next time it works
    assert len(main["videos"]) == 3
    assert main["differences"] == other["differences"] == []


@deepspeed
def test_files_that_are_there_are_refused_by_all_of_zero_3(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "step-000001-0.mp4").touch()
    for told in train(tmp_path, 2, zero="3", validate="keep"):
        assert len(told["losses"]) == 4
        assert "is there already. Give another step=" in told["notes"][0]
        assert len(told["videos"]) == 3


def test_other_requests_in_one_process_are_told(tmp_path: Path) -> None:
    for rank, told in enumerate(train(tmp_path, 2, validate="other-one")):
        assert told["notes"][0].startswith(f"TrainingError: Process {1 - rank} was given other")
        assert len(told["videos"]) == 3


@deepspeed
def test_a_validation_in_one_process_alone_is_told_and_does_not_hang(tmp_path: Path) -> None:
    main, other = train(tmp_path, 2, zero="3", validate="main")
    assert "Process 1 of 2 did not come to the validation within 5 s" in main["notes"][0]
    assert "is_main_process: ZeRO-3 keeps a piece of each weight" in main["notes"][0]
    assert len(main["losses"]) == len(other["losses"]) == 4
    assert (len(main["notes"]), other["notes"]) == (1, [])
    assert main["videos"] == other["videos"]  # the next time all come, and it works
    assert len(main["videos"]) == 3


@pytest.mark.parametrize("engine", ["", pytest.param("deepspeed", marks=deepspeed)])
def test_the_example_runs(tmp_path: Path, engine: str) -> None:
    examples = Path(__file__).parent.parent / "docs" / "examples"
    options = ["--num_processes=1", "--num_machines=1", "--mixed_precision=no"]
    if engine:
        options += ["--use_deepspeed", f"--deepspeed_config_file={examples / 'deepspeed.json'}"]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *options, "--dynamo_backend=no",
         str(examples / "validate_while_training.py")],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    names = ["step-000009-0.mp4", "step-000019-0.mp4"]
    assert sorted(p.name for p in (tmp_path / "validation").iterdir()) == names


@pytest.fixture
def accelerator() -> Any:
    yield Accelerator(cpu=True)
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


@pytest.fixture
def pipe() -> Any:
    return CogVideoXPipeline.from_pretrained(embedded_folder(), use_safetensors=True)


def test_what_is_asked_for_is_checked_before_anything_is_written(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    with validation(pipe, accelerator, folder=folder) as v:
        for wish, said in (
            ([], "no request"),
            ("a fox", "list of requests"),
            ([{"prompt": "a fox", "num_frames": 10}], "Nearest: --num-frames 9 or 17"),
            ([{"prompt": "a fox", "guidence_scale": 3}], "guidance_scale"),
            (["very " * 100 + "long"], "reads 64"),
            ([{"prompt_embeds": torch.zeros(1, 64, 64)}], "give both, or guidance_scale=1"),
            (
                [{"prompt": "a fox", "negative_prompt_embeds": torch.zeros(1)}],
                "give both, or neither",
            ),
            ([{"prompt_embeds": torch.zeros(2, 5), "guidance_scale": 1}], r"not \(2, 5\)"),
            ([{"prompt_embeds": [1], "guidance_scale": 1}], "not list"),
            ([{"prompt": "a fox", "dtype": "bfloat16"}], r"validation\(dtype=...\)"),
            ([5], "Request 0 is 5"),
        ):
            with pytest.raises(RequestError, match=said) as error:
                v.generate(wish)
            assert "\n" not in str(error.value)
        with pytest.raises(RequestError, match="step='10' is not a whole number"):
            v.generate(["a fox"], step="10")
    assert not folder.exists()
    with pytest.raises(TrainingError, match="inside the with block"):
        v.generate(["a fox"])
    folder.write_text("")
    with (
        validation(pipe, accelerator, folder=folder) as v,
        pytest.raises(OutputError, match=r"cannot be made \(File exists\)"),
    ):
        v.generate(["a fox"])


def test_a_failure_leaves_no_tensor_behind(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(weakref.ref(kwargs["hidden_states"]))
        raise RuntimeError("injected")

    handle = pipe.transformer.register_forward_pre_hook(look, with_kwargs=True)
    gc.disable()
    try:
        with (
            validation(pipe, accelerator, folder=tmp_path) as v,
            pytest.raises(RuntimeError, match="injected"),
        ):
            v.generate([SMALL | {"prompt": "a red circle"}])
        assert seen[0]() is None
    finally:
        gc.enable()
        handle.remove()


def test_a_tracker_that_fails_loses_no_video(
    accelerator: Any, pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "trackers", [SimpleNamespace(name="tensorboard")])
    with validation(pipe, accelerator, folder=tmp_path) as v:
        with pytest.warns(UserWarning, match="A tracker did not take the videos"):
            (video,) = v.generate([SMALL | {"prompt": "a red circle"}])
        with pytest.raises(
            OutputError, match=r"is there already\. Give another step=, or overwrite"
        ):
            v.generate([SMALL | {"prompt": "a red circle"}], overwrite=False)
    assert video.path.is_file()


def test_no_copy_of_the_weights_stays_in_mixed_precision(pipe: Any, tmp_path: Path) -> None:
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    model = accelerator.prepare(pipe.transformer)
    casts: list[int] = []
    wrapped = model.forward

    def look(progress: Any) -> None:
        if progress.phase == "denoise" and progress.done == 1:
            casts.append(torch.is_autocast_cache_enabled())
            assert "forward" in pipe.transformer.__dict__
            assert pipe.transformer.forward is not wrapped

    with validation(pipe, accelerator, folder=tmp_path, on_progress=look) as v:
        v.generate([SMALL | {"prompt": "a red circle"}])
    assert casts == [False]
    assert model.forward is wrapped
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()


def test_a_tier_in_a_validation(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(TierError, match="Choose from: model, sequential"):
        validation(pipe, accelerator, tier="balanced").__enter__()


def test_a_dtype_that_there_is_not(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(RequestError, match="Choose from: float16, bfloat16, float32"):
        validation(pipe, accelerator, dtype="fp8").__enter__()  # type: ignore[arg-type]


def test_a_pipeline_with_hooks_is_refused(accelerator: Any, pipe: Any) -> None:
    from accelerate import cpu_offload

    cpu_offload(pipe.text_encoder, torch.device("cpu"))
    with pytest.raises(
        TrainingError, match=r"The text_encoder is offloaded.*Call pipe\.remove_all_hooks\(\)"
    ):
        validation(pipe, accelerator).__enter__()


def test_what_is_no_pipeline_is_refused(accelerator: Any, pipe: Any) -> None:
    with pytest.raises(TrainingError, match="is no CogVideoX pipeline"):
        validation(pipe.transformer, accelerator).__enter__()


def test_embeddings_that_are_given_need_no_text_encoder(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    to = {"max_sequence_length": 64, "dtype": torch.float32}
    with torch.no_grad():
        embeds = pipe.encode_prompt("a red circle", "", True, **to)
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (text,) = v.generate([SMALL | {"prompt": "a red circle", "seed": 5}])
    pipe.register_modules(text_encoder=None)
    named = dict(zip(("prompt_embeds", "negative_prompt_embeds"), embeds, strict=True))
    with validation(pipe, accelerator, folder=tmp_path) as v:
        (given,) = v.generate([SMALL | named | {"seed": 5}], step=1)
        with pytest.raises(RequestError, match="no text encoder: give prompt_embeds"):
            v.generate(["a red circle"])
    assert given.report.frames_sha256 == text.report.frames_sha256


def test_prompts_are_encoded_once(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    pipe.text_encoder.requires_grad_(False)
    calls = []
    handle = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    for step in range(2):
        with validation(pipe, accelerator, folder=tmp_path) as v:
            v.generate([SMALL | {"prompt": "a red circle"}], step=step)
    handle.remove()
    assert len(calls) == 2  # the prompt and the empty one


def test_layer_by_layer_gives_the_same_embeddings(
    accelerator: Any, pipe: Any, tmp_path: Path
) -> None:
    found = []
    for layerwise in (False, True):
        with validation(pipe, accelerator, folder=tmp_path) as v:
            samples = v._samples([SMALL | {"prompt": "a blue square"}])
            with v._adopted.encoding(layerwise=layerwise), torch.no_grad():
                v._adopted._texts().clear()
                found.append(v._adopted.encode(samples[0].request)[0])
        assert not any(hasattr(m, "_hf_hook") for m in pipe.text_encoder.modules())
    assert torch.equal(*found)


def test_tensorboard_shows_the_videos(pipe: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("run")
    with validation(pipe, accelerator, folder=tmp_path) as v:
        v.generate([SMALL | {"prompt": "a red circle"}], step=7)
    accelerator.end_training()
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()
    log = EventAccumulator(str(tmp_path / "run")).Reload()
    (shown,) = log.Images("validation/0")
    assert (shown.step, shown.encoded_image_string[:6]) == (7, b"GIF89a")


def test_the_plan_of_a_validation() -> None:
    machine = cogmagic.Machine.of("RTX 4090")
    found = cogmagic.plan(model="5b", context="training", machine=machine)
    assert found.tier == "model"
    assert found.needs["encode"] > 8 * 2**30
    busy = cogmagic.Machine.of("RTX 4090", vram=9.5)
    assert cogmagic.plan(model="5b", context="training", machine=busy).tier == "sequential"
    full = cogmagic.Machine.of("RTX 4090", vram=2.0)
    with pytest.raises(TrainingError, match=r"1\.71 GiB are free"):
        cogmagic.plan(model="5b", context="training", machine=full).check()
    zero = cogmagic.plan(model="5b", context="training", zero_stage=3, machine=machine)
    assert zero.tier == "deepspeed"
    assert "nothing is offloaded" in str(zero)
    assert "every process runs all of them" in str(zero)
    with pytest.raises(TierError, match="under DeepSpeed"):
        cogmagic.plan(model="5b", context="training", zero_stage=2, tier="model", machine=machine)
    with pytest.raises(RequestError, match="Choose from: notebook, training"):
        cogmagic.plan(context="trainning")
