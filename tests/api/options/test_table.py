"""Whatever is typed: a request, or one line that says what is wrong; nothing is loaded."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import cogmagic
from cogmagic import CogMagicError, Machine
from cogmagic._api.options.parser import parse_line
from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._api.options.table import cell_options

FLAGS = [flag for option in (*cell_options(), *PLAN_OPTIONS) for flag in option.flags]
VALUES = [
    "5b", "2b", "tiny", "1.5-5b", "1.5-5b-i2v", "720x480", "480×720", "0x0", "-1", "0", "1", "49",
    "50", "1e9", "nan", "inf", "6.0", "dpm", "ddim", "none", "stream", "staged", "auto", "rule",
    "float16", "bfloat16", "hot", "10", "10GiB", "\x00", "'", '"', "\\", "{x}", "$HOME", "../..",
    "clip.mp4", "=", "tdm", "999,749", "x.toml:y", "RTX 3060", "--", "-",
    "99999999999999999999", "½", "١٢", "😀",
]  # fmt: skip
words = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(FLAGS), st.sampled_from(VALUES)),
    st.text(max_size=12),
)
lines = st.lists(words, max_size=8).map(" ".join)


@settings(max_examples=1500, deadline=None)
@example(line="--size=--", plan=False)
@example(line="--out=--", plan=False)
@given(lines, st.booleans())
def test_any_line_is_parsed_or_refused_in_one_line(line: str, plan: bool) -> None:
    options = (*cell_options(), *PLAN_OPTIONS) if plan else cell_options()
    try:
        found = parse_line(line, "%%cogvideo", options)
    except CogMagicError as error:
        one_line(error)
    else:
        assert found.keys() <= {o.dest for o in options} | {"width", "height"}


def one_line(error: CogMagicError) -> None:
    text = str(error)
    assert text
    assert len(text.splitlines()) == 1
    assert len(text) < 2000


numbers = st.one_of(
    st.none(), st.integers(), st.floats(), st.sampled_from([8, 9, 49, 81, 480, 720, 768, 1360])
)
known = st.fixed_dictionaries(
    {"model": st.sampled_from(["tiny", "2b", "5b", "1.5-5b", "5b-i2v", "1.5-5b-i2v", "6b", ""])},
    optional={
        "prompt": st.text(max_size=300),
        "width": numbers,
        "height": numbers,
        "num_frames": numbers,
        "num_inference_steps": numbers,
        "guidance_scale": numbers,
        "seed": numbers,
        "fps": numbers,
        "negative_prompt": st.text(max_size=30),
        "scheduler": st.sampled_from(["ddim", "dpm", "euler", ""]),
        "dtype": st.sampled_from(["float16", "bfloat16", "float32", "int8"]),
        "tier": st.sampled_from(["auto", "none", "stream", "staged", "balanced", "sideways"]),
        "policy": st.sampled_from(["auto", "rule", "luck"]),
        "vram_limit": numbers,
        "gpus": st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text())),
        "lean_decode": st.booleans(),
        "guidance_halves": st.booleans(),
        "fp8": st.booleans(),
        "timesteps": st.one_of(st.text(), st.lists(st.integers(-5, 1005), max_size=5)),
        "preset": st.one_of(
            st.text(), st.sampled_from(["tdm", "TDM", "tmd", "x.toml:y", "x.toml"])
        ),
    },
)
machines = st.sampled_from(["RTX 4090", "T4", "2x A100 40GB", "RTX 3050"])


@settings(max_examples=250, deadline=None)
@example(options={"policy": "rule", "fp8": True}, card="2x A100 40GB")
@given(known, machines)
def test_any_request_is_planned_or_refused_in_one_line(options: dict[str, Any], card: str) -> None:
    try:
        found = cogmagic.plan(**options, machine=Machine.of(card))
    except CogMagicError as error:
        one_line(error)
    else:
        assert str(found)
        assert found.chosen is not None
        assert found.chosen.needs.peak_allocated > 0


@pytest.mark.slow
def test_refused_input_loads_nothing() -> None:
    program = (
        "import sys, tests.api.options.test_table as t\n"
        "t.test_any_line_is_parsed_or_refused_in_one_line()\n"
        "t.test_any_request_is_planned_or_refused_in_one_line()\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
