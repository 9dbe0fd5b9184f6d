"""The words of other tools: each leads to an option that exists, or to advice."""

from __future__ import annotations

import re

import pytest

from cogmagic import RequestError
from cogmagic._api.options import PLAN_OPTIONS, cell_options
from cogmagic._api.parser import parse_line
from cogmagic._models import other_tools
from cogmagic._models.other_tools import known_elsewhere
from cogmagic._models.request import known_options

FLAGS = {flag for option in cell_options() for flag in option.flags}


def all_words() -> list[str]:
    tables = (other_tools._SAME.values(), other_tools._VALUES.values(), other_tools._ADVICE)
    return [word for table in tables for words in table for word in words.split()]


def test_no_word_is_listed_twice_or_is_an_option_of_a_cell() -> None:
    words = all_words()
    assert len(words) == len(set(words)) > 150
    assert not {f"--{word}" for word in words} & FLAGS


@pytest.mark.parametrize("name", other_tools._SAME)
def test_words_lead_to_an_option_that_exists(name: str) -> None:
    assert f"--{name}" in FLAGS


@pytest.mark.parametrize("typed", other_tools._VALUES)
def test_switches_lead_to_a_line_that_is_accepted(typed: str) -> None:
    assert parse_line(typed, "%%cogvideo")


def test_every_word_is_answered_in_one_line_that_names_options_of_cells() -> None:
    for word in all_words():
        with pytest.raises(RequestError) as raised:
            parse_line(f"--{word} 1", "%%cogvideo")
        text = str(raised.value)
        assert len(text) < 300
        assert "Did you mean" not in text
        named = set(re.findall(r"--[\w-]+", text)) - {f"--{word}", "--help"}
        assert named <= FLAGS | {flag for option in PLAN_OPTIONS for flag in option.flags}, word


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("--cfg 7", "Here it is --guidance-scale."),
        ("--cfg_scale=7", "Here it is --guidance-scale."),
        ("--CFG 7", "Here it is --guidance-scale."),
        ("--sampler euler", "Here it is --scheduler."),
        ("--duration 6", "6 s at 8 fps are --frames 49"),
        ("--vram 8", "Here it is --vram-limit."),
        ("--lora-path style.safetensors", "Here it is --lora."),
        ("--lora_scale 0.8", "follows its path: --lora style.safetensors@0.8."),
        ("--fp16", "Here it is --dtype float16."),
        ("--lowvram", "Here it is --tier sequential."),
        ("--enable_model_cpu_offload", "Here it is --tier model."),
        ("--num_videos_per_prompt 2", "A cell makes one video."),
        ("--width 720", "--size 720x480"),
        ("--output_path clip.mp4", "Here it is --save."),
        ("--prompt fox", "The prompt goes into the cell's body"),
        ("--stepps 3", "Did you mean '--steps'?"),
        ("--guidence-scale 3", "Did you mean '--guidance-scale'?"),
        ("--vae x", "Unknown option --vae. All of them:"),
        ("--loop", "Unknown option --loop. All of them:"),
        ("--threads 4", "Unknown option --threads. All of them:"),
        ("--negative-prompt blurred, low", 'needs quotes: --negative-prompt "blurred, low"'),
        ("--save my clips/fox.mp4 --seed 1", 'needs quotes: --save "my clips/fox.mp4"'),
        ("--image=my photo.png", 'needs quotes: --image "my photo.png"'),
        ("--model 5b a red fox", "'a' is not an option; the prompt goes into the cell's body"),
    ],
)
def test_unknown_option_names_what_it_is_called_here(line: str, answer: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_line(line, "%%cogvideo")
    assert answer in str(raised.value)


def test_python_keyword_is_answered_with_a_keyword() -> None:
    with pytest.raises(RequestError, match=r"Unknown option 'cfg'\. Here it is guidance_scale=\."):
        known_options({"cfg": 7})
    assert known_elsewhere("something-else") == ""
