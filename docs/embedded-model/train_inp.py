"""Stage 5: train the inpainting transformer from the text-to-video one.

    python docs/embedded-model/train_inp.py --out build/tiny-inp

Beside the noise, it sees how much of each latent is kept and the latents of the clip with black
where it is to be made new, as CogVideoX-Fun's inpainting models do. `finetune.py` has the
training.
"""

from __future__ import annotations

from evaluate_inp import load, scores_of
from finetune import Task, parser, train
from inpainted import InpaintedBatches

CHANNELS = 1 + 16  # of the mask and of the masked clip's latents
TASK = Task(
    CHANNELS, InpaintedBatches, load, scores_of, config={"add_noise_in_inpaint_model": True}
)


if __name__ == "__main__":
    train(parser(__doc__.splitlines()[0], "tiny-inp").parse_args(), TASK)
