"""Every reader of bytes that others wrote: valid contents, their mutations, and what reads them.

A reader's first check is the outermost format: JSON that is an object, a header of safetensors, a
picture that Pillow identifies. Only what passes it reaches the code behind it.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zlib import crc32

import numpy as np

from tests.fuzz import mutations
from tests.fuzz.mutations import Mutation

PROMPT = "a red"

_TENSORS_EVERY = 10
"""One in this many inputs is compared with an empty model, which takes longer than the rest."""


@dataclass(frozen=True)
class Reader:
    """One reader and its inputs."""

    seeds: list[bytes]
    mutate: Mutation
    passes: Callable[[bytes], bool]
    """The first check."""
    read: Callable[[bytes], object]
    """Place the content where it is expected, and read it."""


def readers(folder: Path) -> dict[str, Reader]:
    """All readers, with their files in `folder`."""
    return {
        **_checkpoint_readers(folder / "checkpoint"),
        **_cache_readers(folder / "cache"),
        **_picture_readers(folder / "pictures"),
        "control groups": _control_groups(folder / "root"),
        "hub's reply": _hub(),
    }


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data.decode("utf-8")), dict)
    except (ValueError, RecursionError):
        return False


def _has_header(data: bytes) -> bool:
    size = int.from_bytes(data[:8], "little")
    return 2 <= size <= len(data) - 8 and _is_object(data[8 : 8 + size])


def _checkpoint_readers(folder: Path) -> dict[str, Reader]:
    """A file of a checkpoint is read when the model is looked up, and before a run."""
    from safetensors.numpy import load_file, save_file

    from tests.helpers.checkpoints import save_checkpoint

    save_checkpoint(folder)
    whole = folder / "text_encoder" / "model.safetensors"  # the smallest component
    tensors = load_file(whole)
    halves = [dict(list(tensors.items())[i::2]) for i in (0, 1)]
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    sharded = shutil.copytree(folder, folder.with_name("sharded"))
    (sharded / "text_encoder" / whole.name).unlink()
    for half, name in zip(halves, names, strict=True):
        save_file(half, sharded / "text_encoder" / name)
    index = sharded / "text_encoder" / "model.safetensors.index.json"
    table = {key: name for half, name in zip(halves, names, strict=True) for key in half}
    size = sum(t.nbytes for t in tensors.values())
    index.write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": table}))
    pieces = shutil.copytree(folder, folder.with_name("pieces"))
    (pieces / "tokenizer" / "tokenizer.json").unlink()
    (pieces / "tokenizer" / "spiece.model").write_bytes(_pieces())
    beside = {
        "added_tokens.json": {"<extra_id_0>": 25, "<extra_id_1>": 24},
        "special_tokens_map.json": {
            "eos_token": "</s>", "pad_token": "<pad>", "unk_token": {"content": "<unk>"},
            "additional_special_tokens": ["<extra_id_0>", "<extra_id_1>"],
        },
    }  # fmt: skip
    for name, content in beside.items():
        (pieces / "tokenizer" / name).write_text(json.dumps(content))
    by_json, by_header = mutations.by_json, mutations.by_header
    files: dict[str, tuple[Path, str, Mutation, Callable[[bytes], bool]]] = {
        "model_index.json": (folder, "model_index.json", by_json, _is_object),
        "safetensors header": (folder, f"text_encoder/{whole.name}", by_header, _has_header),
        "safetensors index": (sharded, f"text_encoder/{index.name}", by_json, _is_object),
        "tokenizer.json": (folder, "tokenizer/tokenizer.json", by_json, _is_object),
        "spiece.model": (pieces, "tokenizer/spiece.model", mutations.by_fields, _is_message),
    }
    for name in beside:
        files[name] = (pieces, f"tokenizer/{name}", by_json, _is_object)
    for name in ("transformer", "vae", "text_encoder", "tokenizer"):
        file = f"{name}/{'tokenizer_config' if name == 'tokenizer' else 'config'}.json"
        files[file] = (folder, file, by_json, _is_object)
    file = "scheduler/scheduler_config.json"
    files[file] = (folder, file, by_json, _is_object)
    return {name: _of_checkpoint(*of) for name, of in files.items()}


def _of_checkpoint(
    folder: Path, file: str, mutate: Mutation, passes: Callable[[bytes], bool]
) -> Reader:
    from cogmagic._footprint.configs import configs_of
    from cogmagic._models.checkpoints.folder import check_small_files
    from cogmagic._models.find import find_model
    from cogmagic._models.request import Request
    from cogmagic._pipeline.tensors import check_tensors
    from cogmagic._pipeline.tokenizer import check_prompts

    path = folder / file
    valid = path.read_bytes()
    request = Request.of(PROMPT, find_model(str(folder)))

    def read() -> None:
        if file.startswith("tokenizer"):
            check_small_files(folder, str(folder))
            check_prompts(request, folder)
            return
        find_model(str(folder))
        configs_of(folder)
        weighted = file.startswith(("transformer/", "vae/", "text_encoder/"))
        if weighted and crc32(path.read_bytes()) % _TENSORS_EVERY == 0:
            check_tensors(folder)
        if file.startswith("scheduler"):
            _schedule(folder)

    def place_and_read(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read()
        finally:
            path.write_bytes(valid)

    return Reader([valid], mutate, passes, place_and_read)


def _schedule(folder: Path) -> None:
    """Build the scheduler, as loading a pipeline does."""
    from diffusers import CogVideoXDDIMScheduler

    CogVideoXDDIMScheduler.from_pretrained(folder, subfolder="scheduler", local_files_only=True)


def _pieces() -> bytes:
    """A SentencePiece vocabulary."""
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a red circle moves", "the blue square on black moves left"] * 9),
        model_writer=model, vocab_size=24, pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


def _is_message(data: bytes) -> bool:
    try:
        return bool(mutations.fields_of(data))
    except IndexError:
        return False


def _cache_readers(folder: Path) -> dict[str, Reader]:
    """Cache files, which an earlier version, another kernel or a full disk may have damaged."""
    import torch
    from safetensors.torch import save

    from cogmagic._machine.gpu import Gpu
    from cogmagic._machine.history import History, PastRun, history_table
    from cogmagic._machine.kernels import Comparison, comparisons, store_comparison
    from cogmagic._machine.rates import Rates, probed_rates, store_probe
    from cogmagic._models.find import embedded_folder
    from cogmagic._models.hub.cache import main_snapshot, repository_folder
    from cogmagic._models.request import Request
    from cogmagic._pipeline.prompt_cache import PromptCache

    folder.mkdir()
    history = History(folder)
    for n in range(3):
        history.add(PastRun(
            when=1.8e9 + n, card="NVIDIA H100", versions="predictions 1.5", model="5b",
            size="720x480", num_frames=49, dtype="bfloat16", tier="model",
            predicted_allocated=2**34, measured_allocated=2**34 + n, measured_step=1.5,
        ))  # fmt: skip

    def read_history(data: bytes) -> None:
        for path in folder.glob("history-*"):
            path.unlink()
        history.path.write_bytes(data)
        rows = History(folder).read()
        history_table(rows)

    gpu = Gpu(index=0, name="NVIDIA H100", total=2**36, free=2**36)
    store_probe(gpu, Rates(7e14, 4e14, 1e14, 3e12), folder)
    (probes,) = folder.glob("rates-*.json")

    def read_probes(data: bytes) -> None:
        probes.write_bytes(data)
        probed_rates(gpu, folder)

    store_comparison(gpu.name, Comparison("fa3", "bfloat16", 64, 9e-4), folder)
    store_comparison(gpu.name, Comparison("sage", "float16", 64, None, "ImportError"), folder)
    (kernels,) = folder.glob("kernels-*.json")

    def read_kernels(data: bytes) -> None:
        kernels.write_bytes(data)
        comparisons(gpu.name, folder)

    request = Request.of(PROMPT, "tiny", guidance_scale=1)
    cache = PromptCache(request, embedded_folder(), "float32", "cpu")
    cache.write([torch.zeros(1, 16, 32)])
    (file,) = cache._files

    def read_prompts(data: bytes) -> None:
        file.write_bytes(data)
        cache.read()

    ref = repository_folder("x/y") / "refs" / "main"
    (ref.parent.parent / "snapshots" / ("1" * 40)).mkdir(parents=True)
    (ref.parent.parent / "snapshots" / ("1" * 40) / "model_index.json").touch()
    ref.parent.mkdir()

    def read_ref(data: bytes) -> None:
        ref.write_bytes(data)
        try:
            main_snapshot("x/y")
        finally:
            ref.unlink()

    lines, by_json = mutations.by_lines, mutations.by_json
    return {
        "run history": Reader([history.path.read_bytes()], lines, _has_run, read_history),
        "kernels": Reader([kernels.read_bytes()], by_json, _is_object, read_kernels),
        "probes": Reader([probes.read_bytes()], by_json, _is_object, read_probes),
        "prompt embeddings": Reader(
            [save({"embeds": torch.zeros(1, 16, 32)})], mutations.by_header, _has_header,
            read_prompts,
        ),
        "hub's cached ref": Reader([b"1" * 40], mutations.plain, bytes.isascii, read_ref),
    }  # fmt: skip


def _has_run(data: bytes) -> bool:
    return any(_is_object(line) for line in data.split(b"\n"))


def _picture_readers(folder: Path) -> dict[str, Reader]:
    """Pictures in many formats and modes; a video's file, read back; and one to begin from."""
    from PIL import Image

    from cogmagic import Report, Video
    from cogmagic._models.clips.lengths import frames_at
    from cogmagic._models.pictures.picture import as_picture
    from cogmagic._video.clip_reader import clip_of, read_frames
    from cogmagic._video.formats.mp4 import MP4
    from cogmagic._video.formats.registry import read_metadata

    folder.mkdir()
    path = folder / "a.mp4"
    frames = np.random.default_rng(0).integers(0, 255, (9, 48, 64, 3), dtype=np.uint8)
    MP4.write(path, frames, 8, {"prompt": PROMPT, "seed": 1})
    video = Video(
        path=path, prompt=PROMPT, model="tiny", width=64, height=48, num_frames=9, fps=8, seed=1,
        report=Report(tier="none", reason="", device="cpu", dtype="float32"),
    )  # fmt: skip

    def is_picture(data: bytes) -> bool:
        try:
            with Image.open(io.BytesIO(data)):
                return True
        except Exception:
            return False

    def read_video(data: bytes) -> None:
        path.write_bytes(data)
        video.player_html()
        video.frames()
        read_metadata(path)

    def read_clip(data: bytes) -> None:
        clip = clip_of(data)
        count = frames_at(clip, start=0.5, fps=8, most=5)
        read_frames(clip, start=0.5, fps=8, num_frames=count, size=(64, 64), fit="crop")

    return {
        "clip": Reader([path.read_bytes()], mutations.by_boxes, _is_video, read_clip),
        "picture": Reader(_pictures(), mutations.by_picture, is_picture, as_picture),
        "video": Reader([path.read_bytes()], mutations.by_boxes, _is_video, read_video),
    }


def _is_video(data: bytes) -> bool:
    import av

    try:
        with av.open(io.BytesIO(data)) as file:
            return bool(file.streams.video)
    except Exception:
        return False


def _pictures() -> list[bytes]:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 4), dtype=np.uint8)
    colour = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    unit = Image.fromarray(noise[..., 0].astype(np.float32) / 255)
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "PNG", {"exif": exif, "icc_profile": _profile()}),
        (colour.convert("RGB").quantize(16), "PNG", {"transparency": bytes(range(16))}),
        (deep, "PNG", {}), (colour.convert("LA"), "PNG", {}), (colour.convert("1"), "PNG", {}),
        (colour, "PNG", {"save_all": True, "append_images": [colour.rotate(90)]}),
        (colour.convert("RGB"), "JPEG", {"exif": exif, "icc_profile": _profile()}),
        (colour.convert("CMYK"), "JPEG", {}), (colour, "WEBP", {}), (colour, "AVIF", {}),
        (colour.convert("P"), "GIF", {"save_all": True, "append_images": [colour.convert("P")]}),
        (deep, "TIFF", {}), (colour, "TIFF", {"compression": "tiff_lzw"}),
        (unit, "TIFF", {}), (colour.convert("RGB"), "BMP", {}), (colour, "TGA", {}),
        (deep, "PPM", {}), (colour.convert("RGB"), "JPEG2000", {}), (colour, "ICO", {}),
        (colour, "QOI", {}), (colour, "DDS", {}), (colour, "SGI", {}),
    ]  # fmt: skip
    contents = []
    for image, kind, options in kinds:
        file = io.BytesIO()
        image.save(file, kind, **options)
        contents.append(file.getvalue())
    return contents


def _profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _control_groups(root: Path) -> Reader:
    """All of the kernel's files, one after another in one text."""
    from cogmagic._machine.control_groups import group_memory

    files = {
        "proc/self/cgroup": "0::/a/b\n5:memory:/a\n",
        "proc/self/mountinfo": (
            "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
            "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        ),
        "sys/fs/cgroup/a/memory.max": "8589934592\n",
        "sys/fs/cgroup/a/memory.high": "max\n",
        "sys/fs/cgroup/a/memory.current": "1073741824\n",
        "sys/fs/cgroup/a/memory.stat": "anon 1\nactive_file 2\ninactive_file 3\n",
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "1073741824\n",
        "sys/fs/cgroup/memory/a/memory.stat": "hierarchical_memory_limit 1\ntotal_active_file 2\n",
    }
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
    separator = b"\n#\n"

    def read(data: bytes) -> None:
        for name, text in zip(files, data.split(separator), strict=False):
            (root / name).write_bytes(text)
        group_memory(root)

    seed = separator.join(text.encode() for text in files.values())

    def passes(data: bytes) -> bool:
        return data.count(separator) >= len(files) - 1

    return Reader([seed], mutations.by_lines, passes, read)


@cache
def _server() -> tuple[ThreadingHTTPServer, dict[str, bytes]]:
    """A hub whose answer about any repository is the current content; it has no files."""
    current = {"reply": b""}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.path.startswith("/api/models/")
            body = current["reply"] if known else b"{}"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    return server, current


def endpoint() -> str:
    """The address of the hub; the client must have it before it is imported."""
    return f"http://127.0.0.1:{_server()[0].server_address[1]}"


def _hub() -> Reader:
    from cogmagic._models.hub.errors import explained
    from cogmagic._models.hub.listing import read_listing

    reply = {
        "_id": "0", "id": "x/z", "sha": "2" * 40, "private": False, "tags": ["diffusers"],
        "siblings": [
            {"rfilename": name, "size": 10, "blobId": "0" * 40}
            for name in ("model_index.json", "vae/config.json", "tokenizer/spiece.model")
        ] + [
            {"rfilename": "vae/diffusion_pytorch_model.safetensors", "size": 10,
             "lfs": {"sha256": "0" * 64, "size": 10, "pointerSize": 134}},
        ],
    }  # fmt: skip

    def read(data: bytes) -> None:
        _server()[1]["reply"] = data
        with explained("x/z"):
            listing = read_listing("x/z")
            listing.missing(listing.small)
            len(f"{listing.weights_size}")

    return Reader([json.dumps(reply).encode()], mutations.by_json, _is_object, read)
