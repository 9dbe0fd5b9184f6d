"""Names that other tools give to cogmagic's options: A1111, ComfyUI, diffusers, the demo.

Sources: the options of stable-diffusion-webui and its API, the inputs of ComfyUI's samplers and
video nodes, the arguments of diffusers' pipelines, and ``inference/cli_demo.py`` of CogVideo.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = [
    "in_cell",
    "in_python",
    "in_table",
    "known_elsewhere",
    "lora_in_prompt",
    "lora_option",
    "value_elsewhere",
]


_OPTIONS = {
    "{guidance-scale}": "cfg cfg-scale guidance scale text-guidance classifier-free-guidance g",
    "{guidance-from}": "guidance-start guidance-begin cfg-start cfg-from",
    "{guidance-until}": "guidance-end guidance-stop guidance-interval cfg-end cfg-until",
    "{num-inference-steps}": "sampling-steps num-steps inference-steps denoising-steps sample-steps"
    " infer-steps n-steps ddim-steps",
    "{num-frames}": "length frame frame-count n-frames video-length frames-number",
    "{negative-prompt}": "negative neg neg-prompt n-prompt nprompt uc",
    "{seed}": "noise-seed random-seed rand-seed manual-seed generator",
    "{scheduler}": "sampler sampler-name sampling-method sample-solver solver sampler-index",
    "{timesteps}": "custom-timesteps denoising-step-list denoising-steps-list",
    "{video}": "init-video input-video video-path source-video load-video vid2vid v2v",
    "{strength}": "denoise denoising-strength denoise-strength video-strength",
    "{start}": "start-time skip-seconds video-start",
    "{fit}": "resize-mode crop-mode fit-mode resize-method",
    "{image}": "image-path image-or-video-path init-image init-img input-image start-image"
    " first-frame start-frame img image-url image-file",
    "{last-image}": "end-image last-frame end-frame tail-image validation-image-end",
    "{mask}": "mask-video mask-path mask-image video-mask inpaint-mask validation-video-mask",
    "{model}": "checkpoint ckpt ckpt-name model-path model-name model-id repo pretrained-model"
    " pretrained-model-name-or-path model-id-or-path base-model unet-name sd-model-checkpoint m",
    "{dtype}": "precision torch-dtype weight-dtype",
    "{fps}": "frame-rate framerate frames-per-second",
    "{save}": "output output-path output-dir output-file outdir outfile filename filename-prefix"
    " save-path save-dir save-name",
    "{vram-limit}": "vram max-vram vram-budget max-memory memory-limit gpu-memory reserve-vram",
    "{gpus}": "gpu-id device-id cuda-device devices",
    "{parallel all}": "multi-gpu use-all-gpus all-gpus",
    "{parallel}": "num-gpus n-gpus gpu-count nproc nproc-per-node world-size num-processes"
    " ulysses-degree ulysses-size sp-size sp-degree sequence-parallel context-parallel"
    " use-cfg-parallel cfg-parallel cfg-degree ring-degree parallelism",
    "{lora}": "loras lora-path lora-name lora-file lora-model lora-model-path lora-weights"
    " lora-dir lora-model-id-or-path",
    "{dtype float16}": "fp16 half float16",
    "{dtype bfloat16}": "bf16 bfloat16",
    "{dtype float32}": "fp32 float32 float no-half no-half-vae full-precision force-fp32",
    "{tier}": "load-type offload-type",
    "{tier none}": "highvram gpu-only no-offload",
    "{tier model}": "offload cpu-offload medvram model-offload model-cpu-offload"
    " enable-model-cpu-offload",
    "{tier stream}": "group-offload enable-group-offload block-swap blocks-to-swap blockswap",
    "{tier sequential}": "lowvram novram sequential-offload sequential-cpu-offload"
    " enable-sequential-cpu-offload low-memory",
    "{tier balanced}": "device-map",
    "{fp8 True}": "fp8-e4m3fn fp8-e4m3fn-fast",
    "{quantize int8}": "quantization quant load-in-8bit int8 quantization-scheme",
    "{quantize nf4}": "load-in-4bit nf4 int4",
    "{attention}": "attention-backend attention-type attn attn-mode attn-backend"
    " attn-implementation flash-attn flash-attention flash-attn2 use-flash-attn"
    " use-flash-attention",
    "{attention fa3}": "flash-attn3 flash-attention3 use-flash-attn3 fa3",
    "{attention sage}": "sage sage-attn sage-attention sageattn sageattention use-sage-attention",
    "{compile True}": "torch-compile use-compile enable-compile",
    "{speed exact}": "exact deterministic bit-exact reproducible",
    "{speed fast}": "fast speedup speed-up optimize optimise",
    "{speed faster}": "faster fastest max-speed",
    "{overwrite True}": "force",
    "{truncate True}": "max-sequence-length",
}
"""cogmagic's options, some with a value, each with the names that other tools give it."""


_ADVICE: dict[str, str | tuple[str, str]] = {
    "width height w h resolution res dimensions image-size video-size sample-size aspect-ratio"
    " ratio": "Give both sides in pixels: {size 720x480}.",
    "prompt p positive positive-prompt text caption": (
        "The prompt goes in the body of the cell, below the line with the options.",
        "The prompt is the first argument.",
    ),
    "duration seconds time secs video-duration": "The length of a clip is set in frames, seconds ×"
    " fps + 1: for 6 s at 8 fps, {frames 49}.",
    "num-videos-per-prompt batch batch-size batch-count n-iter num-samples n num-images": (
        "For several videos of a prompt: {num-videos 4}, or {seeds 1,2,3}.",
        "For several videos: cogmagic.generate_many([prompt], num_videos=4).",
    ),
    "lora-scale lora-weight lora-strength strength-model adapter-weights": "The weight of a LoRA"
    " follows its path: {lora style.safetensors@0.8}.",
    "skip-frames-start skip-frames-end skip-first-frames frame-sample-step frame-load-cap"
    " select-every-nth max-num-frames": "A video is read from {start 1.5} (seconds) on, at the"
    " model's frames per second, as far as the clip needs: {frames 49}.",
    "lora-rank network-dim": "The rank of a LoRA is read from its file. Leave it out.",
    "transformer-path": "Put the transformer into the checkpoint's folder, and name that:"
    " {model FOLDER}.",
    "lcm lightning turbo tdm dmd distilled few-step fast-mode": "A few-step adapter with its"
    " settings is a preset: {preset tdm} with {model 2b}.",
    "controlnet control control-image": "cogmagic does not support ControlNet.",
    "vae-tiling vae-slicing enable-vae-tiling enable-vae-slicing enable-tiling enable-slicing"
    " tiled-vae tiling tile-size": "VAE slicing and tiling are always on. Leave it out.",
    "xformers sdpa opt-sdp-attention attention-slicing": "torch's fused attention is always on."
    " Leave it out.",
    "use-dynamic-cfg dynamic-cfg": "Dynamic guidance is on for the models whose authors use it."
    " Leave it out.",
    "eta clip-skip shift flow-shift karras subseed hires-fix": "CogVideoX has no such option."
    " Leave it out.",
    "generate-type task mode t2v i2v": "The model decides: {model 5b} makes videos from text, or"
    " from a video beside it ({video}), {model 5b-i2v} from a first frame.",
    "gpu device": (
        "To choose among this machine's GPUs: {gpus 0} or {gpus 0,1}. To plan for another card:"
        ' %cogvideo plan --gpu "RTX 3060".',
        "To choose among this machine's GPUs: {gpus 0} or {gpus 0,1}. To plan for another card:"
        ' cogmagic.plan(machine=cogmagic.Machine.of("RTX 3060")).',
    ),
    "cluster ray ray-address cluster-address num-nodes nnodes node-rank num-workers": (
        "To make the rows of a batch on all GPUs, type %cogvideo cluster local in a cell of its"
        " own.",
        'To make the rows of a batch on all GPUs: cogmagic.cluster("local").',
    ),
    "gguf": "cogmagic does not load GGUF. To store weights in 4 bits: {quantize nf4}. To store the"
    " transformer in 8 bits: {fp8 True}.",
    "teacache fastercache pab cache-threshold": "cogmagic's step cache skips blocks that hardly"
    " change: {cache first-block:0.08}.",
    "format output-format container mp4 gif webm png save-frames": "The suffix of the file sets its"
    " format: {save fox.mp4}, {save fox.gif}, {save fox.webm}, or {save fox.png} for a folder of"
    " frames.",
    "loop looping loop-count": "The player and GIFs play in a loop. Leave it out.",
    "style styles style-preset camera camera-motion motion motion-strength": "Describe it in the"
    " prompt, or give a LoRA of that style: {lora style.safetensors}.",
    "cpu use-cpu cpu-only": "cogmagic computes on the CPU where it has no GPU. To use less VRAM:"
    " {tier model}, or {tier sequential} for the least. To hide the GPUs, set"
    " CUDA_VISIBLE_DEVICES=-1 before the kernel starts.",
    "codec crf quality bitrate": "The codec and its quality are fixed. Leave it out.",
    "verbose quiet debug progress no-progress": (
        "The progress is always shown under the cell. Leave it out.",
        "cogmagic.generate shows its progress. To hide it: {progress False}.",
    ),
    "revision variant cache-dir": "cogmagic loads the main branch from the hub, and caches it in"
    " the folder that HF_HOME names. Leave it out.",
    "token hf-token use-auth-token": "Set the environment variable HF_TOKEN, or run 'hf auth login'"
    " in a terminal.",
    "upscale upscaler interpolate rife": "cogmagic neither upscales nor interpolates.",
    "version": "The version is cogmagic.__version__ in Python.",
}
"""Names without one option here, each group with what to do; a pair is for cells and for Python."""


_IN_PYTHON = {
    "out": "cogmagic.generate returns the video: clip = cogmagic.generate(...).",
    "dry-run": "To plan without a run, call cogmagic.plan(...).",
    "which-gpu": "To compare cards, type %cogvideo plan --which-gpu in a cell.",
}
"""Options of cells that Python does not take, each with what to do instead."""


_FIELD = re.compile(r"\{([a-z0-9-]+) ?([^}]*)\}")
"""An option in an advice, with or without a value: ``{dtype float16}``."""


def in_cell(name: str, value: str) -> str:
    """An option as one types it in a cell: ``--dtype float16``; a switch has no value."""
    return f"--{name} {value}" if value not in ("", "True") else f"--{name}"


def in_python(name: str, value: str) -> str:
    """An option as one types it in Python: ``dtype="float16"``."""
    literal = value if value.isdecimal() or value in ("", "True", "False") else f'"{value}"'
    return f"{name.replace('-', '_')}={literal}"


def in_table(name: str, value: str) -> str:
    """An option as one types it in a table of prompts, a column; with a value, as in a cell."""
    return in_cell(name, value) if value else repr(name.replace("-", "_"))


def known_elsewhere(word: str, typed: Callable[[str, str], str] = in_cell) -> str:
    """A sentence on what another tool's name is here, after a space; '' if the name is unknown.

    Args:
        word: as it was typed, with or without dashes; ``_`` and ``-`` are the same.
        typed: an option as one types it where the word was typed: `in_cell`, `in_python` or
            `in_table`; takes its name with dashes, and its value or ''.
    """
    key, python = word.lstrip("-").lower().replace("_", "-"), typed is in_python
    advice = (*_ADVICE.items(), *(_IN_PYTHON.items() if python else ()))
    rows = (*((words, f"Use {option}.") for option, words in _OPTIONS.items()), *advice)
    switched = _SWITCHED.sub("", key)
    text = next((text for words, text in rows if _is_among(key, words)), None) or next(
        (text for words, text in advice if switched != key and _is_among(switched, words)), ""
    )
    sentence = text if isinstance(text, str) else text[python]
    return f" {_FIELD.sub(lambda field: typed(*field.groups()), sentence)}" if sentence else ""


_SWITCHED = re.compile(r"^(no|disable|enable|use|with|without)-")
"""How other tools begin the names of switches: ``--no-vae-tiling``."""


def _is_among(key: str, words: str) -> bool:
    """Whether `key` is one of the words, wherever their hyphens are."""
    return key.replace("-", "") in words.replace("-", "").split()


def value_elsewhere(option: str, value: str) -> str:
    """The value of an option that other tools call `value`; '' if the name is unknown."""
    key = re.sub(r"[\s_]+", "-", value.strip().lower())
    for field, words in _OPTIONS.items():
        name, known = field.strip("{}").partition(" ")[::2]
        if name == option and known and _is_among(key, words):
            return known
    return ""


_TAG = re.compile(
    r"<\s*(?:lora|lyco|lycoris)\s*:\s*([^:<>]+?)\s*(?::\s*([^:<>]*?)\s*)?(?::[^<>]*)?>", re.I
)
"""A1111's LoRA in a prompt: ``<lora:name:0.8>``; a second weight is the text encoder's."""


def lora_in_prompt(text: str) -> str:
    """What to type in place of A1111's LoRAs in a prompt; '' where it has none."""
    tags = list(_TAG.finditer(text))
    if not tags:
        return ""
    typed = " ".join(lora_option(tag[1], tag[2]) for tag in tags)
    return (
        f"{tags[0][0]} is how other tools name a LoRA. Delete it from the prompt, and type {typed}"
    )


def lora_option(source: str, weight: object = None) -> str:
    """The option for a LoRA, as one types it in a cell."""
    value = f"{source}@{weight}" if weight else source
    return f'--lora "{value}"' if " " in value else f"--lora {value}"
