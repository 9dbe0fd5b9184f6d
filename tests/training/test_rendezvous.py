"""Processes that disagree or fail."""

from __future__ import annotations

import pytest

from tests.helpers.training import deepspeed
from tests.training.conftest import Loops


def test_failure_in_one_process_is_raised_in_the_others(two_processes: Loops) -> None:
    main, other = two_processes[1]["plain"]["raise-one"]
    assert main["notes"] == ["RuntimeError: injected"] * 2
    failure = "TrainingError: The validation failed in process 0 (RuntimeError: injected)."
    assert other["notes"] == [failure] * 2
    assert main["losses"] == other["losses"]
    assert main["differences"] == other["differences"] == []


@pytest.mark.parametrize(
    ("launch", "group"),
    [("two_processes", "plain"), pytest.param("zero", "3", marks=deepspeed)],
)
def test_refusal_in_one_process_is_raised_in_the_others(
    request: pytest.FixtureRequest, launch: str, group: str
) -> None:
    main, other = request.getfixturevalue(launch)[1][group]["refuse-one"]
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
def test_existing_files_are_refused_by_all_processes_of_zero_3(zero: Loops) -> None:
    for report in zero[1]["3"]["keep"]:
        assert len(report["losses"]) == 4
        assert "already exists. Pass another step=" in report["notes"][0]
        assert len(report["videos"]) == 3


def test_different_requests_in_one_process_are_refused(two_processes: Loops) -> None:
    for rank, report in enumerate(two_processes[1]["plain"]["other-one"]):
        assert report["notes"][0].startswith(f"TrainingError: Process {1 - rank} was given other")
        assert len(report["videos"]) == 3
