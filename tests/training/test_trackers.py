"""Videos in accelerate's trackers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from cogmagic import OutputError
from cogmagic.training import validation
from tests.helpers.training import SMALL


def test_failing_tracker_loses_no_video(
    accelerator: Any, pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "trackers", [SimpleNamespace(name="tensorboard")])
    with validation(pipe, accelerator, folder=tmp_path) as v:
        with pytest.warns(UserWarning, match="A tracker did not accept the videos"):
            (video,) = v.generate([SMALL | {"prompt": "a red circle"}])
        with pytest.raises(OutputError, match=r"already exists\. Pass another step=, or overwrite"):
            v.generate([SMALL | {"prompt": "a red circle"}], overwrite=False)
    assert video.path.is_file()


def test_tensorboard_gets_the_videos(pipe: Any, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=tmp_path)
    accelerator.init_trackers("run")
    with validation(pipe, accelerator, folder=tmp_path) as v:
        v.generate([SMALL | {"prompt": "a red circle"}], step=7)
    accelerator.end_training()
    for state in (AcceleratorState, PartialState):
        state._reset_state()
    GradientState._reset_state()
    log = EventAccumulator(str(tmp_path / "run")).Reload()
    (shown,) = log.Images("validation/0")
    assert (shown.step, shown.encoded_image_string[:6]) == (7, b"GIF89a")
