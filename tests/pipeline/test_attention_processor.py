"""Our attention processor computes what diffusers' own does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.attention_processor import CogVideoXAttnProcessor2_0
from diffusers.models.embeddings import get_3d_rotary_pos_embed

import cogmagic
from cogmagic import RequestError
from cogmagic._pipeline.attention.operator import operator
from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.guidance import guidance_halves
from cogmagic._session.session import Session
from tests.helpers.attention import Fake, fake_kernels, off_by, same
from tests.helpers.pipelines import traces
from tests.helpers.toy import PROMPT, QUICK

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "2b": {},
    "5b": {"use_rotary_positional_embeddings": True},
    "5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
        "in_channels": 8,
    },
    "1.5-5b": {"use_rotary_positional_embeddings": True, "patch_size_t": 2, "patch_bias": False},
    "1.5-5b-i2v": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "patch_bias": False,
        "in_channels": 8,
        "ofs_embed_dim": 8,
    },
}


@pytest.fixture(autouse=True)
def kernels() -> Iterator[None]:
    with fake_kernels(torchs=same, rough=off_by(0.5)):
        yield


def transformer(name: str) -> Any:
    torch.manual_seed(0)
    return CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        text_embed_dim=32,
        time_embed_dim=8,
        sample_width=12,
        sample_height=8,
        sample_frames=17 if "patch_size_t" in ARCHITECTURES[name] else 9,
        max_text_seq_length=6,
        **({"in_channels": 4, "out_channels": 4} | ARCHITECTURES[name]),
    ).eval()


def inputs(model: Any, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    config = model.config
    frames = 4 if config.patch_size_t else 3
    given: dict[str, Any] = {
        "hidden_states": torch.randn(2, frames, config.in_channels, 8, 12, dtype=dtype),
        "encoder_hidden_states": torch.randn(2, 6, 32, dtype=dtype),
        "timestep": torch.tensor([5, 5]),
        "return_dict": False,
    }
    if config.use_rotary_positional_embeddings:
        given["image_rotary_emb"] = get_3d_rotary_pos_embed(
            embed_dim=16,
            crops_coords=((0, 0), (4, 6)),
            grid_size=(4, 6),
            temporal_size=frames // (config.patch_size_t or 1),
        )
    if config.ofs_embed_dim:
        given["ofs"] = torch.full((1,), 2.0, dtype=dtype)
    return given


def output(model: Any, given: dict[str, Any]) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(**given)[0]
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_our_processor_gives_the_bits_of_diffusers_own(name: str, dtype: torch.dtype) -> None:
    model = transformer(name).to(dtype)
    given = inputs(model, dtype)
    theirs = output(model, given)
    with attending(model, "torchs"):
        assert torch.equal(output(model, given), theirs)
        with guidance_halves(model):
            halves = output(model, given)
    with guidance_halves(model):
        assert torch.equal(halves, output(model, given))
    with attending(model, "rough"):
        assert not torch.equal(output(model, given), theirs)
    with attending(model, ""):
        assert {type(p) for p in model.attn_processors.values()} == {CogVideoXAttnProcessor2_0}
    assert torch.equal(output(model, given), theirs)


def test_adapters_apply_through_our_processor() -> None:
    from peft import LoraConfig

    model = transformer("5b")
    given = inputs(model)
    plain = output(model, given)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    theirs = output(model, given)
    assert not torch.equal(theirs, plain)
    with attending(model, "torchs"):
        assert torch.equal(output(model, given), theirs)


@pytest.mark.slow
def test_compiled_attention_is_one_graph_with_a_kernel() -> None:
    model = transformer("5b")
    given = inputs(model)
    rotary = given["image_rotary_emb"]
    attention = model.transformer_blocks[0].attn1
    hidden, text = torch.randn(2, 72, 32), torch.randn(2, 6, 32)
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
        assert output(model, moved | {"image_rotary_emb": rotary}).is_meta


def test_a_mask_is_applied_as_diffusers_does() -> None:
    model = transformer("2b")
    attention = model.transformer_blocks[0].attn1
    hidden, text = torch.randn(2, 24, 32), torch.randn(2, 6, 32)
    mask = torch.randn(4, 30, 30)
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
