"""The report of a run."""

from __future__ import annotations

import json

from cogmagic import Video


def test_report_serialises_to_json(video: Video) -> None:
    assert json.loads(json.dumps(video.report.facts()))["tier"] == "none"
