"""Write the quantised weights of this folder with the libraries that quantise.

They are stored, since importing these libraries takes seconds and prints warnings wherever they
are installed. Written by bitsandbytes 0.50.2, torchao 0.18.0, optimum-quanto 0.2.7 and gguf 0.19.0,
on a CPU, with the versions of constraints.txt:

    pip install bitsandbytes torchao optimum-quanto gguf
    python -m tests.models.checkpoints.quantised.write
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file

from tests.helpers.checkpoints import save_checkpoint

HERE = Path(__file__).parent


def main() -> None:
    with TemporaryDirectory() as temporary:
        toy = save_checkpoint(Path(temporary) / "toy", layers=1)
        for name, config in text_encoders().items():
            save_text_encoder(toy, name, config)
        for name, config in transformers().items():
            save_transformer(toy, name, config)
        save_bitsandbytes_layers(toy)
        save_gguf(toy)


def text_encoders() -> dict[str, Any]:
    """transformers' configurations by file name."""
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import BitsAndBytesConfig, TorchAoConfig

    return {
        "bitsandbytes_int8": BitsAndBytesConfig(load_in_8bit=True),
        "bitsandbytes_nf4": BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        ),
        "torchao_int8": TorchAoConfig(Int8WeightOnlyConfig()),
        "torchao_fp8": TorchAoConfig(Float8WeightOnlyConfig()),
    }


def transformers() -> dict[str, Any]:
    """diffusers' configurations by file name."""
    from diffusers import QuantoConfig, TorchAoConfig
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    return {
        "torchao_int8": TorchAoConfig(Int8WeightOnlyConfig()),
        "torchao_fp8": TorchAoConfig(Float8WeightOnlyConfig()),
        "quanto_int8": QuantoConfig(weights_dtype="int8"),
        "quanto_fp8": QuantoConfig(weights_dtype="float8"),
        "quanto_int4": QuantoConfig(weights_dtype="int4"),
    }


def save_text_encoder(toy: Path, name: str, config: Any) -> None:
    from transformers import T5EncoderModel

    module = T5EncoderModel.from_pretrained(
        toy / "text_encoder", quantization_config=config, dtype=torch.bfloat16, device_map="cpu"
    )
    store(module, "text_encoder", name)


def save_transformer(toy: Path, name: str, config: Any) -> None:
    from diffusers import CogVideoXTransformer3DModel

    module = CogVideoXTransformer3DModel.from_pretrained(
        toy / "transformer", quantization_config=config, torch_dtype=torch.bfloat16
    )
    store(module, "transformer", name)


def store(module: Any, component: str, name: str) -> None:
    """Store the one weight file that the module's own `save_pretrained` writes."""
    with TemporaryDirectory() as temporary:
        module.save_pretrained(temporary)
        (file,) = Path(temporary).glob("*.safetensors")
        (HERE / f"{component}.{name}.safetensors").write_bytes(file.read_bytes())


def save_bitsandbytes_layers(toy: Path) -> None:
    """bitsandbytes' layers in a transformer: diffusers quantises with them on a GPU only."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt
    from diffusers import CogVideoXTransformer3DModel

    module = CogVideoXTransformer3DModel.from_pretrained(toy / "transformer")
    layers = module.transformer_blocks[0].ff.net
    for place, cls in ((layers[0], Linear8bitLt), (layers, Linear4bit)):
        key = "proj" if cls is Linear8bitLt else "2"
        plain = place.get_submodule(key)
        options = {"has_fp16_weights": False} if cls is Linear8bitLt else {"quant_type": "nf4"}
        quantised = cls(plain.in_features, plain.out_features, **options)
        quantised.load_state_dict(plain.state_dict())
        place._modules[key] = quantised.to("cpu")
    tensors = {k: v.contiguous() for k, v in module.state_dict().items()}
    save_file(tensors, HERE / "transformer.bitsandbytes_layers.safetensors")


def save_gguf(toy: Path) -> None:
    """A GGUF file with one layer in Q4_0."""
    from gguf import GGMLQuantizationType, GGUFWriter, quantize
    from safetensors.torch import load_file

    weights = load_file(toy / "transformer" / "diffusion_pytorch_model.safetensors")
    key = "transformer_blocks.0.attn1.to_q.weight"
    writer = GGUFWriter(HERE / "transformer.q4_0.gguf", "cogvideox")
    kind = GGMLQuantizationType.Q4_0
    writer.add_tensor(key, quantize(weights[key].float().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
