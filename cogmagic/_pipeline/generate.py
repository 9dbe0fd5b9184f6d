"""The run itself: encode the text, denoise, decode. Knows nothing of tiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cogmagic._models.request import Request
from cogmagic._pipeline.preview import OnPreview, Preview
from cogmagic._pipeline.prompt_cache import Texts
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["generate_frames"]


def generate_frames(
    pipe: Any,
    request: Request,
    clock: Clock,
    texts: Texts,
    kept: tuple[torch.Tensor, ...] | None = None,
    show: OnPreview | None = None,
) -> np.ndarray[Any, Any]:
    """Encode the text, denoise, decode: uint8 RGB, frames × height × width × 3.

    Args:
        pipe: placed on its device.
        request: what to generate.
        clock: is told of phases and steps.
        texts: where new embeddings are kept.
        kept: those of the prompts, if they were encoded before.
        show: is given previews of the video while it forms.
    """
    import torch

    from cogmagic._pipeline.load import scheduler_for

    pipe.scheduler = scheduler_for(pipe, request)
    _widen_positions(pipe, request)
    positive, negative = _embeddings(pipe, request, clock, texts, kept)
    steps = request.num_inference_steps
    preview = Preview(pipe, show) if show is not None else None
    clock.phase("denoise", steps, note=preview.note if preview else "")

    def stepped(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if tensors["latents"].is_cuda:
            torch.cuda.synchronize()  # a step counts when the GPU has done it
        clock.step(index + 1, steps)
        if preview is not None:
            preview(tensors["latents"])
        return tensors

    image = {} if request.image is None else {"image": request.image}
    latents = pipe(
        prompt_embeds=positive,
        negative_prompt_embeds=negative,
        height=request.height,
        width=request.width,
        num_frames=request.num_frames,
        num_inference_steps=steps,
        guidance_scale=request.guidance_scale,
        use_dynamic_cfg=request.use_dynamic_cfg,
        generator=torch.Generator("cpu").manual_seed(request.seed),
        output_type="latent",
        callback_on_step_end=stepped,
        max_sequence_length=request.model.max_tokens,
        **image,
    ).frames
    # CogVideoX 1.5 pads the front to whole temporal patches; with latents as output the pipeline
    # leaves the padding in.
    latents = latents[:, latents.shape[1] - request.latent_frames :]
    return _decode(pipe, latents, clock)


def _embeddings(
    pipe: Any,
    request: Request,
    clock: Clock,
    texts: Texts,
    kept: tuple[torch.Tensor, ...] | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The prompt's, and with guidance the negative prompt's: each [1, tokens, width]."""
    device, guided = pipe._execution_device, request.guidance_scale > 1.0
    if kept is not None:
        found = [embeds.to(device) for embeds in kept]
        return found[0], found[1] if guided else None
    clock.phase("encode")
    positive, negative = pipe.encode_prompt(
        request.prompt,
        request.negative_prompt,
        guided,
        max_sequence_length=request.model.max_tokens,
        device=device,
    )
    texts.write([positive, negative] if guided else [positive])
    return positive, negative


def _widen_positions(pipe: Any, request: Request) -> None:
    """Let CogVideoX 1.5 count positions as far as the request's sides reach.

    It slices them from a grid of the configured (landscape) size, so a portrait clip would find
    too few rows (zai-org/CogVideo issue 758). A larger grid changes none of the positions in it.
    """
    config = pipe.transformer.config
    if config.patch_size_t is None:
        return
    scale = pipe.vae_scale_factor_spatial
    pipe.transformer.register_to_config(
        sample_height=max(config.sample_height, request.height // scale),
        sample_width=max(config.sample_width, request.width // scale),
    )


def _decode(pipe: Any, latents: torch.Tensor, clock: Clock) -> np.ndarray[Any, Any]:

    total = _decoder_calls(pipe.vae, latents)
    clock.phase("decode", total)
    done = 0

    def decoded(*_: Any) -> None:
        nonlocal done
        done += 1
        clock.step(done, total)

    handle = pipe.vae.decoder.register_forward_hook(decoded)
    try:
        video = pipe.decode_latents(latents)[0]  # 3 × frames × height × width, -1 to 1
    finally:
        handle.remove()
    return _pixels(video, pipe._execution_device)


def _pixels(video: torch.Tensor, device: torch.device) -> np.ndarray[Any, Any]:
    """uint8 RGB of a clip [3, frames, height, width] in -1..1, made on `device` frame by frame.

    In float32 and all at once a clip of CogVideoX 1.5 would take 3 GiB more.
    """
    import numpy as np
    import torch

    _, count, height, width = video.shape
    frames = np.empty((count, height, width, 3), np.uint8)
    for i in range(count):
        frame = (
            (video[:, i].to(device).float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        )
        frames[i] = frame.permute(1, 2, 0).cpu().numpy()
    return frames


def _decoder_calls(vae: Any, latents: torch.Tensor) -> int:
    """How often decoding these latents runs the decoder: tiles × batches of latent frames."""
    _, count, _, height, width = latents.shape
    batches: int = max(count // vae.num_latent_frames_batch_size, 1)
    tile_height, tile_width = vae.tile_latent_min_height, vae.tile_latent_min_width
    if height <= tile_height and width <= tile_width:
        return batches
    down = int(tile_height * (1 - vae.tile_overlap_factor_height))
    right = int(tile_width * (1 - vae.tile_overlap_factor_width))
    return len(range(0, height, down)) * len(range(0, width, right)) * batches
