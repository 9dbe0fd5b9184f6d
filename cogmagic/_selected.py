"""The GPUs that a person wants used, by index or UUID. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from cogmagic._errors import RequestError
from cogmagic._gpu import Gpu

__all__ = ["gpu_names", "selected"]


def gpu_names(gpus: object) -> tuple[str, ...]:
    """What ``"0,2"``, ``1`` or ``[0, "GPU-8932f937"]`` names; nothing for None.

    Raises:
        RequestError: for what names no GPU.
    """
    if gpus is None:
        return ()
    words: Sequence[object] = [gpus]
    if isinstance(gpus, str):
        words = [word.strip() for word in gpus.split(",")]
    elif isinstance(gpus, Sequence):
        words = gpus
    names = [str(w) for w in words if isinstance(w, str | int) and not isinstance(w, bool)]
    if not names or len(names) < len(words) or not all(names):
        raise RequestError(f"--gpus {gpus!r:.80}: name GPUs by index or UUID, as --gpus 0,2.")
    return tuple(names)


def selected(gpus: tuple[Gpu, ...], names: Sequence[str]) -> tuple[Gpu, ...]:
    """Those of `gpus` that are named: by torch's index, or by the beginning of their UUID.

    Raises:
        RequestError: for one that is not there, with those that are.
    """
    for name in names:
        count = sum(_is(gpu, name) for gpu in gpus)
        if count != 1:
            there = ", ".join(f"{g.index} ({g.name})" for g in gpus)
            known = f"Choose from {there}." if there else "There is none to use; leave it out."
            said = f"{name!r:.60} names {count} GPUs" if count else f"there is no GPU {name!r:.60}"
            raise RequestError(f"--gpus: {said}. {known}")
    return tuple(g for g in gpus if any(_is(g, name) for name in names))


def _is(gpu: Gpu, name: str) -> bool:
    if name.isdecimal():
        return gpu.index == int(name)
    return (gpu.uuid or "").lower().startswith(name.lower())
