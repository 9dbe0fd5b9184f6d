"""A checkpoint on the fake hub: its files, and processes that download it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from cogmagic import Progress
from cogmagic._errors import Cancelled
from tests.helpers.hub_server import Hub

REPO = "someone/finetune"

SHARD = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"


NEEDED = {
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "transformer/config.json",
    SHARD,
    SHARD.replace("00001", "00002", 1),
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
}


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def parts(tmp_path: Path) -> list[Path]:
    return list(tmp_path.glob("cache/*/blobs/*.part"))


def same(folder: Path, original: Path) -> bool:
    """Whether every file is, byte for byte, what the hub has."""
    return all((folder / f).read_bytes() == (original / f).read_bytes() for f in NEEDED)


def stop_at(share: float) -> Callable[[Progress], None]:
    """A listener that interrupts when that share of the checkpoint is here."""

    def listen(progress: Progress) -> None:
        if progress.total and progress.done > share * progress.total:
            raise Cancelled("stopped")

    return listen


_KERNEL = """
import sys, cogmagic
from cogmagic._models.find import find_model
from cogmagic._models.hub.download import download
told = []
def tell(progress):
    told.append(progress.done)
    print(progress.done, progress.total, flush=True)
try:
    folder = download(find_model(sys.argv[1]), tell)
except KeyboardInterrupt:
    print("interrupted", flush=True)
except cogmagic.CogMagicError as error:
    print(type(error).__name__, error)
assert told == sorted(told)
assert "torch" not in sys.modules and "diffusers" not in sys.modules
"""


def kernel(hub: Hub, tmp_path: Path, repo_id: str = REPO) -> subprocess.Popen[str]:
    """Another process that downloads into the same cache, with its client as it comes."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": "0",
    }
    return subprocess.Popen(
        [sys.executable, "-c", _KERNEL, repo_id],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
