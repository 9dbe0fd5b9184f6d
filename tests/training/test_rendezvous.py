"""Processes that disagree or fail."""

from __future__ import annotations

import pytest

from tests.helpers.training import Trained, deepspeed, train


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two processes without DeepSpeed."""
    return train(tmp_path_factory.mktemp("plain"), 2, "raise-one,refuse-one,other-one")


@pytest.fixture(scope="module")
def zero_3(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two processes under ZeRO-3, in a folder that has one of the videos already."""
    folder = tmp_path_factory.mktemp("zero-3")
    (folder / "keep" / "videos").mkdir(parents=True)
    (folder / "keep" / "videos" / "step-000001-0.mp4").touch()
    return train(folder, 2, "refuse-one,keep", zero="3")


def test_failure_in_one_process_is_raised_in_the_others(plain: Trained) -> None:
    main, other = plain["raise-one"]
    assert main["notes"] == ["RuntimeError: injected"] * 2
    failure = "TrainingError: The validation failed in process 0 (RuntimeError: injected)."
    assert other["notes"] == [failure] * 2
    assert main["losses"] == other["losses"]
    assert main["differences"] == other["differences"] == []


@pytest.mark.parametrize("launch", ["plain", pytest.param("zero_3", marks=deepspeed)])
def test_refusal_in_one_process_is_raised_in_the_others(
    launch: str, request: pytest.FixtureRequest
) -> None:
    main, other = request.getfixturevalue(launch)["refuse-one"]
    (raised,), (refused,) = main["notes"], other["notes"]
    assert refused.startswith("RequestError: ")
    assert raised == (
        f"TrainingError: The validation was refused in process 1 ({refused.partition(': ')[2]})."
    )
    assert len(main["losses"]) == len(other["losses"]) == 4
    assert main["videos"] == other["videos"]  # the next time it works
    assert len(main["videos"]) == 3
    assert main["differences"] == other["differences"] == []


@deepspeed
def test_existing_files_are_refused_by_all_processes_of_zero_3(zero_3: Trained) -> None:
    for report in zero_3["keep"]:
        assert len(report["losses"]) == 4
        assert "already exists. Pass another step=" in report["notes"][0]
        assert len(report["videos"]) == 3


def test_different_requests_in_one_process_are_refused(plain: Trained) -> None:
    for rank, report in enumerate(plain["other-one"]):
        assert report["notes"][0].startswith(f"TrainingError: Process {1 - rank} was given other")
        assert len(report["videos"]) == 3
