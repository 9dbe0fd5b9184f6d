"""What LoRA adapters add to a footprint, and which models they fit. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cogmagic._errors import RequestError
from cogmagic._footprint.configs import configs_of, same, table
from cogmagic._footprint.curves import Part, Peak, Profile, layer_kind
from cogmagic._footprint.work import ITEM, Work, rounded
from cogmagic._models.adapters.adapter import Adapter, LoraLayer
from cogmagic._models.adapters.modules import module_shapes
from cogmagic._models.catalog import MODELS
from cogmagic._models.model import Dtype
from cogmagic._models.request import Request
from cogmagic._pipeline.adapters import active

__all__ = [
    "Pass",
    "adapter_bytes",
    "adapter_numbers",
    "check_adapters",
    "compiled_adapters",
    "with_products",
    "with_weights",
]

_PER_BATCH_ITEM = ("norm1.linear", "norm2.linear", "norm_out.linear", "time_embedding", "ofs_")
"""The kinds of layers that run once per batch item; all others run for every token."""
_COMPILED_BESIDE = {"attn1": 6, "ff": 5}
"""Hidden states alive in a compiled block beside an adapter's products: in attention and in the
feed-forward layers. On an H200 with 5b (docs/benchmarks/lora.jsonl), adapters of attention take 7.0
beside what is alive before the block, one of all linear layers (four times as wide) 9.04."""


@dataclass(frozen=True)
class Pass:
    """How the transformer runs in a step."""

    batch: int
    """Batch items at once."""
    count: int
    """Passes in a step: two where guidance runs in halves."""
    tokens: int
    """Text and video tokens per batch item in the blocks: of the video, a rank's share."""
    around: int
    """Bytes that the pipeline keeps beside a pass (see `work_of`)."""
    whole: int
    """The tokens of the whole video and the text, before the blocks and while attending."""
    sequence: int = 1
    """Ranks that share the video's tokens, and the heads."""
    cut: int = 0
    """The most bytes alive, beside `around`, until a rank has cut its share of the tokens."""
    windows: tuple[int, ...] = ()
    """The tokens of each window in which the video is denoised, the text's included; empty where
    it is not cut. The first is of `whole` tokens."""

    def repeats(self, power: int = 1) -> float:
        """Passes of `whole` tokens that take as much work as all windows of a step.

        Args:
            power: 1 for work in proportion to the tokens, 2 for that in proportion to their square.
        """
        return sum((n / self.whole) ** power for n in self.windows) if self.windows else 1.0


def adapter_bytes(request: Request, dtype: Dtype) -> int:
    """Bytes of the adapters' parameters, in the precision of the transformer's."""
    return sum(_layer_bytes(layer, ITEM[dtype]) for layer in _layers(request))


def with_weights(part: Part, request: Request, dtype: Dtype) -> Part:
    """The transformer with the adapters' weights, those of blocks shared evenly by the blocks."""
    per_module, layers = _per_module(request, ITEM[dtype]), _layers(request)
    in_blocks = sum(n for name, n in per_module.items() if layer_kind(name) != name)
    return replace(
        part,
        weights=part.weights + sum(per_module.values()),
        block=part.block + -(-in_blocks // max(part.blocks, 1)),
        tensors=part.tensors + 2 * len(layers),
    )


def with_products(work: Work, request: Request, dtype: Dtype, profile: Profile, run: Pass) -> Work:
    """A denoising step with the adapters' products.

    While a layer with an adapter runs, its input and its output are alive, and with them the
    adapter's two products, which have as many features as the rank and as the output.

    Args:
        work: the step without adapters.
        request: what to generate.
        dtype: the precision of the transformer and of its adapters.
        profile: the model's curves.
        run: one pass of the transformer.
    """
    item, per_module = ITEM[dtype], _per_module(request, ITEM[dtype])
    peak = leaf = mapped = 0
    operations = work.operations
    for layer in _layers(request):
        curve = profile.after_linears[run.batch][layer_kind(layer.module)]
        after: Peak = curve.share(run.tokens, run.whole)
        products, rows = _product_bytes(layer, item, run), _rows(layer, run)
        peak = max(peak, after.peak + products)
        leaf = max(leaf, after.leaf_peak + per_module[layer.module] + products)
        mapped += products
        operations += run.count * run.repeats() * rows * 2.0 * layer.parameters
    return Work(
        peak=max(work.peak, peak + run.around),
        leaf_peak=max(work.leaf_peak, leaf + run.around + profile.buffers if leaf else 0),
        operations=operations,
        calls=work.calls,
        mapped=work.mapped + mapped,
    )


def adapter_numbers(request: Request, run: Pass) -> float:
    """Numbers in the adapters' products of one step."""
    layers = _layers(request)
    count = run.count * run.repeats()
    return float(count * sum(_rows(layer, run) * layer.outputs for layer in layers))


def compiled_adapters(request: Request, dtype: Dtype, hidden: int, run: Pass) -> int:
    """Bytes alive in a compiled block because of adapters, beside those alive before it.

    Args:
        request: what to generate.
        dtype: the precision of the transformer and of its adapters.
        hidden: bytes of the hidden states.
        run: one pass of the transformer.
    """
    peak = 0
    for layer in _layers(request):
        beside = _COMPILED_BESIDE.get(layer_kind(layer.module).partition(".")[0], 0)
        if beside and layer_kind(layer.module) != layer.module:
            peak = max(peak, beside * hidden + _product_bytes(layer, ITEM[dtype], run))
    return peak


def _rows(layer: LoraLayer, run: Pass) -> int:
    """Rows of the layer's input in one pass."""
    per_item = layer_kind(layer.module).startswith(_PER_BATCH_ITEM)
    return run.batch * (1 if per_item else run.tokens)


def _product_bytes(layer: LoraLayer, item: int, run: Pass) -> int:
    """Bytes of an adapter's two products, which have as many features as rank and output."""
    rows = _rows(layer, run)
    return rounded(rows * layer.rank * item) + rounded(rows * layer.outputs * item)


def _layers(request: Request) -> list[LoraLayer]:
    return [layer for adapter in active(request.loras) for layer in adapter.layers]


def _per_module(request: Request, item: int) -> Counter[str]:
    """Bytes of the adapters of each layer that has any."""
    nbytes = Counter[str]()
    for layer in _layers(request):
        nbytes[layer.module] += _layer_bytes(layer, item)
    return nbytes


def _layer_bytes(layer: LoraLayer, item: int) -> int:
    up = layer.rank * layer.outputs
    return rounded((layer.parameters - up) * item) + rounded(up * item)


def check_adapters(request: Request, folder: Path | None = None) -> str:
    """Refuse adapters that do not fit the request's model; the warning where they fit others, too.

    Args:
        request: what to generate.
        folder: the checkpoint, for a model outside the catalogue.

    Raises:
        RequestError: with the layer that differs, and the models that the adapter fits.
    """
    if not request.loras:
        return ""
    model, unsure = request.model, dict[tuple[str, ...], list[str]]()
    shapes = module_shapes(_transformer_config(request, folder))
    for adapter in request.loras:
        # Adapters of the base models fit those that inpaint as well, but few are made for these.
        like = [m.name for m in MODELS if m.inpaints <= model.inpaints and m.name != model.name]
        others = [name for name in like if _fits_model(adapter, name)]
        if problem := _misfit(adapter, shapes):
            fits = (
                f"It fits {_listed(others)}: use --model {others[0]}."
                if others
                else "It fits none of the published models."
            )
            raise RequestError(f"{adapter.name} does not fit {model.name}: {problem}. {fits}")
        if others:
            unsure.setdefault((model.name, *others), []).append(adapter.name)
    return "; ".join(
        f"{_listed(names)} could be for {_listed(list(models), 'or')}: a file does not say which,"
        " but its page may"
        for models, names in unsure.items()
    )


def _listed(names: list[str], conjunction: str = "and") -> str:
    return f" {conjunction} ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _transformer_config(request: Request, folder: Path | None) -> dict[str, Any]:
    configs = configs_of(folder) if folder else {}
    name = same(configs) if configs else request.model.name
    stored: dict[str, Any] = table()["models"].get(name, {}).get("configs", configs)
    return dict(stored["transformer"])


def _fits_model(adapter: Adapter, name: str) -> bool:
    config = table()["models"][name]["configs"]["transformer"]
    return not _misfit(adapter, module_shapes(config))


def _misfit(adapter: Adapter, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """How an adapter differs from a transformer's layers; empty if it fits."""
    for layer in adapter.layers:
        shape = shapes.get(layer.module)
        if shape is None:
            return f"it adapts {layer.module}, which the model does not have"
        if layer.weight_shape != shape:
            sizes = ("×".join(map(str, sides)) for sides in (layer.weight_shape, shape))
            return f"its {layer.module} is for {' weights, the model has '.join(sizes)}"
    return ""
