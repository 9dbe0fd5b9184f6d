"""Our attention processor computes what diffusers' own does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0

import cogmagic
from cogmagic import RequestError
from cogmagic._pipeline.attention.operator import operator
from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._session.session import Session
from tests.helpers.architectures import ARCHITECTURES, inputs, run, transformer
from tests.helpers.attention import Fake, fake_kernels, off_by, same
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT, QUICK


@pytest.fixture(autouse=True)
def kernels() -> Iterator[None]:
    with fake_kernels(torchs=same, rough=off_by(0.5)):
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_our_processor_gives_the_bits_of_diffusers_own(name: str, dtype: torch.dtype) -> None:
    model = transformer(name).to(dtype)
    given = inputs(model)
    theirs = run(model, given)
    with attending(model, "torchs"):
        assert torch.equal(run(model, given), theirs)
        with guidance_halves(model):
            halves = run(model, given)
    with guidance_halves(model):
        assert torch.equal(halves, run(model, given))
    with attending(model, "rough"):
        assert not torch.equal(run(model, given), theirs)
    with attending(model, ""):
        assert {type(p) for p in model.attn_processors.values()} == {CogVideoXAttnProcessor2_0}
    assert torch.equal(run(model, given), theirs)


def test_adapters_apply_through_our_processor() -> None:
    from peft import LoraConfig

    model = transformer("5b")
    given = inputs(model)
    plain = run(model, given)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    theirs = run(model, given)
    assert not torch.equal(theirs, plain)
    with attending(model, "torchs"):
        assert torch.equal(run(model, given), theirs)


@pytest.mark.slow
def test_compiled_attention_is_one_graph_with_a_kernel() -> None:
    model = transformer("5b")
    given = inputs(model)
    rotary = given["image_rotary_emb"]
    attention = model.transformer_blocks[0].attn1
    hidden, text = torch.randn(2, 105, 96), torch.randn(2, 7, 96)
    with torch.no_grad(), attending(model, "torchs"):
        theirs = attention(hidden, text, image_rotary_emb=rotary)
        code = torch.compile(attention, fullgraph=True, dynamic=False, backend="aot_eager")
        ours = code(hidden, text, image_rotary_emb=rotary)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    torch.compiler.reset()


@pytest.mark.slow
def test_a_run_with_torchs_attention_as_a_kernel_has_the_same_frames(
    toy: Path, cwd: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "refusal", lambda *_: "")  # on the CPU, too

    def digest(**options: Any) -> str:
        video = cogmagic.generate(PROMPT, model=str(toy), **QUICK, **options)
        assert session.loaded is not None
        assert traces(session.loaded.pipe) == []
        processors = session.loaded.pipe.transformer.attn_processors.values()
        assert {type(p) for p in processors} == {CogVideoXAttnProcessor2_0}
        assert ("pytest" in video.report.versions) == ("attention" in options)
        return video.report.frames_sha256

    plain = digest()
    assert digest(attention="torchs") == plain
    assert digest(attention="rough") != plain
    assert digest() == plain


def test_operator_has_the_shapes_and_strides_that_it_is_traced_with() -> None:
    query, key = torch.randn(2, 2, 5, 16), torch.randn(2, 2, 5, 16)
    value = torch.randn(2, 5, 2, 16).transpose(1, 2)
    tests = ("test_schema", "test_faketensor")
    torch.library.opcheck(operator(), (query, key, value, "torchs"), test_utils=tests)


def test_shapes_are_traced_without_computing() -> None:
    model = transformer("5b").to("meta")
    given = inputs(model)
    rotary = tuple(part.to("meta") for part in given.pop("image_rotary_emb"))
    moved = {k: v.to("meta") if isinstance(v, torch.Tensor) else v for k, v in given.items()}
    with attending(model, "fa3"):  # which is not installed and never loaded
        assert run(model, moved | {"image_rotary_emb": rotary}).is_meta


def test_a_mask_is_applied_as_diffusers_does() -> None:
    model = transformer("2b")
    attention = model.transformer_blocks[0].attn1
    hidden, text = torch.randn(2, 24, 96), torch.randn(2, 6, 96)
    mask = torch.randn(12, 30, 30)
    theirs = attention(hidden, text, attention_mask=mask)
    with attending(model, "rough"):
        ours = attention(hidden, text, attention_mask=mask)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_processors_are_restored_and_those_of_others_refused() -> None:
    model = transformer("5b")
    before = list(model.attn_processors.values())
    with pytest.raises(KeyboardInterrupt), attending(model, "torchs"):
        raise KeyboardInterrupt
    assert list(model.attn_processors.values()) == before
    model.fuse_qkv_projections()
    with (
        pytest.raises(RequestError, match="this transformer has FusedCogVideoXAttnProcessor2_0"),
        attending(model, "torchs"),
    ):
        pass
