"""What a training run writes: the transformer, its measurements, and the state to continue from."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from fast import Clock, Weights

TINY = Path(__file__).parents[2] / "cogmagic" / "models" / "tiny"


def save(pipe: DiffusionPipeline, weights: Weights, out: Path) -> None:
    """Write the transformer with the averaged weights in float16, and the pipeline's index."""
    transformer = copy.deepcopy(pipe.transformer).float()
    with torch.no_grad():
        torch._foreach_copy_(list(transformer.parameters()), weights.average)
    transformer.half().save_pretrained(out / "transformer")
    config = out / "transformer" / "config.json"
    content = json.loads(config.read_text())
    content.pop("_name_or_path", None)  # say nothing of this machine's folders
    config.write_text(json.dumps(content, indent=2) + "\n")
    index = json.loads((TINY / "model_index.json").read_text())
    index["_class_name"] = type(pipe).__name__
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


class State:
    """A run's stored state: weights, their average, the optimiser, and the time it has taken."""

    def __init__(self, file: Path, weights: Weights, clock: Clock) -> None:
        self.file, self.weights, self.clock = file, weights, clock

    def store(self) -> None:
        """Write the state; a run that is stopped meanwhile leaves the state before."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        part = self.file.with_suffix(".part")
        torch.save(
            {
                "master": self.weights.master,
                "average": self.weights.average,
                "optimiser": self.weights.optimiser.state_dict(),
                "steps": self.weights.steps,
                "elapsed": self.clock.elapsed,
                "begun": self.clock.begun,
            },
            part,
        )
        part.replace(self.file)

    def restore(self, device: torch.device) -> bool:
        """Continue from the stored state; False where there is none."""
        if not self.file.is_file():
            return False
        stored = torch.load(self.file, map_location=device)
        weights, clock = self.weights, self.clock
        with torch.no_grad():
            torch._foreach_copy_(weights.master, stored["master"])
            torch._foreach_copy_(weights.average, stored["average"])
            torch._foreach_copy_(weights.working, stored["master"])
        weights.optimiser.load_state_dict(stored["optimiser"])
        weights.steps = stored["steps"]
        clock.start = time.monotonic() - stored["elapsed"]  # preparing again does not count
        clock.begun = stored["begun"]
        clock.read()
        return True


class Rows:
    """The run's measurements, one JSON object a line, printed as well."""

    def __init__(self, file: Path, clock: Clock) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file, self.clock = file, clock

    def add(self, step: int, **values: object) -> None:
        row = json.dumps({"seconds": round(self.clock.read(), 1), "step": step, **values})
        print(row, flush=True)
        with self.file.open("a") as stream:
            stream.write(row + "\n")
