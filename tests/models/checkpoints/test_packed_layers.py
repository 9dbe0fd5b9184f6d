"""Checkpoints whose files hold quantised layers, as the libraries write them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import cogmagic
from cogmagic import CheckpointError, Machine, RequestError, TierError
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.packed import with_packed
from cogmagic._models.checkpoints.identify import identify
from cogmagic._models.checkpoints.packed_layers import packed_layers
from cogmagic._models.find import find_model
from cogmagic._models.request import Request
from cogmagic._pipeline.empty import module_bytes
from cogmagic._pipeline.load import load
from cogmagic._pipeline.quantised.stored import empty_stored, read_stored
from cogmagic._pipeline.spec import PipelineSpec
from cogmagic._pipeline.tensors import check_tensors
from cogmagic._planning.checks import check_stored
from cogmagic._planning.memory_options import MemoryOptions
from tests.helpers.checkpoints import edit_config, edit_weights, save_checkpoint, weights_file

FILES = Path(__file__).parent / "quantised"
FORMS = {
    "text_encoder.bitsandbytes_nf4": "nf4",
    "text_encoder.torchao_int8": "int8",
    "text_encoder.torchao_fp8": "fp8",
    "transformer.torchao_int8": "int8",
    "transformer.torchao_fp8": "fp8",
}
CONFIGS: dict[str, dict[str, Any]] = {
    "nf4": {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "int8": {
        "quant_method": "torchao",
        "quant_type": {"default": {"_type": "Int8WeightOnlyConfig", "_data": {}}},
    },
    "fp8": {
        "quant_method": "torchao",
        "quant_type": {"default": {"_type": "Float8WeightOnlyConfig", "_data": {}}},
    },
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint that the libraries quantised."""
    return save_checkpoint(tmp_path_factory.mktemp("plain") / "toy", layers=1)


@pytest.fixture
def quantised(plain: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies of the checkpoint, with components in the given files."""

    def copy(*names: str) -> Path:
        folder = Path(shutil.copytree(plain, tmp_path / "copy"))
        for name in names:
            component = name.partition(".")[0]
            shutil.copy(FILES / f"{name}.safetensors", weights_file(folder, component))
            edit_config(folder, component, quantization_config=CONFIGS[FORMS[name]])
        return folder

    return copy


@pytest.mark.parametrize("name", FORMS)
def test_layers_are_known_from_the_headers(quantised: Callable[..., Path], name: str) -> None:
    folder, component = quantised(name), name.partition(".")[0]
    layers = packed_layers(folder, component)
    assert {layer.form for layer in layers.values()} == {FORMS[name]}
    (packed,) = find_model(str(folder)).stored.packed
    assert (packed.component, packed.form) == (component, FORMS[name])
    assert 0 < packed.block[0] <= packed.numel
    assert packed.file == weights_file(folder, component).stat().st_size
    check_tensors(folder)


@pytest.mark.parametrize("name", FORMS)
def test_configurations_alone_give_the_same_bytes(
    quantised: Callable[..., Path], name: str
) -> None:
    folder, component = quantised(name), name.partition(".")[0]
    double = {"bnb_4bit_use_double_quant": True} if FORMS[name] == "nf4" else {}
    edit_config(folder, component, quantization_config=CONFIGS[FORMS[name]] | double)
    (estimated,) = identify(folder, "a/b", has_weights=False).stored.packed
    assert (estimated,) == find_model(str(folder)).stored.packed


def test_layers_left_out_by_name_are_refused_before_a_download_as_well(
    quantised: Callable[..., Path],
) -> None:
    folder = quantised("text_encoder.bitsandbytes_nf4")
    settings = CONFIGS["nf4"] | {"llm_int8_skip_modules": ["wo"]}
    edit_config(folder, "text_encoder", quantization_config=settings)
    model = identify(folder, "a/b", has_weights=False)
    (packed,) = model.stored.packed
    assert (packed.form, packed.saved(2, 4)) == ("nf4", (0, 0))
    assert packed.file > 0
    with pytest.raises(RequestError, match=r"quantised \(nf4\), so --quantize int8 does not apply"):
        check_stored(model, MemoryOptions.of(quantize="int8"), Machine.of("T4"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", FORMS)
def test_planned_bytes_are_those_of_the_modules(
    quantised: Callable[..., Path], name: str, dtype: Any
) -> None:
    folder, component = quantised(name), name.partition(".")[0]
    model = find_model(str(folder))
    request = Request.of("a red circle", model)
    plain = footprint(request, dtype, folder)
    part = getattr(with_packed(plain, model.stored.packed, dtype), component)
    module = read_stored(folder, component, dtype, torch.device("cpu"))
    empty = empty_stored(folder, component, dtype)
    assert module_bytes(module) == module_bytes(empty) == part.weights
    if FORMS[name] != "nf4":  # whose tables are larger than the toy's weights
        assert part.weights < getattr(plain, component).weights
    shapes = [
        {key: (t.shape, t.dtype) for key, t in m.state_dict().items()} for m in (module, empty)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", FORMS)
def test_outputs_are_about_those_of_the_plain_weights(
    quantised: Callable[..., Path], plain: Path, name: str
) -> None:
    if FORMS[name] == "nf4" and find_spec("bitsandbytes") is None:
        pytest.skip("needs bitsandbytes")
    folder, component = quantised(name), name.partition(".")[0]
    outputs = []
    for source in (plain, folder):
        module = getattr(load(PipelineSpec(source, "t2v", "float32")), component)
        with torch.no_grad():
            outputs.append(_output(component, module).flatten())
    exact, narrow = outputs
    difference = float((narrow - exact).norm() / exact.norm())
    assert 0 < difference < (0.2 if FORMS[name] == "nf4" else 0.05)


def _output(component: str, module: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    if component == "text_encoder":
        return _tensor(module(torch.arange(8)[None])[0])
    latents = torch.randn(1, 5, 4, 12, 12, generator=generator)
    text = torch.randn(1, 16, 32, generator=generator)
    rotary = torch.ones(5 * 36, 16), torch.zeros(5 * 36, 16)
    return _tensor(module(latents, text, torch.tensor([500]), image_rotary_emb=rotary)[0])


def _tensor(output: Any) -> torch.Tensor:
    assert isinstance(output, torch.Tensor)
    return output


@pytest.mark.parametrize("component", ["text_encoder", "transformer"])
def test_plain_fp8_stays_as_it_is_and_computes_as_if_it_were_widened(
    quantised: Callable[..., Path], component: str
) -> None:
    folder = quantised()
    edit_weights(folder, component, in_fp8)
    model = find_model(str(folder))
    (packed,) = model.stored.packed
    assert (packed.component, packed.form, packed.scaled) == (component, "fp8", False)
    kept, widened = (
        getattr(load(PipelineSpec(folder, "t2v", "float32", widened=frozenset(parts))), component)
        for parts in ((), (component,))
    )
    with torch.no_grad():
        assert torch.equal(_output(component, kept), _output(component, widened))
    part = getattr(
        with_packed(
            footprint(Request.of("a red circle", model), "float32", folder),
            model.stored.packed,
            "float32",
        ),
        component,
    )
    assert module_bytes(kept) == part.weights < module_bytes(widened)
    plan = cogmagic.plan(model=str(folder), machine=Machine.of("RTX 4090"), fp8=True)
    assert plan.savings.storage == "fp8_products"


def in_fp8(weights: dict[str, Any]) -> None:
    for key, tensor in weights.items():
        if tensor.ndim == 2 and "relative" not in key and "shared" not in key:
            weights[key] = tensor.to(torch.float8_e4m3fn)


def test_options_that_do_not_go_with_it_are_refused_in_one_line(
    quantised: Callable[..., Path],
) -> None:
    folder = quantised("text_encoder.torchao_int8", "transformer.torchao_fp8")
    model, two = str(folder), Machine.of("2x RTX 4090")
    with pytest.raises(RequestError, match=r"transformer of .* is quantised \(fp8\), so fp8=True"):
        cogmagic.plan(model=model, machine=two, fp8=True)
    with pytest.raises(RequestError, match=r"text_encoder of .* \(int8\), so quantize"):
        cogmagic.plan(model=model, machine=two, quantize="nf4")
    for option in ({"tier": "balanced"}, {"policy": "rule"}):
        ((name, value),) = option.items()
        with pytest.raises(TierError, match=f"'balanced' cannot load. Leave out {name}=.{value}"):
            cogmagic.plan(model=model, machine=two, **option)
    plan = cogmagic.plan(model=model, machine=two, speed="faster")
    assert "balanced" not in {c.tier for c in plan.candidates}
    assert "fp8" not in str([c.tier for c in plan.candidates])


def test_damaged_layers_are_refused_in_one_line(quantised: Callable[..., Path]) -> None:
    folder = quantised("text_encoder.bitsandbytes_nf4")
    key = "encoder.block.0.layer.0.SelfAttention.q.weight"
    edit_weights(folder, "text_encoder", lambda weights: drop(weights, f"{key}.absmax"))
    with pytest.raises(CheckpointError, match=r"quantised weight .*q\.weight lacks .*absmax"):
        find_model(str(folder))
    shutil.rmtree(folder)
    folder = quantised("text_encoder.bitsandbytes_nf4")
    edit_weights(folder, "text_encoder", lambda weights: halve(weights, key))
    with pytest.raises(CheckpointError, match="of another shape"):
        check_tensors(folder)
    shutil.rmtree(folder)
    folder = quantised()
    edit_config(folder, "transformer", quantization_config=CONFIGS["int8"])
    with pytest.raises(CheckpointError, match="hold no quantised weights that cogmagic knows"):
        find_model(str(folder))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocksize": 64000}, "blocks of 64000"),
        ({"blocksize": 128}, "numbers in absmax, which has"),
        ({"blocksize": None}, r"is damaged \(TypeError"),
        ({"shape": [4, 4]}, r"has the shape \[4, 4\]"),
    ],
)
def test_state_of_4_bits_that_would_read_beyond_a_tensor_is_refused(
    quantised: Callable[..., Path], change: dict[str, Any], message: str
) -> None:
    folder = quantised("text_encoder.bitsandbytes_nf4")

    def edit(weights: dict[str, Any]) -> None:
        key = next(key for key in weights if ".quant_state." in key)
        state = json.loads(bytes(weights[key].tolist())) | change
        weights[key] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)

    edit_weights(folder, "text_encoder", edit)
    with pytest.raises(CheckpointError, match=message):
        read_stored(folder, "text_encoder", "float32", torch.device("cpu"))


def drop(weights: dict[str, Any], key: str) -> None:
    del weights[key]


def halve(weights: dict[str, Any], key: str) -> None:
    weights[key] = weights[key][: len(weights[key]) // 2]


@pytest.mark.slow
def test_every_tier_makes_the_same_video(
    quantised: Callable[..., Path], cwd: Path, session: Any
) -> None:
    folder = quantised("text_encoder.torchao_int8", "transformer.torchao_fp8")

    def digest(**options: Any) -> str:
        video = cogmagic.generate(
            "a red circle moves", model=str(folder), seed=1, num_frames=9, steps=2, **options
        )
        return video.report.frames_sha256

    assert len({digest(tier=t) for t in ("none", "stream", "staged", "sequential")}) == 1
