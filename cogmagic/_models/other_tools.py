"""The words of other tools for what cogmagic calls otherwise: A1111, ComfyUI, diffusers, the demo.

Sources: the options of stable-diffusion-webui and its API, the inputs of ComfyUI's samplers and
video nodes, the arguments of diffusers' pipelines, and ``inference/cli_demo.py`` of CogVideo.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["known_elsewhere", "lora_in_prompt"]


_SAME = {
    "guidance-scale": "cfg cfg-scale guidance scale text-guidance classifier-free-guidance g",
    "num-inference-steps": "sampling-steps num-steps inference-steps denoising-steps sample-steps"
    " infer-steps n-steps ddim-steps",
    "num-frames": "length frame frame-count n-frames video-length frames-number",
    "negative-prompt": "negative neg neg-prompt n-prompt nprompt uc",
    "seed": "noise-seed random-seed rand-seed manual-seed generator",
    "scheduler": "sampler sampler-name sampling-method sample-solver solver sampler-index",
    "image": "image-path image-or-video-path init-image init-img input-image start-image"
    " first-frame start-frame img image-url",
    "model": "checkpoint ckpt ckpt-name model-path model-name model-id repo pretrained-model"
    " pretrained-model-name-or-path base-model unet-name sd-model-checkpoint m",
    "dtype": "precision torch-dtype weight-dtype",
    "fps": "frame-rate framerate frames-per-second",
    "save": "output output-path output-dir output-file outdir outfile filename filename-prefix"
    " save-path save-dir save-name",
    "overwrite": "force",
    "compile": "torch-compile use-compile enable-compile",
    "vram-limit": "vram max-vram vram-budget max-memory memory-limit gpu-memory reserve-vram",
    "gpus": "gpu-id device-id cuda-device devices",
    "fp8": "quantize quantization quant load-in-8bit int8 fp8-e4m3fn fp8-e4m3fn-fast",
    "lora": "loras lora-path lora-name lora-file lora-model lora-model-path lora-weights lora-dir",
    "truncate": "max-sequence-length",
}
"""cogmagic's options, each with other tools' words for it."""


_VALUES = {
    "--dtype float16": "fp16 half float16",
    "--dtype bfloat16": "bf16 bfloat16",
    "--dtype float32": "fp32 float32 no-half no-half-vae full-precision force-fp32",
    "--tier none": "highvram gpu-only no-offload",
    "--tier model": "offload cpu-offload medvram model-offload model-cpu-offload"
    " enable-model-cpu-offload",
    "--tier stream": "group-offload enable-group-offload block-swap blocks-to-swap blockswap",
    "--tier sequential": "lowvram novram sequential-offload sequential-cpu-offload"
    " enable-sequential-cpu-offload",
    "--tier balanced": "device-map multi-gpu",
}
"""cogmagic's options with a value, each with other tools' switches for it."""


_ADVICE = {
    "width height w h resolution res dimensions image-size video-size sample-size aspect-ratio"
    " ratio": "Give both sides in pixels: --size 720x480.",
    "prompt p positive positive-prompt text caption": "The prompt goes into the cell's body, below"
    " the line with the options.",
    "duration seconds time secs video-duration": "A clip's length is its number of frames: --frames"
    " with seconds × fps + 1, so 6 s at 8 fps are --frames 49.",
    "num-videos num-videos-per-prompt batch batch-size batch-count n-iter num-samples n seeds"
    " num-images": "A cell makes one video. For several, call cogmagic.generate in a loop.",
    "lora-scale lora-weight lora-strength strength-model adapter-weights": "The weight of a LoRA"
    " follows its path: --lora style.safetensors@0.8.",
    "video init-video input-video strength denoise denoising-strength video-path": "cogmagic makes"
    " videos from text or from a first frame (--image), not from a clip.",
    "controlnet control control-image": "cogmagic does not run ControlNets.",
    "vae-tiling vae-slicing enable-vae-tiling enable-vae-slicing enable-tiling enable-slicing"
    " tiled-vae tiling tile-size": "VAE slicing and tiling are always on: leave it out.",
    "xformers sdpa opt-sdp-attention flash-attn flash-attention attention attention-backend"
    " attention-slicing attn attn-mode": "torch's fused attention is always on: leave it out.",
    "use-dynamic-cfg dynamic-cfg": "Dynamic guidance is on where the model's authors use it: leave"
    " it out.",
    "eta clip-skip shift flow-shift karras subseed hires-fix": "CogVideoX has no such option: leave"
    " it out.",
    "generate-type task mode t2v i2v": "The model decides: --model 5b makes videos of text, --model"
    " 5b-i2v of a first frame.",
    "gpu device": "The GPUs to use are --gpus 0 or --gpus 0,1; to plan for another card, type"
    ' %cogvideo plan --gpu "RTX 3060".',
    "load-in-4bit gguf nf4 int4": "cogmagic loads plain weights; --fp8 stores the transformer in 8"
    " bits.",
    "teacache fastercache pab cache-threshold": "cogmagic does not skip steps; fewer --steps take"
    " less time.",
    "format codec crf gif webm quality": "Videos are written as H.264 in mp4: leave it out.",
    "verbose quiet debug progress no-progress": "The line under the cell shows the progress: leave"
    " it out.",
    "revision variant cache-dir": "cogmagic takes the hub's main branch, and its usual cache"
    " (HF_HOME): leave it out.",
    "token hf-token use-auth-token": "Set the environment variable HF_TOKEN, or run: hf auth login",
    "upscale upscaler interpolate rife": "cogmagic neither upscales nor interpolates.",
}
"""Other tools' words without one option here, each group with what to do."""


def known_elsewhere(word: str, typed: Callable[[str], str] = "--{}".format) -> str:
    """What another tool's word is here, as a sentence that begins with a space; '' if unknown.

    Args:
        word: as it was typed, with or without dashes; ``_`` and ``-`` are the same.
        typed: an option as one types it, from its name with dashes.
    """
    key = word.lstrip("-").lower().replace("_", "-")
    for name, words in _SAME.items():
        if key in words.split():
            return f" Here it is {typed(name)}."
    for option, words in _VALUES.items():
        if key in words.split():
            return f" Here it is {option}."
    return next((f" {advice}" for words, advice in _ADVICE.items() if key in words.split()), "")


_TAG = re.compile(r"<\s*(?:lora|lyco|lycoris)\s*:\s*([^:<>]+?)\s*(?::\s*([^:<>]*?)\s*)*>", re.I)
"""A1111's LoRA in a prompt: ``<lora:name:0.8>``."""


def lora_in_prompt(text: str) -> str:
    """What to type in place of A1111's LoRAs in a prompt; '' where it has none."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return ""
    typed = " ".join(_as_option(tag[1], tag[2]) for tag in tags)
    return f"{tags[0][0]} is the LoRA of another tool. Delete it from the prompt, and type {typed}"


def _as_option(name: str, weight: str | None) -> str:
    value = f"{name}@{weight}" if weight else name
    return f'--lora "{value}"' if " " in value else f"--lora {value}"
