"""Stage 4: train the image-to-video transformer from the text-to-video one.

    python docs/embedded-model/train_i2v.py --out build/tiny-i2v

The sixteen channels of the first frame are padded with zeros in time, as
`CogVideoXImageToVideoPipeline` does. `finetune.py` has the training.
"""

from __future__ import annotations

import json
from pathlib import Path

from diffusers import CogVideoXImageToVideoPipeline

from evaluate_i2v import first_frames, load, scores_of
from finetune import Task, parser, train
from pictures import PicturedBatches

HERE = Path(__file__).parent
CHANNELS = 16  # of the first frame's latents


def scores(
    pipe: CogVideoXImageToVideoPipeline, steps: int, guidance: float, batch: int, every: int
) -> dict:
    """Scores on one held-out pair in `every`."""
    pairs = first_frames(json.loads((HERE / "heldout_i2v.json").read_text()))
    return scores_of(pipe, pairs, steps, guidance, batch, every)


TASK = Task(CHANNELS, PicturedBatches, load, scores, config={})


if __name__ == "__main__":
    train(parser(__doc__.splitlines()[0], "tiny-i2v").parse_args(), TASK)
