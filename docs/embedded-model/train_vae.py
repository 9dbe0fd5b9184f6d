"""Stage 1: train the video autoencoder on rendered clips.

    python docs/embedded-model/train_vae.py --seconds 330 --out build/tiny

writes build/tiny/vae; `--start build/tiny/vae --decoder-only` then sharpens the decoder while the
latents stay what they are, which can run beside stage 2. Training cuts
time into chunks exactly as inference does (9 + 8 frames in, 3 + 2 latent frames out, with the
convolution cache), because the group norms see one chunk each.
"""

from __future__ import annotations

import argparse
import copy
import random
import types
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLCogVideoX
from diffusers.models.autoencoders.autoencoder_kl_cogvideox import CogVideoXSpatialNorm3D

from clips import (
    FRAMES,
    SIZE,
    Scenes,
    heldout_combinations,
    place,
    render,
    sample_attributes,
    sample_tiles,
    training_combinations,
)
from fast import Clock, GraphedLoss, Weights, working_dtype

# Heights and widths of training crops: the native size, a whole tile, and the narrow tiles that
# remain at the right and lower edges of larger clips. One in eight steps uses each of the last two.
NATIVE = (SIZE, SIZE)
CROPS = ((96, 120), (96, 48), (32, 120))
KL_WEIGHT = 5e-5
EDGE_WEIGHT = 6.0


def build_vae(channels: tuple[int, ...], latent_channels: int) -> AutoencoderKLCogVideoX:
    """The untrained autoencoder; tiles are 96 x 120 pixels (half of the sample size)."""
    return AutoencoderKLCogVideoX(
        block_out_channels=channels,
        latent_channels=latent_channels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_height=192,
        sample_width=240,
        scaling_factor=1.0,
    )


def _spread_in_time(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Repeat latent frames [B, C, t, h, w] to `frames`; an odd count keeps its first frame once."""
    first = x[:, :, : frames % 2 if frames > 1 else 0]
    rest = x[:, :, first.shape[2] :]
    times = (frames - first.shape[2]) // rest.shape[2]
    rest = rest[:, :, :, None].expand(-1, -1, -1, times, -1, -1).flatten(2, 3)
    return torch.cat([first, rest], dim=2)


def _fast_spatial_norm(
    self: CogVideoXSpatialNorm3D,
    f: torch.Tensor,
    zq: torch.Tensor,
    conv_cache: object = None,  # noqa: ARG001 - a 1 x 1 x 1 convolution keeps nothing
) -> tuple[torch.Tensor, dict]:
    """The same function as `CogVideoXSpatialNorm3D.forward`, without upsampling the latents.

    A 1 x 1 x 1 convolution commutes with nearest-neighbour upsampling, so scale and shift are
    computed at the latents' resolution and broadcast over each block of pixels.
    """
    b, c, t, h, w = f.shape
    lh, lw = zq.shape[-2:]
    scale = _spread_in_time(self.conv_y.conv(zq), t)[:, :, :, :, None, :, None]
    shift = _spread_in_time(self.conv_b.conv(zq), t)[:, :, :, :, None, :, None]
    normed = self.norm_layer(f).view(b, c, t, lh, h // lh, lw, w // lw)
    return torch.addcmul(shift, normed, scale).view(b, c, t, h, w), {}


def speed_up(vae: AutoencoderKLCogVideoX) -> None:
    """Replace the spatial norms' forward by the faster equal one (training only)."""
    for module in vae.modules():
        if isinstance(module, CogVideoXSpatialNorm3D):
            module.forward = types.MethodType(_fast_spatial_norm, module)


def vae_loss(
    vae: AutoencoderKLCogVideoX, clips: torch.Tensor, decoder_only: bool = False
) -> torch.Tensor:
    """Reconstruction (L1 + squared, heavier at edges) plus a small KL term."""
    with torch.set_grad_enabled(not decoder_only):
        mean, log_variance = vae._encode(clips).chunk(2, dim=1)
    mean, log_variance = mean.float(), log_variance.float().clamp(-20, 10)
    z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    difference = (vae._decode(z.to(clips.dtype)).sample - clips).float()

    along_x = F.pad((clips[..., 1:] - clips[..., :-1]).abs(), (0, 1))
    along_y = F.pad((clips[..., 1:, :] - clips[..., :-1, :]).abs(), (0, 0, 0, 1))
    edges = (along_x + along_y).amax(1, keepdim=True).clamp(max=1)
    edges = F.max_pool3d(edges, (1, 5, 5), stride=1, padding=(0, 2, 2)).float()
    weight = 1 + EDGE_WEIGHT * edges
    error = (weight * (difference.abs() + difference.square())).mean()
    kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return error + KL_WEIGHT * kl


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB of each clip; both are [B, 3, F, H, W] in -1..1."""
    error = (a.clamp(-1, 1) - b).float().square().mean(dim=(1, 2, 3, 4))
    return 10 * torch.log10(4 / error)


def native_scenes(count: int, seed: int, device: torch.device, heldout: bool = False) -> Scenes:
    """Scenes at the native size from the training (or the held-out) combinations."""
    choices = heldout_combinations() if heldout else training_combinations()
    generator = torch.Generator(device).manual_seed(seed)
    return place(sample_attributes(count, choices, random.Random(seed)), generator)


@torch.no_grad()
def check(vae: AutoencoderKLCogVideoX, clips: torch.Tensor) -> tuple[float, float]:
    """Mean and worst PSNR of a round trip."""
    batches = clips.to(vae.dtype).split(16)
    values = torch.cat(
        [psnr(vae.decode(vae.encode(x).latent_dist.mode()).sample, x) for x in batches]
    )
    return values.mean().item(), values.min().item()


@torch.no_grad()
def set_scaling_factor(vae: AutoencoderKLCogVideoX, clips: torch.Tensor) -> None:
    """Set `scaling_factor` to one over the latents' standard deviation and print its parts."""
    latents = torch.cat([vae.encode(x.to(vae.dtype)).latent_dist.mode() for x in clips.split(16)])
    parts = latents.float().std(dim=(0, 2, 3, 4)).tolist()
    print("latent std per channel:", " ".join(f"{p:.2f}" for p in parts), flush=True)
    vae.register_to_config(scaling_factor=round(1 / latents.float().std().item(), 5))


def train(args: argparse.Namespace) -> None:
    """Train for `args.seconds` and save the averaged weights to `args.out`/vae."""
    device, out = torch.device(args.device), Path(args.out)
    torch.manual_seed(args.seed)
    if args.start:
        vae = AutoencoderKLCogVideoX.from_pretrained(args.start).float()
    else:
        vae = build_vae(tuple(args.channels), args.latent_channels)
    final = copy.deepcopy(vae).to(device).eval()
    trained, finished = (v.decoder if args.decoder_only else v for v in (vae, final))
    print(f"{sum(p.numel() for p in vae.parameters()):,} parameters", flush=True)
    speed_up(vae)
    weights = Weights([trained], device, args.decay)
    vae.to(device, working_dtype(device))
    generator = torch.Generator(device).manual_seed(args.seed)
    pool = native_scenes(args.pool, args.seed, device)
    unseen = render(native_scenes(32, 1, device, heldout=True))

    def draw(size: tuple[int, int]) -> torch.Tensor:
        tiles = args.batch if size != NATIVE else args.batch // 2
        clips = render(sample_tiles(tiles, generator, *size), *size, FRAMES)
        if size == NATIVE:
            index = torch.randint(
                args.pool, (args.batch - tiles,), generator=generator, device=device
            )
            clips = torch.cat([clips, render(pool.take(index))])
        return clips.to(working_dtype(device))

    losses = {}
    for size in (NATIVE, *CROPS):
        torch.backends.cudnn.benchmark = size == NATIVE
        losses[size] = GraphedLoss(
            lambda x: vae_loss(vae, x, args.decoder_only), (draw(size),), weights.working
        )
    torch.backends.cudnn.benchmark = False

    clock, reported, step = Clock(args.seconds, args.rate, device), 0.0, 0
    while not clock.over(step) and step < args.max_steps:
        narrow = CROPS[1 + step // 8 % 2]
        size = {0: CROPS[0], 4: narrow}.get(step % 8, NATIVE)
        value = losses[size](draw(size))
        weights.step(clock.rate(step))
        step += 1
        if step % 20 == 0 and clock.elapsed - reported > args.every:
            reported = clock.elapsed
            with weights.averaged():
                mean, worst = check(vae, unseen)
                vae.save_pretrained(out / "vae")
            print(
                f"{clock.elapsed:5.0f} s  step {step}  loss {value.item():.4f}  "
                f"PSNR {mean:.2f} dB, worst {worst:.2f}",
                flush=True,
            )

    with torch.no_grad():
        torch._foreach_copy_(list(finished.parameters()), weights.average)
    if not args.decoder_only:
        set_scaling_factor(final, render(native_scenes(256, 2, device)))
    mean, worst = check(final.half().float(), unseen)
    print(f"steps {step}; float16 weights: PSNR {mean:.2f} dB, worst {worst:.2f}", flush=True)
    final.half().save_pretrained(out / "vae")


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/tiny")
    parser.add_argument("--start", help="autoencoder folder whose weights to continue from")
    parser.add_argument("--decoder-only", action="store_true", help="keep the encoder as it is")
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--max-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.999)
    parser.add_argument("--channels", type=int, nargs=4, default=[16, 32, 48, 64])
    parser.add_argument("--latent-channels", type=int, default=16)
    parser.add_argument("--pool", type=int, default=20000)
    parser.add_argument("--every", type=float, default=15, help="seconds between reports")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
