"""Words that a model does not know, by the real tokenizer of the embedded model and by scripts."""

from __future__ import annotations

import io
import random
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import Machine, Progress, Request
from cogmagic._models.find import embedded_folder
from cogmagic._models.inputs import ANY_INPUT
from cogmagic._models.prompt_warnings import prompt_warnings
from cogmagic._models.unknown_words import _lookup, _words, unknown_words
from cogmagic._session.session import Session
from tests.helpers.toy import QUICK

TINY = embedded_folder()
KNOWS = (
    "it knows shapes (circle, square, triangle), colours (red, green, blue, yellow, white, magenta,"
    " cyan, orange), directions (left, right, up, down) and backgrounds (black, gray, dark blue,"
    " dark green); for anything else use --model 2b"
)
CAT = "a photorealistic cat playing piano"


def unknown(prompt: str, model: str = "tiny", **options: Any) -> str:
    """The count and the words of the warning; empty without one."""
    folder = TINY if model == "tiny" else None
    warning = unknown_words(Request.of(prompt, model, **options), folder)
    match = re.match(r"\S+ does not know (.*?\)): ", warning)
    return match[1] if match else warning


def test_warning_of_the_embedded_model_states_what_it_knows() -> None:
    count = "4 of 5 words of the prompt (photorealistic, cat, playing, piano)"
    assert unknown_words(Request.of(CAT, "tiny"), TINY) == f"tiny does not know {count}: {KNOWS}"
    chinese = unknown_words(Request.of("一只猫在弹钢琴", "tiny"), TINY)
    count = "7 of 7 words of the prompt (一只猫在弹钢琴)"
    assert chinese == f"tiny does not know {count}: {KNOWS} with an English prompt"
    image = Request.of(CAT, "tiny-i2v", image=ANY_INPUT)
    assert unknown_words(image, TINY).endswith("; for anything else use --model 5b-i2v")


def test_embedded_model_knows_what_the_warning_lists() -> None:
    listed = " ".join(re.findall(r"\((.*?)\)", KNOWS)).replace(",", "")
    assert len(listed.split()) == 21
    assert unknown(listed) == ""
    assert all(unknown(word) == "" for word in listed.split())
    captions = _captions()
    shapes, colours = set(captions.SHAPE_WORDS), set(captions.COLOUR_WORDS)
    assert (shapes | colours | set(captions.WAYS)) <= set(listed.split())
    assert ", ".join(captions.BACKGROUND_WORDS) in KNOWS


def test_captions_of_the_embedded_model_have_no_warning() -> None:
    captions, rng = _captions(), random.Random(3)  # noqa: S311 - captions
    for _ in range(300):
        scene = rng.choice(("red", "cyan")), "circle", rng.choice(tuple(captions.WAYS))
        ground = rng.choice(tuple(captions.BACKGROUND_WORDS))
        caption = captions.describe(scene, rng.choice(("small", "")), ground, rng, partial=0)
        assert unknown(caption) == "", caption


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red circle cat", ""),  # a quarter exactly
        ("a red cat", "1 of 3 words of the prompt (cat)"),
        ("Zorblax moves up", "1 of 3 words of the prompt (Zorblax)"),
        ("Zorblax moves to the right", ""),
        ("cat", "1 of 1 word of the prompt (cat)"),
        ("cat, cat! CAT", "3 of 3 words of the prompt (cat, CAT)"),
        ("one two three four five six seven", "6 of 7 words of the prompt (two, three, four, five"),
        ("1234 !!! — … 50% <3", ""),
        ("12 red 34 circle 56", ""),
        ("a red circle… “moves” (up)", "2 of 5 words of the prompt (moves, up)"),
        ("a red circle…", ""),
        ("it's a red circle", ""),
        ("circle,square", "1 of 2 words of the prompt (square)"),  # read as one word
        ("RED Red red", ""),
        ("rEd circle", "1 of 2 words of the prompt (rEd)"),
        ("réd circle", "1 of 2 words of the prompt (réd)"),
        ("re\u0301d circle", "1 of 2 words of the prompt (re\u0301d)"),
        ("Ｒｅｄ circle", "1 of 2 words of the prompt (Ｒｅｄ)"),
        ("🐱🎹", "1 of 1 word of the prompt (🐱🎹)"),
        ("a red circle 🎉🎉🎉", ""),
        ("red 👨‍👩‍👧❤️", "1 of 2 words of the prompt (👨‍👩‍👧❤️)"),
        ("red 👍🏽", "1 of 2 words of the prompt (👍🏽)"),
        ("red 猫🎹", "2 of 3 words of the prompt (猫🎹)"),
        ("red `circle` ^ ¨", "1 of 2 words of the prompt (circle)"),  # read as `circle`
        ("red circle` ^ ¨ square", ""),
        ("red\u200b circle\u00ad square", ""),
        ("red \U0001faef", "1 of 2 words of the prompt (\U0001faef)"),  # of Unicode 17
        ("a red circle 一只猫", "3 of 6 words of the prompt (一只猫)"),
        ("a red circle 一", ""),
        ("a red\ncircle\n\tmoves up", ""),
        ("x" * 60, f"1 of 1 word of the prompt ({'x' * 29}…)"),
        ("cat\u202edog\u202c", "1 of 1 word of the prompt (cat\\u202edog)"),
    ],
    ids=ascii,
)
def test_more_than_a_quarter_of_unknown_words(prompt: str, expected: str) -> None:
    assert unknown(prompt).startswith(expected)
    assert bool(unknown(prompt)) == bool(expected)


def test_negative_prompt_counts_where_it_has_an_effect() -> None:
    red, other = "a red circle", "1 of 1 word of the negative prompt (blurry)"
    warning = unknown_words(Request.of("猫", "tiny", negative_prompt="blurry"), TINY)
    assert f"1 of 1 word of the prompt (猫) and {other}: it knows" in warning
    assert unknown(red, negative_prompt="blurry, ugly") == (
        "2 of 2 words of the negative prompt (blurry, ugly)"
    )
    assert unknown(red, negative_prompt="blue") == ""
    assert unknown(red, negative_prompt="blurry", guidance_scale=1) == ""


def test_negative_prompt_without_effect_is_named() -> None:
    def warning(**options: Any) -> str:
        return prompt_warnings(Request.of("a red circle", "tiny", **options), TINY)

    assert warning(negative_prompt="blue", guidance_scale=1) == (
        "the negative prompt has no effect with --guidance-scale 1, which is no guidance"
    )
    assert warning(negative_prompt="blue") == warning(guidance_scale=1) == ""


@pytest.mark.parametrize("model", ["2b", "5b", "1.5-5b"])
@pytest.mark.parametrize(
    "prompt",
    ["一只猫在弹钢琴", "猫がピアノを弾く", "고양이가 피아노를 친다", "Кот играет на пианино",
     "Η γάτα παίζει πιάνο", "قطة تعزف على البيانو", "חתול מנגן בפסנתר", "बिल्ली पियानो बजा रही है",
     "แมวเล่นเปียโน", "🐱🎹", "⏰", "▶️", "1️⃣", "‼️", "👍🏽"],
)  # fmt: skip
def test_english_models_warn_of_other_scripts(model: str, prompt: str) -> None:
    warning = unknown_words(Request.of(prompt, model), None)
    assert warning.startswith(f"{model} does not know ")
    assert warning.endswith(": it knows English only, so write the prompt in English words")
    assert warning.isprintable()


@pytest.mark.parametrize(
    "prompt",
    [CAT, "Zorblax the Ǝrudite", "crème brûlée on a naïve façade", "a cat at a café in Tōkyō",
     "Ｆｕｌｌ", "𝐛𝐨𝐥𝐝 𝓬𝓪𝓽", "Hawaiʻi", "a cat 🎉 at a piano", "20 °C, 5 µm wide lenses",
     "a cat named Мурка here", "© 2024 ™", "10 → 20"],
)  # fmt: skip
def test_english_models_read_latin_letters(prompt: str) -> None:
    assert unknown(prompt, "2b") == ""


def test_pieces_decide_where_the_vocabulary_is_there(tmp_path: Path) -> None:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(["a red circle moves", "the cat plays the piano"] * 9),
        model_writer=model, vocab_size=23, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "spiece.model").write_bytes(model.getvalue())
    for prompt, expected in {
        "a red cat": "",
        "a charm": "",  # a new word, of known pieces
        "🐱 győri 🐱 red": "3 of 4 words of the prompt (🐱, győri)",
        "猫 plays": "1 of 2 words of the prompt (猫)",
    }.items():
        warning = unknown_words(Request.of(prompt, "2b"), tmp_path)
        assert (expected in warning) if expected else warning == ""


def test_damaged_or_missing_tokenizer_leaves_the_scripts(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    for content in (None, b"{", b"{}"):
        if content is not None:
            (tmp_path / "tokenizer" / "tokenizer.json").write_bytes(content)
        assert unknown_words(Request.of(CAT, "2b"), tmp_path) == ""
        assert "does not know" in unknown_words(Request.of("猫", "2b"), tmp_path)


def test_lookup_agrees_with_the_tokenizer_of_the_run() -> None:
    from cogmagic._pipeline.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(TINY)
    lookup = _lookup(TINY / "tokenizer" / "tokenizer.json", 0)
    for text in (CAT, "circle,square rEd", "a 猫 circle… réd\n\nre\u0301d 🎉", "a red-blue (up)"):
        encoded = tokenizer(text, return_offsets_mapping=True)
        tokens = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        spans = [span for token, span in tokens if token == tokenizer.unk_token_id]
        words = _words(text)
        assert lookup(text, words) == [
            any(start < word.end and word.start < end for start, end in spans) for word in words
        ]


def test_plan_warns_without_a_download() -> None:
    described = Machine.of("RTX 4090", ram=64)
    for machine in (None, described):
        (warning,) = cogmagic.plan("一只猫", machine=machine).warnings
        assert warning.startswith("tiny does not know 3 of 3 words of the prompt (一只猫): ")
    plan = cogmagic.plan("一只猫", model="2b", machine=described)
    assert "\nwarning  2b does not know 3 of 3 words of the prompt (一只猫): it" in str(plan)
    assert cogmagic.plan(model="tiny").warnings == ()  # no prompt
    negative = cogmagic.plan(model="tiny", negative_prompt="模糊").warnings
    assert "2 of 2 words of the negative prompt" in negative[0]


def test_run_goes_on_with_the_warning(toy: Path, cwd: Path, session: Session) -> None:
    seen: list[Progress] = []
    video = cogmagic.generate(CAT, model=str(toy), on_progress=seen.append, **QUICK)
    warning = (
        "t2v does not know 4 of 5 words of the prompt (photorealistic, cat, playing, piano): its"
        " tokenizer maps them to <unk>; use other words, or --model 2b"
    )
    assert video.report.warning == warning
    assert warning not in video.facts_line()
    shown = video._repr_mimebundle_()["text/html"]
    assert ".mp4</span><br>warning: t2v does not know 4 of 5 words of the prompt (photo" in shown
    assert {p.warning for p in seen} == {warning}
    chinese = [cogmagic.generate(p, model=str(toy), **QUICK) for p in ("一只猫", "两只狗")]
    assert chinese[0].report.frames_sha256 == chinese[1].report.frames_sha256
    assert [v.report.warning.partition(":")[0] for v in chinese] == [
        f"t2v does not know 3 of 3 words of the prompt ({p})" for p in ("一只猫", "两只狗")
    ]
    again = cogmagic.generate("a red circle", model=str(toy), on_progress=seen.append, **QUICK)
    assert again.report.warning == seen[-1].warning == ""


def test_copy_of_the_embedded_model_knows_the_same(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(TINY, tmp_path / "mine"))
    warning = unknown_words(Request.of(CAT, str(copy)), copy)
    assert warning.startswith("tiny does not know 4 of 5 words")
    assert warning.endswith(KNOWS)


def _captions() -> Any:
    path = Path(__file__).parents[2] / "docs" / "embedded-model" / "captions.py"
    spec = spec_from_file_location("captions", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
