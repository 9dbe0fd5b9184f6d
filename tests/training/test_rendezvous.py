"""Processes that disagree or fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.training import deepspeed, train


def test_failure_in_one_process_is_raised_in_the_others(tmp_path: Path) -> None:
    main, other = train(tmp_path, 2, validate="raise-one")
    assert main["notes"] == ["RuntimeError: injected"] * 2
    said = "TrainingError: The validation failed in process 0 (RuntimeError: injected)."
    assert other["notes"] == [said] * 2
    assert main["losses"] == other["losses"]
    assert main["differences"] == other["differences"] == []


@pytest.mark.parametrize("zero", [None, pytest.param("3", marks=deepspeed)])
def test_refusal_in_one_process_is_raised_in_the_others(tmp_path: Path, zero: str | None) -> None:
    options = {"zero": zero} if zero else {}
    main, other = train(tmp_path, 2, **options, validate="refuse-one")
    (told,), (refused,) = main["notes"], other["notes"]
    assert refused.startswith("RequestError: ")
    assert told == (
        f"TrainingError: The validation was refused in process 1 ({refused.partition(': ')[2]})."
    )
    assert len(main["losses"]) == len(other["losses"]) == 4
    assert main["videos"] == other["videos"]  # the next time it works
    assert len(main["videos"]) == 3
    assert main["differences"] == other["differences"] == []


@deepspeed
def test_existing_files_are_refused_by_all_processes_of_zero_3(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "step-000001-0.mp4").touch()
    for told in train(tmp_path, 2, zero="3", validate="keep"):
        assert len(told["losses"]) == 4
        assert "already exists. Pass another step=" in told["notes"][0]
        assert len(told["videos"]) == 3


def test_different_requests_in_one_process_are_refused(tmp_path: Path) -> None:
    for rank, told in enumerate(train(tmp_path, 2, validate="other-one")):
        assert told["notes"][0].startswith(f"TrainingError: Process {1 - rank} was given other")
        assert len(told["videos"]) == 3
