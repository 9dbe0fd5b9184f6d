"""Cells whose first line is not as IPython or the magic needs it: what to type instead."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import UsageError

import cogmagic
from cogmagic import RequestError
from cogmagic._notebook.body import check_body
from cogmagic._notebook.first_line import check_first_line
from cogmagic._notebook.transformer import Transformer
from cogmagic._session.session import session as current
from tests.helpers.cells import PROMPT, printed

RED = f"Type %%cogvideo, and on the line below: {PROMPT}"
RED_7 = f"Type %%cogvideo --seed 7, and on the line below: {PROMPT}"
STATUS = "Type %cogvideo status"
FIRST = "from the first line of a cell, but %%cogvideo is below"
OWN_CELL = "Move to a cell of its own: "

CELLS = {
    # A prompt on the line, or none.
    f"%%cogvideo {PROMPT}": RED,
    f"%%cogvideo {PROMPT}\nand stops": RED,
    f"%%cogvideo '{PROMPT}'": RED,
    f"%%cogvideo --seed 7 {PROMPT}": RED_7,
    f"%%cogvideo {PROMPT} --seed 7": RED_7,
    "%%cogvideo a dog's life": "on the line below: a dog's life",
    f"%%cogvideo -- {PROMPT}": RED,
    f'%%cogvideo prompt="{PROMPT}"': RED,
    f'%%cogvideo "{PROMPT}': RED,
    "%%cogvideo —seed 7\na": "—seed begins with a long dash. Type two hyphens: --seed",
    "%%cogvideo －－seed 7\na": "－－seed begins with a long dash. Type two hyphens: --seed",
    "%%cogvideo model=5b num_frames: 49\na": "Type %%cogvideo --model 5b --num-frames 49",
    "%%cogvideo --model 5b seed 7\na": "Type %%cogvideo --model 5b --seed 7",
    "%%cogvideo --seed 7 5B\na": "5B is a model. Type %%cogvideo --seed 7 --model 5b",
    "%%cogvideo --seed 7 # lucky\na": "Delete it: # lucky",
    "%%cogvideo --seed 7 \\\n --fps 8\na": "Put all options on one line.",
    "%%cogvideo %%cogvideo\na": "Leave out the second: %%cogvideo",
    # Exactly as typed.
    "%%cogvideo seed=7 a red_fox, a dog": "--seed 7, and on the line below: a red_fox, a dog",
    "%%cogvideo num_frames=9 save=my_clip.mp4\na": "Type %%cogvideo --num-frames 9 --save my_clip",
    '%%cogvideo negative_prompt="dark, grey"\na': '--negative-prompt "dark, grey"',
    "%%cogvideo the fox's and the dog's den": "on the line below: the fox's and the dog's den",
    '%%cogvideo a "red" fox': 'on the line below: a "red" fox',
    # Signs between options, and calls of Python.
    "%%cogvideo --seed 1 ; --steps 3\na": "options. Type %%cogvideo --seed 1 --steps 3",
    "%%cogvideo --seed 1, --steps 3\na": "options. Type %%cogvideo --seed 1 --steps 3",
    "%%cogvideo --seed 7;\na": "Spaces separate options. Type %%cogvideo --seed 7",
    '%%cogvideo("a fox", seed=3)\n': "Type %%cogvideo --seed 3, and on the line below: a fox",
    "%cogvideo('a fox', seed=3)": "Type %%cogvideo --seed 3, and on the line below: a fox",
    "%%cogvideo ('a fox', seed=3)\na": "Type %%cogvideo --seed 3, and on the line below: a fox",
    "%%cogvideo('a fox',\n  num_frames=9, fp8=True)": "Type %%cogvideo --num-frames 9 --fp8, and",
    "%%cogvideo(prompt='a fox', negative_prompt='a, b')": '--negative-prompt "a, b", and on the',
    "%%cogvideo('a fox', cfg=3)": "Use --guidance-scale. The prompt goes below the first line: a",
    # Dashes alone, and unknown options after a prompt.
    "%%cogvideo --": "-- is not an option. For all options, type %cogvideo --help",
    "%%cogvideo --seed 7 --\na": "-- is not an option.",
    "%%cogvideo —\na": "— is not an option.",
    "%cogvideo plan --": "type %cogvideo plan --help",
    "%%cogvideo - seed 7\na": "Type %%cogvideo --seed 7",
    f"%%cogvideo {PROMPT} --seed 3 --cfg 3": "Unknown option --cfg. Use --guidance-scale."
    f" The prompt goes below the first line: {PROMPT}",
    f"%cogvideo {PROMPT} --sed 3": "Unknown option --sed. Did you mean '--seed'? The prompt goes",
    f"!cogvideo {PROMPT} --cfg 3": "Use --guidance-scale. The prompt goes below the first line",
    "!cogmagic --version": "The version is cogmagic.__version__ in Python.",
    "%%cogvideo a red fox --seed": "--seed needs a value",
    # Values of several words.
    "%%cogvideo --size 720 x 480\na": "A size has no spaces. Type --size 720x480",
    "%%cogvideo --seed 7 --size (720, 480) --fps 8\na": "Type --size 720x480",
    "%%cogvideo size=720, 480\na": "Type %%cogvideo --size 720x480",
    "%cogvideo plan --size 720 by 480": "Type --size 720x480",
    "%%cogvideo --out my clip --seed 7\na": "cannot contain spaces. Type --out my_clip",
    "%%cogvideo --out my clip.mp4\na": 'To name the file: --save "my clip.mp4"',
    "%%cogvideo --out my clip": "Type %%cogvideo --out my, and on the line below: clip",
    f"%%cogvideo {PROMPT} --negative-prompt dark grey": '--negative-prompt "dark grey"',
    f"cogvideo {PROMPT} — again": "%cogvideo takes a verb, such as %cogvideo status; %%cogvideo",
    "%cogvideo;": "Unknown magic %cogvideo;. Type %cogvideo",
    "%cogvideo status; %cogvideo models": "Move to a line of its own: %cogvideo models",
    "%cogvideo models # all": "Move to a line of its own: # all",
    "%%cogvideo": "The prompt is empty. Type %%cogvideo, and on the line below: a red circle",
    "%%cogvideo\n''": "The prompt is empty.",
    '%%cogvideo --save "my clips"\n \n': 'Type %%cogvideo --save "my clips", and on the line',
    # A verb on the line of a cell.
    "%%cogvideo status": f"with one %, in a cell without a prompt: {STATUS[5:]}",
    "%%cogvideo Release --prompts": "%cogvideo release --prompts",
    f"%%cogvideo plan --model 5b\n{PROMPT}": "%cogvideo plan --model 5b",
    "%%cogvideo save fox.mp4": "%cogvideo save fox.mp4",
    "%%cogvideo plan of a house": "on the line below: plan of a house",
    # Magics and options in the body.
    f"%%cogvideo\n{PROMPT}\n\n%%cogvideo --seed 8\na fox": f"{OWN_CELL}%%cogvideo --seed 8",
    f"%%cogvideo\n{PROMPT}\n%cogvideo status": f"{OWN_CELL}%cogvideo status",
    f"%%cogvideo --fps 8\n--seed 7\n{PROMPT}": "Type %%cogvideo --fps 8 --seed 7, and",
    f"%%cogvideo\n{PROMPT} --seed 7": f"options go on the first line. {RED_7}",
    f"%%cogvideo\n{PROMPT} - again\n--seed=7": "Type %%cogvideo --seed=7, and on the line below",
    f"%%cogvideo\n--seed 7 --truncate\n{PROMPT}": "Type %%cogvideo --seed 7 --truncate, and",
    f"%%cogvideo\n{PROMPT} --cfg 7": "options go on the first line. Use --guidance-scale.",
    # One % for a cell.
    f"%cogvideo --seed 7\n{PROMPT}": RED_7,
    f"%cogvideo\n{PROMPT}": RED,
    f"%cogvideo plan --model 5b\n{PROMPT}": "%cogvideo plan takes no prompt. Delete the text",
    # Not on the first line.
    f"# my clip\n%%cogvideo\n{PROMPT}": f"{FIRST} '# my clip'. Delete the comment",
    f"x = 1\n\n%%cogvideo\n{PROMPT}": f"{FIRST} 'x = 1'. Move it and its prompt",
    f"%load_ext cogmagic\n%%cogvideo\n{PROMPT}": f"{FIRST} '%load_ext cogmagic'",
    "for n in range(3):\n    %%cogvideo\n    a fox": "in a loop, call cogmagic.generate",
    # Without %, with !, and misspelt.
    f"cogvideo {PROMPT}": RED,
    f"cogvideo --seed 7\n{PROMPT}": RED_7,
    f"CogVideo\n{PROMPT}": RED,
    "cogvideo status\nprint(1)": STATUS,
    "!cogvideo status": f"cogvideo is not a shell command; the magic is %cogvideo. {STATUS}",
    f"x = 1\n!!cogvideo {PROMPT}": RED,
    "! %cogvideo status": STATUS,
    f"%%CogVideo --seed 7\n{PROMPT}": f"Unknown magic %%CogVideo. {RED_7}",
    f"%%cogvid\n{PROMPT}": RED,
    f"%%covideo {PROMPT}": RED,
    f"%%cog-video\n{PROMPT}": RED,
    "%cog video status": STATUS,
    f"%%CogVideoX-5b --seed 7\n{PROMPT}": f"Unknown magic %%CogVideoX-5b. {RED_7}",
    "%CogVideo status": f"Unknown magic %CogVideo. {STATUS}",
    "% cogvideo status": STATUS,
    f"%% cogvideo\n{PROMPT}": RED,
    f"%%%cogvideo\n{PROMPT}": RED,
    f"%%cogvideo: {PROMPT}": RED,
    f"%%cogvideo({PROMPT})": RED,
    f"%%cogvideo--seed 7\n{PROMPT}": RED_7,
    "%cogvideo.status()": STATUS,
    "%%CogVideo?": "Type %cogvideo --help",
    "cogmagic status": STATUS,
    f"％％cogvideo\n{PROMPT}": RED,
    "！cogvideo status": STATUS,
    f"clip = %%cogvideo\n{PROMPT}": f"Type %%cogvideo --out clip, and on the line below: {PROMPT}",
}


@pytest.mark.parametrize("source", CELLS)
def test_cell_is_answered_in_one_line_with_what_to_type(
    shell: Any, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    with pytest.raises(RequestError) as raised:
        shell.run(source)
    assert CELLS[source] in str(raised.value)
    shown = capsys.readouterr()
    assert shown.out == f"RequestError: {raised.value}\n"
    assert shown.err == ""
    assert current().loaded is None


@pytest.mark.parametrize("space", ["\t", "\u00a0", "\u3000"])
def test_any_space_or_invisible_character_may_surround_the_magic(shell: Any, space: str) -> None:
    assert "tier " in printed(shell, f"\u200b%%cogvideo{space}--dry-run\n{PROMPT}")


def test_dry_run_needs_no_prompt(shell: Any) -> None:
    plan = printed(shell, "%%cogvideo --model 5b --dry-run")
    assert "49 frames of 720x480" in plan
    assert "why " in plan


@pytest.mark.parametrize(
    "source",
    [
        "text = '''\n%%cogvideo --seed 1\na fox\n'''",
        "text = ('a',\n  '%d' % 3)",
        "cogvideo = 3\ncogvideo -1",
        "cogvideo: int = 3\ncogvideo += 1",
        "x, cogvideo = 5, 3\ny = (x\n  % cogvideo)",
        "import cogmagic\ncogmagic.plan",
        "%%time\nx = 1",
        "%%capture\n%cogvideo status",
        "%%time\n%cogvideo status\nx = 1",
        "%cogvideo status\nx = 1",
        "!echo cogvideo",
        "%config CogMagic.tier = 'auto'",
    ],
)
def test_cells_that_run_are_left_as_they_are(shell: Any, source: str) -> None:
    lines = source.splitlines(keepends=True)
    assert Transformer(shell)(lines) is lines
    shell.run(source)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("%%video\na fox", UsageError),
        ("%%coverage\na fox", UsageError),
        ("%cogvideo status\nfor n in range(3)\n    print(n)", SyntaxError),
        ("cogvideo.run(", SyntaxError),
    ],
)
def test_errors_of_other_magics_and_of_python_stay(
    shell: Any, source: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        shell.run(source)


def test_registered_magic_with_a_similar_name_stays(shell: Any) -> None:
    shell.register_magic_function(lambda _, cell: cell.upper(), "cell", "cogvideo2")
    assert shell.run("%%cogvideo2\na fox") == "A FOX\n"


def test_timed_cell_runs_and_is_answered(shell: Any) -> None:
    assert "tier " in printed(shell, f"%%time\n%%cogvideo --dry-run\n{PROMPT}")


def test_cell_being_typed_is_incomplete(shell: Any) -> None:
    manager = shell.input_transformer_manager
    assert manager.check_complete("%%cogvideo --seed 7")[0] == "incomplete"
    assert manager.check_complete(f"%%cogvideo\n{PROMPT}\n\n")[0] == "complete"
    assert manager.check_complete("%cogvideo status")[0] == "complete"
    assert manager.check_complete("%%time")[0] == "incomplete"


@pytest.mark.parametrize(
    "line",
    [
        "%%CogVideo", "%%COGVIDEO --seed 7", "%%cogvideos", "%%cogvideox", "%%cogmagic",
        "%%cog-video", "%% cogvideo", "％％cogvideo", "%%cogvideo: a fox", "%%cogvideo--seed 7",
        " %%CogVideo",
    ],
)  # fmt: skip
def test_misspelt_cell_magic_is_answered_when_its_line_is_typed(shell: Any, line: str) -> None:
    manager = shell.input_transformer_manager
    assert manager.check_complete(line)[0] == "complete"
    with pytest.raises(RequestError, match=r"Unknown magic .* Type %%cogvideo"):
        shell.run(line)


@pytest.mark.parametrize(
    "body",
    [
        "a man --image of strength-- walks",
        "a light --seconds later-- turns green",
        "a letter --m",
        "the word --help on a sign",
        "%%off sale",
        "a fox\n%%time flies\n%time",
        "%cogvideo is great",
        "%%cogvideo status quo",
        "%cogvideo plan of a house",
        "100% cogvideo",
    ],
)
def test_dashes_and_percent_signs_in_a_prompt_are_prose(body: str) -> None:
    check_body("--seed 7", body)


@pytest.mark.parametrize(
    "text",
    [
        "%%cogvideo",
        "%cogvideo;",
        "  %%CogVideo --seed 7",
        "％％cogvideo -o clip",
        "%%cogvideo seed=7",
        "%cogvideo?",
        "% cogvideo status;",
        "%cogvideo save fox.mp4",
        "%cogvideo plan --model 5b",
    ],
)
def test_second_magic_in_a_body_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="Move to a cell of its own"):
        check_body("--seed 7", f"a fox\n{text}")


@pytest.mark.parametrize(
    ("line", "body", "answer"),
    [
        ("--gpus 0, 2", "a fox", 'Quote a value with spaces: --gpus "VALUE".'),
        ("model=5b, seed=7", "a fox", "Type %%cogvideo --model 5b --seed 7"),
        ("a red fox", "runs in snow", "on the line below: a red fox runs in snow"),
    ],
)  # fmt: skip
def test_words_on_the_line_beside_a_body(line: str, body: str, answer: str) -> None:
    with pytest.raises(RequestError) as raised:
        check_first_line(line, body)
    assert answer in str(raised.value)


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("  %%cogvideo a fox", "The prompt goes below the first line."),
        ("%cogvideo version", f"This is cogmagic {cogmagic.__version__}"),
        ("%cogvideo plan RTX 4090", 'Type %cogvideo plan --gpu "RTX 4090"'),
        ("%cogvideo plan 1.5", "Type %cogvideo plan --model 1.5-5b"),
        ("%cogvideo plan --model CogVideoX 5b", "Type --model 5b"),
        ("%%cogvideo(seed=3, steps=4)\na fox", "Type %%cogvideo --seed 3 --steps 4"),
        ("%%cogvideo --vram-limit 8 GB\na fox", "Type --vram-limit 8GB"),
        ("%%cogvideo --seed 1 2\na fox", "2 follows the value of --seed. It takes one number."),
        ("%%cogvideo --scheduler DDIM\na fox", "Did you mean 'ddim'?"),
        ("%%cogvideo --save “fox.mov”\na fox", "--save fox.mov: the file must end in"),
        ("%%cogvideo --model hf.co/THUDM/CogVideoX-5b\na fox", "--model THUDM/CogVideoX-5b"),
    ],
)
def test_names_amounts_and_quotes_as_people_type_them(
    shell: Any, capsys: pytest.CaptureFixture[str], cell: str, answer: str
) -> None:
    shell.run_cell(cell)
    shown = "".join(capsys.readouterr())
    assert answer in shown
    assert len(shown.strip().splitlines()) == 1
