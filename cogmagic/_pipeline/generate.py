"""One run on a placed pipeline: encode the prompts, denoise, decode. Knows nothing of tiers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from cogmagic._models.chunks import chunk_spans
from cogmagic._models.request import Request
from cogmagic._pipeline.chunks import FinishedChunks, in_chunks
from cogmagic._pipeline.coder_calls import counted_calls, decoder_calls, odd_count
from cogmagic._pipeline.encode import OnEncoded, embeddings_of
from cogmagic._pipeline.finite import FiniteCheck
from cogmagic._pipeline.guidance import guidance_interval
from cogmagic._pipeline.inpainting.paste_back import pasted, without_bars
from cogmagic._pipeline.parallel.decode import decoding_in_parallel
from cogmagic._pipeline.parallel.group import Rank
from cogmagic._pipeline.parallel.transformer import in_parallel
from cogmagic._pipeline.preview import OnPreview, Preview
from cogmagic._pipeline.run_inputs import run_of
from cogmagic._pipeline.windows import in_windows
from cogmagic._progress import Clock

if TYPE_CHECKING:
    import numpy as np
    import torch

    Array = np.ndarray[Any, Any]

__all__ = ["generate_frames"]


def generate_frames(
    pipe: Any,
    request: Request,
    clock: Clock,
    finite: FiniteCheck,
    *,
    embeddings: tuple[torch.Tensor, ...] | None = None,
    on_encoded: OnEncoded | None = None,
    on_preview: OnPreview | None = None,
    denoising: Callable[[], AbstractContextManager[object]] = nullcontext,
    rank: Rank | None = None,
    clip: Array | None = None,
    mask: Array | None = None,
    finished: FinishedChunks | None = None,
) -> Array:
    """Encode the prompts, denoise, decode: uint8 RGB, frames × height × width × 3.

    Args:
        pipe: placed on its device.
        request: what to generate.
        clock: reports phases and steps.
        finite: checks the embeddings, the latents of every step and the decoded frames.
        embeddings: those of the prompts, if they were encoded before.
        on_encoded: called with embeddings that were made here.
        on_preview: called with previews while the video forms.
        denoising: makes a context in which the transformer runs, for each chunk of a long clip.
        rank: this process, where several make the video: all call this with the same request. Rank
            0 alone encodes the prompts, shows previews and returns frames; the others return none.
            From denoising on, a run that is stopped ends on all ranks after the same step.
        clip: the video to begin from, as many frames of the same size: uint8 RGB; None for noise.
        mask: which part of it is made new, by a model that inpaints: uint8, frames × height ×
            width, in the levels of `cogmagic._models.masks.levels`; None for everywhere.
        finished: the chunks of a long clip that an earlier attempt has finished; receives those
            that this one finishes.

    Raises:
        NonFiniteError: for NaN or infinity in the embeddings, the latents or the frames.
        FirstRankError: on the other ranks, where rank 0 could not encode the prompts.
    """
    from cogmagic._pipeline.load import scheduler_for

    pipe.scheduler = scheduler_for(pipe, request)
    _widen_positions(pipe, request)
    encode = partial(embeddings_of, pipe, request, clock, finite, embeddings, on_encoded)
    ready = rank.shared(lambda: tuple(e.cpu() for e in encode())) if rank else encode()
    embeddings = tuple(embeds.to(pipe._execution_device) for embeds in ready)
    if rank is not None and not rank.first:
        on_preview = None

    def make(part: Request, clip: Array | None, mask: Array | None, clock: Clock) -> Array:
        with (
            in_parallel(pipe.transformer, rank) if rank else nullcontext(),
            denoising(),
            in_windows(pipe.transformer, part),
            _guided(pipe, part),
        ):
            latents = _denoise(pipe, part, clock, finite, embeddings, on_preview, clip, mask)
        finite.settle()
        latents = odd_count(latents)
        if rank is None:
            return _decode(pipe, latents, clock, finite)[: part.num_frames]
        return _decode_in_parallel(pipe, latents, clock, finite, rank)[: part.num_frames]

    with clock.stopping_together(rank.agree) if rank else nullcontext():
        finished = finished or FinishedChunks(chunk_spans(request))
        frames = in_chunks(request, clip, mask, clock, rank, make, finished)
        if request.paste_back and len(frames) and clip is not None and mask is not None:
            frames = pasted(frames, clip, mask)
        return without_bars(frames, request)


def _denoise(
    pipe: Any,
    request: Request,
    clock: Clock,
    finite: FiniteCheck,
    embeddings: tuple[torch.Tensor, ...],
    on_preview: OnPreview | None,
    clip: Array | None,
    mask: Array | None,
) -> torch.Tensor:
    """The denoised latents [1, frames, channels, height, width]."""
    import torch

    steps = request.denoising_steps
    preview = Preview(pipe, on_preview) if on_preview is not None else None

    def begin() -> None:
        clock.phase("denoise", steps, note=preview.note if preview else "")

    def after_step(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        latents = tensors["latents"]
        finite(latents, f"In step {index + 1} of {steps}, the transformer computed")
        if latents.is_cuda:
            torch.cuda.synchronize(latents.device)  # a step counts when the GPU has finished it
        finite.read()  # needs no wait of its own after that one
        clock.step(index + 1, steps)
        if preview is not None:
            preview(latents)
        clock.check_together()
        return tensors

    dtype = embeddings[0].dtype
    run, inputs, encoding = run_of(pipe, request, clip, mask, dtype, clock, finite, begin)
    with encoding:
        latents: torch.Tensor = run(
            prompt_embeds=embeddings[0],
            negative_prompt_embeds=embeddings[1] if request.guided else None,
            height=request.height,
            width=request.width,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            use_dynamic_cfg=request.use_dynamic_cfg,
            generator=torch.Generator("cpu").manual_seed(request.seed),
            output_type="latent",
            callback_on_step_end=after_step,
            max_sequence_length=request.model.max_tokens,
            **inputs,
        ).frames
    if request.model.inpaints:  # which is padded at its end
        return latents[:, : request.latent_frames]
    # CogVideoX 1.5 pads the front to whole temporal patches; with latents as output the pipeline
    # leaves the padding in.
    return latents[:, latents.shape[1] - request.latent_frames :]


def _guided(pipe: Any, request: Request) -> AbstractContextManager[None]:
    """Guidance in the request's interval."""
    if not request.partly_guided:
        return nullcontext()
    return guidance_interval(pipe.transformer, request.guided_steps)


def _widen_positions(pipe: Any, request: Request) -> None:
    """Let CogVideoX 1.5 count positions as far as the request's sides reach.

    It slices them from a grid of the configured (landscape) size, in which a portrait clip has too
    few rows (zai-org/CogVideo issue 758). A larger grid changes none of the positions in it.
    """
    config = pipe.transformer.config
    if config.patch_size_t is None:
        return
    scale = pipe.vae_scale_factor_spatial
    pipe.transformer.register_to_config(
        sample_height=max(config.sample_height, request.height // scale),
        sample_width=max(config.sample_width, request.width // scale),
    )


def _decode(pipe: Any, latents: torch.Tensor, clock: Clock, finite: FiniteCheck) -> Array:
    """uint8 RGB of the latents, with a step of the clock for each call of the decoder."""
    total = decoder_calls(pipe.vae, latents)
    clock.phase("decode", total)
    with counted_calls(pipe.vae, "decoder", total, clock, finite):
        video = pipe.decode_latents(latents)[0]  # 3 × frames × height × width, -1 to 1
    return _pixels(video, pipe._execution_device, finite)


def _decode_in_parallel(
    pipe: Any, latents: torch.Tensor, clock: Clock, finite: FiniteCheck, rank: Rank
) -> Array:
    """`_decode` on rank 0 with the other ranks' tiles; no frames on the others."""
    import numpy as np

    with decoding_in_parallel(pipe.vae, rank, latents):
        if rank.first:
            finite.defer()  # an error here would leave the others waiting
            frames = _decode(pipe, latents, clock, finite)
        else:
            clock.phase("decode")
            pipe.decode_latents(latents)
            frames = np.empty((0, 0, 0, 3), np.uint8)
    clock.check_together()
    finite.settle()
    return frames


def _pixels(video: torch.Tensor, device: torch.device, finite: FiniteCheck) -> Array:
    """uint8 RGB of a clip [3, frames, height, width] in -1..1, converted on `device` by frames.

    In float32 and all at once a clip of CogVideoX 1.5 would take 3 GiB more.
    """
    import torch

    _, count, height, width = video.shape
    frames = torch.empty((count, height, width, 3), dtype=torch.uint8)
    for i in range(count):
        frame = video[:, i].to(device).float()
        finite(frame, f"In frame {i + 1} of {count}, the VAE computed")
        frame = (frame / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
        # Put in order on the device: on the host that takes ten times as long as the copy.
        frames[i] = frame.permute(1, 2, 0).contiguous()
    finite.read()
    pixels: Array = frames.numpy()
    return pixels
