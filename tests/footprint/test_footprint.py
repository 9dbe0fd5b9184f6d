"""Predicted bytes and operations, against published files and real loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cogmagic._footprint.configs import TABLE
from cogmagic._footprint.footprint import footprint
from cogmagic._models.find import embedded_folder
from cogmagic._models.model import DTYPES, Dtype
from cogmagic._units import GIB
from tests.helpers.footprints import model_named, request_for


def test_known_model_takes_milliseconds_and_no_torch() -> None:
    code = """
import sys, time
from cogmagic import Request
from cogmagic._footprint.footprint import footprint
request = Request.of("a", "1.5-5b")
began = time.process_time()
footprint(request, "bfloat16")
print(time.process_time() - began, "torch" in sys.modules, "diffusers" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *imported = ran.stdout.split()
    assert imported == ["False", "False"]
    assert float(seconds) < 0.5
    assert TABLE.stat().st_size < 400_000


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
def test_weights_equal_those_of_the_published_files(name: str, part: str, parameters: int) -> None:
    model = model_named(name)
    request = request_for(name, model.width, model.height, model.frames.default)
    assert getattr(footprint(request, "bfloat16"), part).weights == 2 * parameters
    assert getattr(footprint(request, "float32"), part).weights == 4 * parameters


def test_t5_in_float16_keeps_some_weights_in_float32_and_2b_its_positions() -> None:
    parts = footprint(request_for("2b", 720, 480, 49), "float16")
    assert parts.text_encoder.weights / GIB == pytest.approx(10.745, abs=1e-3)
    assert parts.transformer.weights == 2 * 1_693_783_872 + 8 * 17_776 * 1920
    assert parts.transformer.blocks == 30


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_equal_those_that_the_loader_loads(dtype: Dtype) -> None:
    from cogmagic._pipeline.load import load
    from cogmagic._pipeline.spec import PipelineSpec

    pipe = load(PipelineSpec(embedded_folder(), "t2v", dtype))
    parts = footprint(request_for("tiny", 96, 96, 17), dtype)
    for name in ("text_encoder", "transformer", "vae"):
        module = getattr(pipe, name)
        tensors = [*module.parameters(), *module.buffers()]
        assert getattr(parts, name).weights == sum(t.nbytes for t in tensors)
        leaves = [sum(p.nbytes for p in m.parameters(recurse=False)) for m in module.modules()]
        assert getattr(parts, name).largest_leaf == max(leaves)


def test_tokens_and_operations_of_a_step() -> None:
    ours = footprint(request_for("5b", 720, 480, 49), "bfloat16")
    assert ours.tokens == 226 + 13 * 30 * 45
    assert footprint(request_for("1.5-5b", 1360, 768, 81), "bfloat16").tokens == 226 + 11 * 48 * 85
    # 42 blocks of 36 d² products a token and 4 N² d of attention, in a batch of two, and little
    # besides.
    tokens, width = ours.tokens, 3072
    blocks = 2 * 42 * (24 * width**2 * tokens + 4 * tokens**2 * width)
    assert 1 <= ours.denoise.operations / blocks < 1.005
    alone = footprint(request_for("5b", 720, 480, 49, guidance_scale=1.0), "bfloat16")
    assert alone.denoise.operations * 2 == pytest.approx(ours.denoise.operations)
    assert alone.denoise.peak < 0.51 * ours.denoise.peak
