"""A training loop with validation videos, for any launcher of accelerate's.

    accelerate launch docs/examples/validate_while_training.py
    accelerate launch --use_deepspeed --deepspeed_config_file docs/examples/deepspeed.json \
        docs/examples/validate_while_training.py

Without a GPU add ``--num_processes 1``. It trains the embedded model on noise, to show the calls;
put your own model and batches in.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from diffusers import CogVideoXPipeline

import cogmagic
from cogmagic.training import validation

EMBEDDED = cogmagic.models()["tiny"].folder
accelerator = Accelerator()
pipe = CogVideoXPipeline.from_pretrained(EMBEDDED, use_safetensors=True)
pipe.vae.requires_grad_(False)
pipe.text_encoder.requires_grad_(False)
transformer = pipe.transformer.train()
optimizer = torch.optim.AdamW(transformer.parameters(), lr=1e-4)
model, optimizer = accelerator.prepare(transformer, optimizer)
config, dtype = transformer.config, transformer.dtype
REQUESTS = [
    {"prompt": "a red circle moves to the right", "num_frames": 9, "num_inference_steps": 5}
]

for step in range(20):
    clip = torch.randn(1, 3, config.in_channels, 12, 12, device=accelerator.device, dtype=dtype)
    text = torch.randn(
        1, config.max_text_seq_length, config.text_embed_dim, device=clip.device, dtype=dtype
    )
    when = torch.randint(0, 1000, (1,), device=clip.device)
    loss = (model(clip, text, when, return_dict=False)[0] - clip).float().square().mean()
    accelerator.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    if step % 10 == 9:
        with validation(pipe, accelerator, folder="validation") as v:  # in every process
            videos = v.generate(REQUESTS, step=step)
        accelerator.print(step, loss.item(), *(video.path for video in videos))
