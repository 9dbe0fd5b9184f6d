"""Runs that compute NaN or infinity: they stop at once, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import NonFiniteError, Progress
from cogmagic._pipeline import preview as _preview
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._session import attempts
from cogmagic._session.session import Session
from tests.helpers.damage import Change, changed_checkpoint, filled
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT, QUICK

NAN, INF = float("nan"), float("inf")
STEPS: dict[str, Any] = {**QUICK, "num_inference_steps": 6}
MIDDLE = "transformer_blocks.1.ff.net.2.weight"
"""A weight of the toy transformer's second block."""


def fails(model: Path, **options: Any) -> tuple[str, int]:
    """The error of a run, and how many steps were reported before it."""
    done = 0

    def count(progress: Progress) -> None:
        nonlocal done
        done = max(done, progress.done if progress.phase == "denoise" else 0)

    before = set(Path.cwd().iterdir())
    with pytest.raises(NonFiniteError) as error:
        cogmagic.generate(PROMPT, model=str(model), on_progress=count, **{**STEPS, **options})
    assert set(Path.cwd().iterdir()) == before, "something was saved"
    assert "\n" not in str(error.value)
    assert "not finite (NaN or infinity), so no video was saved. " in str(error.value)
    return str(error.value), done


Damaged = Callable[[str, Change], Path]


@pytest.fixture
def damaged(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    """The toy checkpoint with a changed component."""
    folder = tmp_path_factory.mktemp("damaged") / "t2v"
    return lambda component, change: changed_checkpoint(toy, folder, component, change)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transformer_blocks.0.attn1.to_v.weight", NAN),
        (MIDDLE, NAN),
        (MIDDLE, INF),
        ("transformer_blocks.1.norm2.linear.bias", -INF),
        ("proj_out.bias", NAN),
    ],
)
def test_damaged_weight_ends_the_run_in_its_first_step(
    damaged: Damaged,
    cwd: Path,
    session: Session,
    name: str,
    value: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded: list[Any] = []
    monkeypatch.setattr(attempts, "record_run", recorded.append)
    text, done = fails(damaged("transformer", filled(name, value, only=5)))
    assert recorded == []  # predictions learn nothing from it
    assert text.startswith("In step 1 of 6, the transformer computed numbers that are not finite")
    assert "t2v should compute in float32: one of its files" in text
    assert done == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"tier": "none"},
        {"tier": "model"},
        {"tier": "stream"},
        {"tier": "staged"},
        {"tier": "sequential"},
        {"guidance_halves": True},
        {"lean_decode": True},
        {"fp8": True},
        {"guidance_scale": 1.0},
        {"scheduler": "dpm"},
        {"keep": "hot"},
        {"keep": "cold"},
    ],
)
def test_every_tier_and_option_stops_and_runs_again(
    toy: Path, damaged: Damaged, cwd: Path, session: Session, options: dict[str, Any]
) -> None:
    text, done = fails(damaged("transformer", filled(MIDDLE, NAN, only=3)), **options)
    assert text.startswith("In step 1 of 6, the transformer computed")
    assert ("without fp8=True" in text) == ("fp8" in options)
    assert done == 0
    if session.loaded is not None:
        assert traces(session.loaded.pipe) == []
    video = cogmagic.generate(PROMPT, model=str(toy), **QUICK, **options)
    assert video.path.is_file()


def from_call(first: int, change: Callable[[torch.Tensor], None]) -> tuple[Any, list[int]]:
    """A hook that changes a module's output from its call `first` on, and a list of the calls."""
    calls: list[int] = []

    def hook(_: Any, __: Any, outputs: tuple[torch.Tensor, ...]) -> Any:
        calls.append(len(calls) + 1)
        if calls[-1] < first:
            return None
        output = outputs[0].clone()
        change(output)
        return (output, *outputs[1:])

    return hook, calls


def one_number(output: torch.Tensor) -> None:
    output.view(-1)[7] = NAN


def one_frame(output: torch.Tensor) -> None:
    output[:, 2] = INF


@pytest.mark.parametrize(("first", "change"), [(1, one_number), (3, one_frame), (6, one_number)])
def test_run_stops_within_two_steps_and_the_next_one_is_the_same_as_ever(
    toy: Path, cwd: Path, session: Session, first: int, change: Any
) -> None:
    plain = cogmagic.generate(PROMPT, model=str(toy), **STEPS)
    assert session.loaded is not None
    pipe = session.loaded.pipe
    hook, calls = from_call(first, change)
    handle = pipe.transformer.register_forward_hook(hook)
    text, done = fails(toy)
    handle.remove()
    assert text.startswith(f"In step {first} of 6, the transformer computed")
    assert len(calls) <= first + 1
    assert done == first - 1
    again = cogmagic.generate(PROMPT, model=str(toy), **STEPS)
    assert session.loaded.pipe is pipe
    assert again.report.frames_sha256 == plain.report.frames_sha256


def test_preview_shows_nothing_that_is_not_finite(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_preview, "_TIME_SHARE", 1.0)
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert session.loaded is not None
    shown: list[Any] = []
    hook, _ = from_call(3, one_number)
    handle = session.loaded.pipe.transformer.register_forward_hook(hook)
    fails(toy, on_preview=shown.append)
    handle.remove()
    assert len(shown) == 2


def test_overflow_in_float16_names_the_dtype_to_use(
    damaged: Damaged, cwd: Path, session: Session
) -> None:
    """Large weights: products beyond 65504, the largest number of float16, but not of float32."""
    large = damaged("transformer", lambda tensors: tensors["proj_out.weight"].mul_(1e5))
    text, done = fails(large, dtype="float16")
    assert text.endswith(
        't2v was trained in bfloat16, and float16 has less range. Use dtype="float32".'
    )
    assert done == 0
    assert cogmagic.generate(PROMPT, model=str(large), **QUICK).report.dtype == "float32"


def test_vae_that_decodes_to_nan_ends_the_run(
    damaged: Damaged, cwd: Path, session: Session
) -> None:
    model = damaged("vae", filled("decoder.conv_out.conv.bias", NAN, only=1))
    every: list[dict[str, Any]] = [{}, {"lean_decode": True}, {"on_preview": lambda _: None}]
    for options in every:
        text, done = fails(model, **options, num_inference_steps=2, height=160, width=240)
        assert text.startswith("In call 1 of 6 of its decoder, the VAE computed numbers")
        assert done == 2


def test_frame_that_is_not_finite_ends_the_run(toy: Path, cwd: Path, session: Session) -> None:
    """Wherever the numbers come from: here from the blending of decoded tiles."""
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert session.loaded is not None
    pipe = session.loaded.pipe
    decode = pipe.decode_latents

    def decoded(latents: torch.Tensor) -> torch.Tensor:
        video: torch.Tensor = decode(latents)
        video[0, :, 4, 3, 3] = NAN
        return video

    pipe.decode_latents = decoded
    text, _ = fails(toy)
    assert text.startswith("In frame 5 of 9, the VAE computed")
    del pipe.decode_latents
    assert cogmagic.generate(PROMPT, model=str(toy), **QUICK).path.is_file()


def test_first_frame_that_is_encoded_to_nan_ends_the_run(
    toy_i2v: Path, cwd: Path, session: Session, tmp_path_factory: Any
) -> None:
    from PIL import Image

    damaged = changed_checkpoint(
        toy_i2v,
        tmp_path_factory.mktemp("damaged") / "i2v",
        "vae",
        filled("encoder.conv_in.conv.bias", INF, only=0),
    )
    text, done = fails(damaged, image=Image.new("RGB", (96, 96), "red"), num_frames=17)
    assert text.startswith("For the first frame, the VAE computed numbers")
    assert done == 0


def test_embeddings_that_are_not_finite_are_neither_used_nor_cached(
    damaged: Damaged, cwd: Path, session: Session, own_cache: Path
) -> None:
    model = damaged("text_encoder", filled("encoder.final_layer_norm.weight", NAN, only=0))
    for _ in range(2):  # also when the pipeline is loaded
        text, done = fails(model)
        assert text.startswith("The text encoder computed numbers that are not finite")
        assert done == 0
        assert list(own_cache.glob("prompts-v1/*")) == []


def test_negative_prompt_alone_that_is_encoded_to_nan_ends_the_run(
    toy: Path, cwd: Path, session: Session, own_cache: Path
) -> None:
    cogmagic.generate("a square", model=str(toy), **QUICK)
    assert session.loaded is not None
    before = set(own_cache.glob("prompts-v1/*"))
    hook, calls = from_call(2, one_number)
    handle = session.loaded.pipe.text_encoder.encoder.final_layer_norm.register_forward_hook(
        lambda module, inputs, output: (hook(module, inputs, (output,)) or (None,))[0]
    )
    text, _ = fails(toy, negative_prompt="blurry")
    handle.remove()
    assert text.startswith("The text encoder computed")
    assert len(calls) == 2  # the prompt, and the negative one
    assert set(own_cache.glob("prompts-v1/*")) == before


def test_cached_embeddings_that_are_not_finite_are_encoded_again(
    toy: Path, cwd: Path, session: Session, own_cache: Path
) -> None:
    from safetensors.torch import load_file, save_file

    first = cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    for file in own_cache.glob("prompts-v1/*"):
        embeds = load_file(file)["embeds"]
        embeds[0, 3, 2] = NAN
        save_file({"embeds": embeds}, file)
    again = cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert "encode" in again.report.seconds
    assert again.report.frames_sha256 == first.report.frames_sha256
    assert "encode" not in cogmagic.generate(PROMPT, model=str(toy), **QUICK).report.seconds


@pytest.mark.parametrize("colour", [-1.0, 0.3, 1e4])
def test_constant_picture_is_not_an_error(
    damaged: Damaged, cwd: Path, session: Session, colour: float
) -> None:
    """Nor is a black one, or one far out of range."""

    def constant(tensors: dict[str, Any]) -> None:
        tensors["decoder.conv_out.conv.weight"].zero_()
        tensors["decoder.conv_out.conv.bias"].fill_(colour)

    frames = cogmagic.generate(PROMPT, model=str(damaged("vae", constant)), **QUICK).frames()
    assert int(frames.max()) - int(frames.min()) <= 2


def test_deferred_errors_are_raised_when_settled() -> None:
    finite = FiniteCheck("Advice.", deferred=True)
    finite(torch.tensor([NAN]), "The first computed")
    finite(torch.ones(2), "The second computed")
    finite.read()
    with pytest.raises(NonFiniteError, match=r"^The first computed numbers .* saved\. Advice\.$"):
        finite.settle()
    finite(torch.tensor([INF], dtype=torch.bfloat16), "The third computed")
    with pytest.raises(NonFiniteError, match=r"^The first"):
        finite.read()
