"""A validation in one process."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from cogmagic.training import validation
from tests.helpers.training import SMALL


def test_failure_keeps_no_tensor_alive(accelerator: Any, pipe: Any, tmp_path: Path) -> None:
    seen: list[Any] = []

    def look(module: Any, args: Any, kwargs: Any) -> None:
        seen.append(weakref.ref(kwargs["hidden_states"]))
        raise RuntimeError("injected")

    handle = pipe.transformer.register_forward_pre_hook(look, with_kwargs=True)
    gc.disable()
    try:
        with (
            validation(pipe, accelerator, folder=tmp_path) as v,
            pytest.raises(RuntimeError, match="injected"),
        ):
            v.generate([SMALL | {"prompt": "a red circle"}])
        assert seen[0]() is None
    finally:
        gc.enable()
        handle.remove()
