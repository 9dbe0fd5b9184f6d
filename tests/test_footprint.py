"""Predicted bytes and operations: against real loads, whole traces, and rows from real GPUs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cogmagic import Request
from cogmagic._footprint.configs import TABLE, configs_of, decisive, same, table
from cogmagic._footprint.curves import Curve, Peak
from cogmagic._footprint.footprint import Footprint, _footprint, footprint
from cogmagic._footprint.tiling import Tiling, clip_of, ends
from cogmagic._footprint.work import Work
from cogmagic._models.catalog import DTYPES, MODELS, Dtype, Model, catalogued
from cogmagic._models.find import embedded_folder
from cogmagic._models.identify import identify

GIB = 2**30
BENCHMARKS = Path(__file__).parents[1] / "docs" / "benchmarks"


@pytest.fixture(scope="module")
def script() -> Any:
    """The script that writes the table: it knows the published configurations."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import trace_footprints

        return trace_footprints


def model_named(name: str) -> Model:
    found = catalogued(name)
    assert found is not None
    return found


def wish(name: str, width: int, height: int, frames: int, **more: Any) -> Request:
    from PIL import Image

    model = model_named(name)
    if model.task == "i2v":
        more["image"] = Image.new("RGB", (8, 8))
    return Request.of("a", model, width=width, height=height, num_frames=frames, **more)


def configs_for(script: ModuleType, model: Model) -> dict[str, Any]:
    return {p: known | script.published(model)[p] for p, known in script.defaults().items()}


def afresh(script: ModuleType, request: Request, dtype: Dtype, *, lean: bool = False) -> Footprint:
    """The footprint from traces at just this request's sizes."""
    from cogmagic._footprint.passes import profile

    configs = configs_for(script, request.model)
    tiling = Tiling.of(request, configs)
    tiles = ends(tiling.tiles())
    images = [(8 * h, 8 * w) for h, w in tiles] if request.model.task == "i2v" else []
    batches = (1 if request.guidance_scale == 1 else 2,)
    traced = profile(configs, dtype, [clip_of(request, configs)], tiles, images, batches)
    return _footprint(request, dtype, traced, configs, halves=False, lean=lean)


def near(ours: Work, peak: Peak, below: float = 0.005, above: float = 0.015) -> None:
    for found, true in (ours.peak, peak.peak), (ours.leaf_peak, peak.leaf_peak):
        assert 1 - below <= found / true <= 1 + above


def test_a_known_model_needs_no_torch_and_no_time() -> None:
    code = """
import sys, time
from cogmagic import Request
from cogmagic._models.catalog import MODELS
from cogmagic._footprint.footprint import footprint
request = Request.of("a", MODELS[4])
began = time.perf_counter()
footprint(request, "bfloat16")
print(time.perf_counter() - began, "torch" in sys.modules, "diffusers" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *imported = ran.stdout.split()
    assert imported == ["False", "False"]
    assert float(seconds) < 0.05
    assert TABLE.stat().st_size < 200_000


# Parameters as counted from the published weight files.
@pytest.mark.parametrize(
    ("name", "part", "parameters"),
    [
        ("5b", "text_encoder", 4_762_310_656),
        ("5b", "vae", 215_583_907),
        ("5b", "transformer", 5_570_283_072),
        ("1.5-5b", "transformer", 5_570_676_352),
        ("1.5-5b-i2v", "transformer", 5_571_594_880),
    ],
)
def test_weights_are_those_of_the_published_files(name: str, part: str, parameters: int) -> None:
    model = model_named(name)
    request = wish(name, model.width, model.height, model.frames.default)
    assert getattr(footprint(request, "bfloat16"), part).weights == 2 * parameters
    assert getattr(footprint(request, "float32"), part).weights == 4 * parameters


def test_t5_in_float16_keeps_some_in_float32_and_2b_keeps_its_positions_in_float64() -> None:
    parts = footprint(wish("2b", 720, 480, 49), "float16")
    assert parts.text_encoder.weights / GIB == pytest.approx(10.745, abs=1e-3)
    assert parts.transformer.weights == 2 * 1_693_783_872 + 8 * 17_776 * 1920
    assert parts.transformer.blocks == 30


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_what_the_loader_loads(dtype: Dtype) -> None:
    from cogmagic._pipeline.load import load

    pipe = load(embedded_folder(), "t2v", dtype)
    parts = footprint(wish("tiny", 96, 96, 17), dtype)
    for name in ("text_encoder", "transformer", "vae"):
        module = getattr(pipe, name)
        held = [*module.parameters(), *module.buffers()]
        assert getattr(parts, name).weights == sum(t.nbytes for t in held)
        leaves = [sum(p.nbytes for p in m.parameters(recurse=False)) for m in module.modules()]
        assert getattr(parts, name).largest_leaf == max(leaves)


@pytest.mark.parametrize("learned", [False, True])
def test_stored_positions_are_in_the_loaders_dtype(tmp_path: Path, learned: bool) -> None:
    import torch
    from diffusers import CogVideoXTransformer3DModel

    from cogmagic._footprint.passes import build

    small = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1}
    small |= {"text_embed_dim": 32, "time_embed_dim": 8, "sample_width": 12, "sample_height": 12}
    module = CogVideoXTransformer3DModel(
        **small,
        use_rotary_positional_embeddings=learned,
        use_learned_positional_embeddings=learned,
    )
    module.save_pretrained(tmp_path)
    loaded = CogVideoXTransformer3DModel.from_pretrained(tmp_path, dtype=torch.float16)
    built = build("transformer", dict(module.config), torch.float16)
    assert {n: b.dtype for n, b in built.named_buffers()} == {
        n: b.dtype for n, b in loaded.named_buffers()
    }
    assert len(list(built.named_buffers())) == 1


def test_the_table_is_of_the_embedded_models_configurations() -> None:
    assert same(configs_of(embedded_folder())) == "tiny"
    assert table()["models"]["tiny"]["configs"] == decisive(configs_of(embedded_folder()))


def sample() -> list[Any]:
    """Two legal requests of each model, in any dtype, with and without guidance."""
    chance = random.Random(7)  # noqa: S311
    cases = []
    for model in MODELS:
        for _ in range(2):
            rule = model.sizes
            low, high = rule.short[0] // rule.multiple, rule.short[1] // rule.multiple
            short = rule.multiple * chance.randint(low, high)
            long = rule.multiple * chance.randint(
                max(short, rule.long[0]) // rule.multiple, rule.long[1] // rule.multiple
            )
            width, height = (long, short) if chance.random() < 0.5 or rule.exact else (short, long)
            frames = chance.choice(model.frames.legal())
            guidance, dtype = chance.choice((1.0, 6.0)), chance.choice(DTYPES)
            cases.append(
                pytest.param(
                    (model.name, width, height, frames), guidance, dtype,
                    id=f"{model.name}-{width}x{height}x{frames}-{guidance:g}-{dtype}",
                )
            )  # fmt: skip
    return cases


@pytest.mark.parametrize(("shape", "guidance", "dtype"), sample())
def test_lines_between_kept_points_are_near_fresh_traces(
    script: ModuleType, shape: tuple[Any, ...], guidance: float, dtype: Dtype
) -> None:
    request = wish(*shape, guidance_scale=guidance)
    lean = dtype == "float16"
    ours = footprint(request, dtype, lean=lean)
    true = afresh(script, request, dtype, lean=lean)
    for name in ("text_encoder", "transformer", "vae", "tokens", "encode"):
        assert getattr(ours, name) == getattr(true, name)
    for phase in ("denoise", "decode", "encode_image"):
        found, traced = getattr(ours, phase), getattr(true, phase)
        assert (found is None) == (traced is None)
        if found is not None:
            near(found, Peak(traced.peak, traced.leaf_peak))
            assert found.operations == pytest.approx(traced.operations, rel=1e-9)


@pytest.mark.parametrize(
    "shape", [("5b", 400, 272, 9), ("tiny", 208, 176, 33), ("tiny", 96, 96, 17)]
)
def test_what_is_put_together_is_the_whole_pass(script: ModuleType, shape: tuple[Any, ...]) -> None:
    request = wish(*shape)
    ours = footprint(request, request.model.dtype)
    for phase, (peak, operations) in script.naive(request).items():
        near(getattr(ours, phase), peak)
        assert getattr(ours, phase).operations == pytest.approx(operations, rel=1e-9)


def test_lean_decoding_is_what_its_passes_are() -> None:
    """On the meta device the picture and the strips count, too, which go to host memory."""
    import torch

    from cogmagic._footprint.passes import build
    from cogmagic._footprint.trace import traced
    from cogmagic._pipeline.lean_decode import lean_decoding

    request = wish("tiny", 208, 176, 33)
    configs = table()["models"]["tiny"]["configs"]
    vae = build("vae", configs["vae"], torch.bfloat16)
    vae.enable_tiling()
    channels = configs["vae"]["latent_channels"]
    latents = torch.empty(1, channels, 9, 22, 26, dtype=torch.bfloat16, device="meta")
    with lean_decoding(vae), traced(vae) as trace:
        picture = vae.decode(latents).sample
    work = footprint(request, "bfloat16", lean=True).decode
    assert work.peak <= trace.peak().peak <= work.peak + 2 * picture.nbytes
    assert work.operations == pytest.approx(trace.operations, rel=1e-9)
    assert work.peak < 0.7 * footprint(request, "bfloat16").decode.peak


def test_a_few_blocks_stand_for_all(script: ModuleType) -> None:
    import torch

    from cogmagic._footprint.passes import build, step

    model = model_named("2b")
    configs, clip = configs_for(script, model), (13, 60, 90)
    built = [
        build("transformer", configs["transformer"], torch.float16, few) for few in (2, 3, None)
    ]
    two, three, whole = (step(m, configs, torch.float16, 2, clip) for m in built)
    assert len(built[2].transformer_blocks) == 30
    assert two == three == whole


# What cuBLAS takes on an H100, as seen there after everything else was freed.
WORKSPACE = 33 * 2**20


def measured() -> list[Any]:
    """The kept rows of real GPU runs, whose phases have peaks."""
    rows = [json.loads(x) for x in (BENCHMARKS / "tiers.jsonl").read_text().splitlines()]
    rows = [r for r in rows if r["tier"] in ("none", "model", "sequential") and r["peak_phases"]]
    return [pytest.param(r, id=f"{r['model']}-{r['size']}-{r['tier']}") for r in rows]


@pytest.mark.parametrize("row", measured())
def test_phases_are_near_what_was_measured(row: dict[str, Any]) -> None:
    width, height = map(int, row["size"].split("x"))
    ours = footprint(wish(row["model"], width, height, row["num_frames"]), row["dtype"])
    text, transformer, vae = (
        part.weights for part in (ours.text_encoder, ours.transformer, ours.vae)
    )
    image = ours.encode_image or Work(0, 0, 0.0)
    if row["tier"] == "sequential":
        found = {
            "encode": ours.encode.leaf_peak,
            "denoise": max(ours.denoise.leaf_peak, image.leaf_peak),
            "decode": ours.decode.leaf_peak,
        }
    elif row["tier"] == "none":
        weights = text + transformer + vae
        found = {
            "encode": weights + ours.encode.peak,
            "denoise": weights + max(ours.denoise.peak, image.peak),
            "decode": weights + ours.decode.peak,
        }
    else:  # the component of the phase before is there as a phase begins
        stays = vae if ours.encode_image else 0  # from encoding the image on, to the end
        found = {
            "encode": text + ours.encode.peak,
            "denoise": max(transformer + ours.denoise.peak, text) + stays,
            "decode": max(vae + ours.decode.peak, transformer + stays),
        }
    for phase, peak in found.items():
        assert -0.01 <= (peak + WORKSPACE) / row["peak_phases"][phase] - 1 <= 0.01, phase


def test_tokens_and_operations_of_a_step() -> None:
    ours = footprint(wish("5b", 720, 480, 49), "bfloat16")
    assert ours.tokens == 226 + 13 * 30 * 45
    assert footprint(wish("1.5-5b", 1360, 768, 81), "bfloat16").tokens == 226 + 11 * 48 * 85
    # 42 blocks of 36 d² products a token and 4 N² d of attention, in a batch of two, and little
    # besides.
    tokens, width = ours.tokens, 3072
    blocks = 2 * 42 * (24 * width**2 * tokens + 4 * tokens**2 * width)
    assert 1 <= ours.denoise.operations / blocks < 1.005
    alone = footprint(wish("5b", 720, 480, 49, guidance_scale=1.0), "bfloat16")
    assert alone.denoise.operations * 2 == pytest.approx(ours.denoise.operations)
    assert alone.denoise.peak < 0.51 * ours.denoise.peak


def test_a_folder_of_a_known_model_is_read_off_the_table(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, config in script.published(model_named("5b")).items():
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text(json.dumps(config | {"dropout": 0.1}))
    request = wish("5b", 512, 320, 17)
    monkeypatch.setattr("cogmagic._footprint.passes.profile", None)
    assert footprint(request, "bfloat16", tmp_path) == footprint(request, "bfloat16")


@pytest.mark.parametrize("kind", ["toy", "toy_i2v"])
def test_another_folder_is_traced(kind: str, request: pytest.FixtureRequest) -> None:
    from PIL import Image

    folder = request.getfixturevalue(kind)
    model = identify(folder, str(folder))
    image = {"image": Image.new("RGB", (8, 8))} if model.task == "i2v" else {}
    wanted = Request.of("a", model, width=256, height=192, num_frames=9, **image)
    ours = footprint(wanted, "float16", folder)
    assert (ours.transformer.blocks, ours.text_encoder.blocks) == (2, 1)
    assert ours.tokens == 16 + 3 * 12 * 16
    assert (ours.encode_image is None) == (model.task == "t2v")
    larger = footprint(replace(wanted, width=320), "float16", folder)
    assert larger.denoise.peak > ours.denoise.peak
    assert larger.decode.operations > ours.decode.operations
    with pytest.raises(ValueError, match="not in the catalogue"):
        footprint(wanted, "float16")


def test_an_unknown_model_with_a_known_name_is_not_taken_for_it() -> None:
    model = model_named("5b")
    other = replace(model, architecture=replace(model.architecture, num_layers=7))
    with pytest.raises(ValueError, match="name its folder"):
        footprint(Request.of("a", other), "bfloat16")


def test_lines_go_through_points_and_round_up() -> None:
    curve = Curve((10, 20, 40), (100, 205, 305), (110, 205, 305), (7, 17, 37))
    assert [curve(x).peak for x in (10, 15, 20, 30, 40, 44)] == [100, 153, 205, 255, 305, 325]
    assert curve(10) == Peak(100, 110, 7)
    assert curve(30).mapped == 27
    with pytest.raises(ValueError, match="traced at 7 only"):
        Curve((7,), (1,), (1,), (1,))(8)


def test_tiles_are_those_of_the_vae() -> None:
    tiling = Tiling((34, 50), (30, 45), 8)
    assert tiling.tiles() == [(30, 45), (30, 14), (9, 45), (9, 14)]
    assert Tiling((12, 15), (12, 15), 8).tiles() == [(12, 15)]


class TestTrace:
    """What counts and what does not, on tensors of known sizes."""

    def test_storages_count_and_views_do_not(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            x = torch.empty(256, device="meta")
            y = x.view(16, 16).t()
            y.add_(1)
            assert trace.live == 1024
            z = x + 1
            assert trace.live == 2048
            del x
            assert trace.live == 2048  # y is a view of it
            del y, z
            assert trace.live == 0
            torch.empty(1, device="meta")
        assert trace.peak() == Peak(2048, 2048, 2048)

    def test_a_block_is_512_bytes(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            held = [torch.empty(n, dtype=torch.uint8, device="meta") for n in (1, 512, 513)]
            assert trace.live == 512 * 4
        assert len(held) == 3

    def test_a_leafs_weights_are_there_while_it_runs(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with torch.device("meta"):
            net = nn.Sequential(nn.Linear(128, 256, bias=False), nn.Linear(256, 128, bias=False))
        with traced(net) as trace:
            net(torch.empty(1, 128, device="meta"))
        weights = 128 * 256 * 4
        everything = 512 + 1024 + 512
        assert trace.peak() == Peak(everything, everything + weights, everything)
        assert trace.operations == 2 * 2 * 128 * 256

    def test_what_is_free_before_a_leaf_is_mapped_anew_after_it(self) -> None:
        import torch
        from torch import nn

        from cogmagic._footprint.trace import traced

        with torch.device("meta"):
            net = nn.Sequential(*(nn.Linear(256, 256, bias=False) for _ in range(4)))
        with traced(net) as trace:
            net(torch.empty(1, 256, device="meta"))
        assert trace.peak().peak == 3 * 1024
        assert trace.peak().mapped == 5 * 1024  # the input, and each layer's output

    def test_a_strided_input_is_copied_for_a_kernel(self) -> None:
        import torch
        import torch.nn.functional as F  # noqa: N812
        from torch import nn

        from cogmagic._footprint.trace import traced

        with traced(nn.Identity()) as trace:
            x = torch.empty(64, 64, 64, device="meta")
            F.layer_norm(x, (64,))
            plain = trace.peak().peak
            trace.restart()
            F.layer_norm(x.transpose(0, 1), (64,))
        assert trace.peak().peak - plain == x.numel() * 4

    def test_attention_keeps_no_scores(self) -> None:
        import torch
        import torch.nn.functional as F  # noqa: N812
        from torch import nn

        from cogmagic._footprint.trace import traced

        query = torch.empty(1, 4, 4096, 64, device="meta", dtype=torch.bfloat16)
        with traced(nn.Identity()) as trace:
            out = F.scaled_dot_product_attention(query, query, query)
        assert out.shape == query.shape
        assert trace.peak().peak == query.numel() * 2 + 4 * 4096 * 4  # the sums of the rows
        assert trace.operations == 4 * 4 * 4096**2 * 64
