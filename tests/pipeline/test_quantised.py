"""Components that are quantised while they are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, OutputError, RequestError
from cogmagic._footprint.footprint import footprint
from cogmagic._footprint.savings import Savings
from cogmagic._models.find import embedded_folder, find_model
from cogmagic._models.request import Request
from cogmagic._pipeline.empty import empty_component_of, module_bytes
from cogmagic._pipeline.prompt_cache import PromptCache
from cogmagic._pipeline.quantised.layers import as_plain_layers
from cogmagic._pipeline.storage.quantised import Quantised
from cogmagic._pipeline.storage.quantised_forms import QUANTISED
from cogmagic._planning.memory_options import MemoryOptions

VALUES = ("int8", "nf4", "int8:text_encoder", "nf4:text_encoder", "int8:transformer")


@pytest.mark.parametrize("value", VALUES)
def test_the_option_names_components_and_their_storage(value: str) -> None:
    savings = Savings.of(quantize=value)
    form, _, part = value.partition(":")
    assert {n: s.name for n, s in savings.quantised.items()} == dict.fromkeys(
        (part,) if part else ("text_encoder", "transformer"), form
    )
    assert savings.quantize == value
    assert savings.flags == f"--quantize {value}"
    assert savings.price == "another picture"
    assert savings.stored_as != ""


@pytest.mark.parametrize("value", ["int4", "int8:vae", "nf4:", True, 8, "INT8", ":transformer"])
def test_any_other_value_is_an_error(value: object) -> None:
    with pytest.raises(RequestError, match=r"Unknown (--)?quantize.*int8, int8:text_encoder"):
        Savings.of(quantize=value)


@pytest.mark.parametrize("value", VALUES)
def test_nothing_else_may_narrow_weights_beside_it(value: str) -> None:
    with pytest.raises(RequestError, match=rf"--fp8 and --quantize {value} cannot be combined"):
        MemoryOptions.of(quantize=value, fp8=True)
    with pytest.raises(
        RequestError, match=rf"--quantize {value} cannot be combined with --speed faster"
    ):
        MemoryOptions.of(quantize=value, speed="faster")
    assert all(s.quantize == value for s in Savings.of(quantize=value).more())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ["int8", "nf4"])
def test_planned_bytes_are_those_of_the_modules(name: str, dtype: Any) -> None:
    request = Request.of("a red circle", find_model("tiny"))
    shrunk = Savings.of(quantize=name).shrunk(footprint(request, dtype, embedded_folder()))
    for component, storage in Savings.of(quantize=name).quantised.items():
        module = empty_component_of(embedded_folder(), component, dtype)
        plain = module_bytes(module)
        storage.empty(component, module)
        assert module_bytes(module) == getattr(shrunk, component).weights < plain


def test_plans_know_the_memory_and_the_tiers() -> None:
    machine = Machine.of("RTX 4090", ram=64)
    plain, narrow = (
        {c.tier: c for c in cogmagic.plan(model="5b", machine=machine, quantize=q).candidates}
        for q in ("", "int8:text_encoder")
    )
    weights = plain["none"].peak_allocated - narrow["none"].peak_allocated  # type: ignore[operator]
    assert 3.9e9 < weights < 4.7e9  # 9.5 GB in bfloat16, 4.9 GB in int8
    assert narrow["stream"].peak_ram < plain["stream"].peak_ram - 4e9  # type: ignore[operator]
    several = cogmagic.plan(model="5b", machine=Machine.of("2x RTX 4090"), quantize="int8")
    assert "balanced" not in {c.tier for c in several.candidates}


def test_what_a_machine_cannot_quantise_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(RequestError, match="needs a GPU for the transformer"):
        cogmagic.plan(machine=Machine.of(ram=16), quantize="nf4")
    assert cogmagic.plan(machine=Machine.of(ram=16), quantize="nf4:text_encoder").tier == "none"
    with pytest.raises(cogmagic.TierError, match="'balanced' does not work with quantize="):
        cogmagic.plan(
            model="5b", machine=Machine.of("2x RTX 4090"), quantize="int8", tier="balanced"
        )


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from cogmagic._pipeline.storage import quantised

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(quantised, "version", missing)
    with pytest.raises(RequestError, match=r"needs the package torchao, .*%pip install -U torchao"):
        cogmagic.generate("a red circle moves", quantize="int8:text_encoder", progress=False)
    monkeypatch.setattr(quantised, "version", lambda _: "0.9.1")
    assert QUANTISED["nf4"].missing("It").startswith("It needs bitsandbytes 0.46 or newer, not 0.9")


def test_embeddings_are_cached_by_the_storage_of_the_text_encoder() -> None:
    request = Request.of("a red circle", find_model("tiny"))
    files = {
        str(PromptCache(request, embedded_folder(), "float32", "cpu", storage)._files[0])
        for storage in ("", "int8", "nf4")
    }
    assert len(files) == 3


def test_a_batch_is_resumed_with_the_same_value_only(
    monkeypatch: pytest.MonkeyPatch, cwd: Path
) -> None:
    monkeypatch.setattr(Quantised, "missing", lambda *_: "")

    def begin(**options: Any) -> None:
        cogmagic.generate_many(["a red circle"] * 2, save="out", progress=False, **options)

    begin(quantize="int8")
    begin(quantize="int8")
    for options, here in ({"quantize": "int8:transformer"}, "'int8:transformer'"), ({}, "missing"):
        with pytest.raises(OutputError, match=f"quantize is 'int8' there and {here} here"):
            begin(**options)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["int8", "nf4:text_encoder"])
def test_a_quantised_run_is_the_same_in_every_tier_and_leaves_no_trace(
    value: str, cwd: Path, session: Any
) -> None:
    package = "torchao" if value == "int8" else "bitsandbytes"
    pytest.importorskip(package)

    def digest(**options: Any) -> str:
        video = cogmagic.generate(
            "a red circle moves", seed=1, num_frames=9, num_inference_steps=2, **options
        )
        return video.report.frames_sha256

    exact = digest()
    made = {digest(quantize=value, tier=t) for t in ("none", "stream", "staged", "sequential")}
    assert len(made) == 1
    assert exact not in made
    assert digest() == exact  # the embeddings of the quantised encoder are not used


@pytest.mark.slow
def test_bitsandbytes_loads_no_code_from_the_hub(tmp_path: Path) -> None:
    """On CPUs with AVX512-BF16 it asks the package ``kernels`` for some as it is imported."""
    pytest.importorskip("bitsandbytes")
    asked = tmp_path / "asked"
    (tmp_path / "kernels.py").write_text(
        f"def get_kernel(*_, **__):\n    open({str(asked)!r}, 'w').close()\n    raise OSError\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(code: str) -> bool:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        return asked.exists()

    libraries = "from cogmagic._pipeline.libraries import import_libraries as i; i('t2v')"
    assert not run(libraries + "; import sys; assert 'bitsandbytes' in sys.modules")
    if not run("import bitsandbytes"):
        pytest.skip("on this CPU bitsandbytes asks for no code")


def test_weights_in_an_unknown_form_are_an_error_of_one_line() -> None:
    import torch

    with pytest.raises(RequestError, match=r"no layer that is known as quantised.*constraints"):
        as_plain_layers(torch.nn.Linear(4, 4))
    quantization = pytest.importorskip("torchao.quantization")
    linear = torch.nn.Sequential(torch.nn.Linear(64, 8))
    config = quantization.Int8DynamicActivationInt8WeightConfig()
    quantization.quantize_(linear, config)
    with pytest.raises(RequestError, match="narrowed inputs"):
        as_plain_layers(linear)
