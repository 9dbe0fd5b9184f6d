"""One pass of a catalogue model's transformer with random weights, as `quality.py` has it made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from cogmagic import CogMagicError
from cogmagic._footprint.configs import table
from cogmagic._models.catalog import MODELS
from cogmagic._models.family import latent_frames
from cogmagic._pipeline.attention.processor import attending
from cogmagic._pipeline.attention.registry import KERNELS
from cogmagic._pipeline.compile import compiled, compiling
from cogmagic._pipeline.empty import built
from cogmagic._pipeline.storage import STORAGES

PASSES: dict[str, tuple[bool, str, str]] = {
    "eager": (False, "", ""),
    "compiled": (True, "", ""),
    **{f"attention {name}": (False, name, "") for name in KERNELS},
    "fp8 storage": (False, "", "fp8"),
    "fp8 products": (False, "", "fp8_products"),
    "compiled, fa3": (True, "fa3", ""),
    "compiled, fp8 products": (True, "", "fp8_products"),
    "compiled, fa3, fp8 products": (True, "fa3", "fp8_products"),
}
"""What each pass uses: compiled blocks, an attention kernel, a weight storage."""


def passes(rows: Any, name: str, ways: list[str], *, toy: bool) -> None:
    """One pass of a model's transformer in each way, beside the eager one."""
    model = next(m for m in MODELS if m.name == name)
    ways = [way for way in ways if not rows.has(kind="pass", model=name, way=way, toy=toy)]
    if not ways:
        return
    config = dict(table()["models"][name]["configs"]["transformer"])
    config |= {"num_layers": 2} if toy else {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = getattr(torch, model.dtype)
    inputs = pass_inputs(model, config, device, dtype, toy=toy)
    eager = pass_output(config, device, dtype, inputs, PASSES["eager"])
    for way in ways:
        row: dict[str, Any] = {"kind": "pass", "model": name, "way": way, "toy": toy}
        try:
            output = pass_output(config, device, dtype, inputs, PASSES[way])
            off = (output - eager).norm() / eager.norm()
            row |= {"difference": float(off), "dtype": model.dtype}
        except (RuntimeError, ImportError, ValueError, CogMagicError) as error:
            row |= {"error": repr(error)[:200]}
        rows.add(**row)
        print(row, flush=True)


def pass_inputs(
    model: Any, config: dict[str, Any], device: Any, dtype: Any, *, toy: bool
) -> dict[str, Any]:
    """Random inputs of a step with guidance, at the model's native size."""
    frames, size = latent_frames(model.frames.default), (model.height // 8, model.width // 8)
    depth, patch = config["patch_size_t"], config["patch_size"]
    frames += -frames % (depth or 1)  # 1.5's pipeline rounds up to whole patches
    if toy:
        frames, size = depth or 2, (8, 12)
    draw = torch.Generator(device).manual_seed(7)

    def random(*shape: int) -> Any:
        return torch.randn(*shape, generator=draw, device=device).to(dtype)

    rotary = None
    if config["use_rotary_positional_embeddings"]:
        tokens = (frames // (depth or 1)) * (size[0] // patch) * (size[1] // patch)
        angles = torch.rand(tokens, config["attention_head_dim"], generator=draw, device=device)
        rotary = ((angles * 6).cos(), (angles * 6).sin())
    return {
        "hidden_states": random(2, frames, config["in_channels"], *size),
        "encoder_hidden_states": random(2, model.max_tokens, config["text_embed_dim"]),
        "timestep": torch.full((2,), 500, device=device),
        "image_rotary_emb": rotary,
        "return_dict": False,
    }


@torch.no_grad()
def pass_output(
    config: dict[str, Any], device: Any, dtype: Any, inputs: Any, how: tuple[bool, str, str]
) -> Any:
    """The output in float32."""
    compiles, attention, storage = how
    torch.manual_seed(0)  # of what is drawn in building, such as the biases
    with device, default_dtype(dtype):
        transformer: Any = built("transformer", config).eval().requires_grad_(False)
    draw = torch.Generator(device).manual_seed(1)
    for parameter in transformer.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.02, generator=draw)
    if storage:
        STORAGES[storage].store(transformer, device)
    with ExitStack() as stack:
        stack.enter_context(attending(transformer, attention))
        if compiles:
            stack.enter_context(compiled(transformer))
            stack.enter_context(compiling(lambda _: None))
        output = transformer(**inputs)[0].float()
    transformer = None
    gc.collect()
    torch.cuda.empty_cache()
    return output


@contextmanager
def default_dtype(dtype: Any) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    yield
    torch.set_default_dtype(before)
