"""The words of other tools: each leads to an option that exists, or to advice."""

from __future__ import annotations

import ast
import re

import pytest

from cogmagic import RequestError, generate
from cogmagic._api.options.parser import parse_line
from cogmagic._api.options.plan import PLAN_OPTIONS
from cogmagic._api.options.table import cell_options
from cogmagic._models import other_tools
from cogmagic._models.other_tools import known_elsewhere
from cogmagic._models.request import known_options

FLAGS = {flag for option in cell_options() for flag in option.flags}


def all_words() -> list[str]:
    tables = (other_tools._OPTIONS.values(), other_tools._ADVICE)
    return [word for table in tables for words in table for word in words.split()]


def test_no_word_is_listed_twice_or_is_an_option_of_a_cell() -> None:
    words = all_words()
    assert len(words) == len(set(words)) > 150
    assert not {f"--{word}" for word in words} & FLAGS


@pytest.mark.parametrize("words", other_tools._OPTIONS.values())
def test_words_lead_to_an_option_that_is_accepted_in_a_cell_and_in_python(words: str) -> None:
    word = words.split()[0]
    option = known_elsewhere(word).removeprefix(" Use ").removesuffix(".")
    keyword = known_elsewhere(word, other_tools.in_python).removeprefix(" Use ").removesuffix(".")
    if " " in option or keyword.endswith("=True"):
        name, _, value = keyword.partition("=")
        assert parse_line(option, "%%cogvideo") == {name: ast.literal_eval(value)}
    else:
        assert option in FLAGS
        assert keyword == f"{option[2:].replace('-', '_')}="


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
        ("--cfg 7", "Use --guidance-scale."),
        ("--cfg_scale=7", "Use --guidance-scale."),
        ("--CFG 7", "Use --guidance-scale."),
        ("--sampler euler", "Use --scheduler."),
        ("--end_image last.png", "Use --last-image."),
        ("--mask_video mask.mp4", "Use --mask."),
        ("--duration 6", "for 6 s at 8 fps, --frames 49"),
        ("--vram 8", "Use --vram-limit."),
        ("--lora-path style.safetensors", "Use --lora."),
        ("--turbo", "is a preset: --preset tdm with --model 2b."),
        ("--denoising-step-list 999,749", "Use --timesteps."),
        ("--lora_scale 0.8", "follows its path: --lora style.safetensors@0.8."),
        ("--fp16", "Use --dtype float16."),
        ("--lowvram", "Use --tier sequential."),
        ("--enable_model_cpu_offload", "Use --tier model."),
        ("--num_videos_per_prompt 2", "For several videos of a prompt: --num-videos 4"),
        ("--width 720", "--size 720x480"),
        ("--output_path clip.mp4", "Use --save."),
        ("--prompt fox", "The prompt goes in the body of the cell"),
        ("--stepps 3", "Did you mean '--steps'?"),
        ("--guidence-scale 3", "Did you mean '--guidance-scale'?"),
        ("--vae x", "Unknown option --vae. All options:"),
        ("--no-vae-tiling", "VAE slicing and tiling are always on."),
        ("--disable_xformers", "torch's fused attention is always on."),
        ("--no-compile", "--compile is off unless it is typed. Leave it out."),
        ("--no-cfg", "Unknown option --no-cfg. All options:"),
        ("--cpu", "To use less VRAM: --tier model, or --tier sequential for the least."),
        ("--low-memory", "Use --tier sequential."),
        ("--low-vram", "Use --tier sequential."),
        ("--tea-cache", "hardly change: --cache first-block:0.08."),
        ("--load_type cuda", "Use --tier."),
        ("--lora_rank 128", "The rank of a LoRA is read from its file."),
        ("--loop", "The player and GIFs play in a loop."),
        ("--style anime", "Describe it in the prompt, or give a LoRA of that style: --lora style"),
        ("-n 4", "For several videos of a prompt: --num-videos 4"),
        ("--threads 4", "Unknown option --threads. All options:"),
        ("--negative-prompt blurred, low", 'needs quotes: --negative-prompt "blurred, low"'),
        ("--save my clips/fox.mp4 --seed 1", 'needs quotes: --save "my clips/fox.mp4"'),
        ("--image=my photo.png", 'needs quotes: --image "my photo.png"'),
        ("--model 5b a red fox", "'a' is not an option; the prompt goes in the body of the cell"),
    ],
)
def test_unknown_option_names_what_it_is_called_here(line: str, answer: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_line(line, "%%cogvideo")
    assert answer in str(raised.value)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("cfg", "Use guidance_scale=."),
        ("fp16", 'Use dtype="float16".'),
        ("duration", "for 6 s at 8 fps, frames=49."),
        ("resolution", 'size="720x480"'),
        ("gpu", 'cogmagic.plan(machine=cogmagic.Machine.of("RTX 3060"))'),
        ("quiet", "progress=False"),
        ("caption", "The prompt is the first argument."),
        ("out", "clip = cogmagic.generate(...)"),
        ("dry_run", "cogmagic.plan(...)"),
    ],
)
def test_python_keyword_is_answered_with_python(name: str, answer: str) -> None:
    with pytest.raises(RequestError) as raised:
        generate("a red fox", **{name: 1})
    assert answer in str(raised.value)


def test_no_advice_for_python_is_written_as_a_cell() -> None:
    for word in {*all_words()} - {"width", "height"}:  # these are options in Python
        with pytest.raises(RequestError) as raised:
            known_options({word: 1})
        text = str(raised.value)
        assert not re.search(r"--\w|%|\bcell\b", text), text
        assert "{" not in text
    assert known_elsewhere("something-else") == ""
