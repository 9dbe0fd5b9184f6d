"""Tables of prompts as checked requests: every form, and every wrong row by its number."""

from __future__ import annotations

import csv
import json
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

from cogmagic import OutputError, Request, RequestError
from cogmagic._api.batch.generate_many import start
from cogmagic._api.batch.rows import BatchSource, rows_of, source_of
from cogmagic._models.batch_row import Row
from cogmagic._models.inputs import ANY_INPUT

PROMPTS = ["a red circle", 'a "quoted", blue square\nover two lines', "größer; ein Kreis 😀"]


def rows(prompts: Any = None, **source: Any) -> tuple[Row, ...]:
    return rows_of(BatchSource(prompts, **{"model": "tiny"} | source))


def facts(row: Row) -> tuple[Any, ...]:
    r = row.request
    return r.prompt, r.num_inference_steps, r.seed, r.size


def as_csv(path: Path, table: list[dict[str, Any]], **how: Any) -> Path:
    encoding = how.pop("encoding", "utf-8")
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), **how)
        writer.writeheader()
        writer.writerows(table)
    return path


def test_every_form_of_a_table_gives_the_same_rows(cwd: Path) -> None:
    sizes = ("64x96", "96x96", "96x64")
    table = [
        {"prompt": p, "steps": 2 + n, "seed": n, "size": sizes[n]} for n, p in enumerate(PROMPTS)
    ]
    expected = [facts(row) for row in rows(table)]
    assert expected[1] == (PROMPTS[1], 3, 1, "96x96")
    lines = "\n".join(json.dumps(row) for row in table)
    Path("a.jsonl").write_text(f"\ufeff{lines}\n\n", encoding="utf-8")
    frame = pandas.DataFrame(table)
    frame.to_csv("pandas.csv", index=False)
    sources = [
        as_csv(Path("a.csv"), table),
        as_csv(Path("bom.csv"), table, encoding="utf-8-sig"),
        as_csv(Path("excel.CSV"), table, encoding="utf-16", delimiter="\t"),
        as_csv(Path("semicolons.csv"), table, delimiter=";", lineterminator="\n"),
        as_csv(Path("mac.csv"), table, quoting=csv.QUOTE_ALL),
        Path("pandas.csv"),
        Path("a.jsonl"),
        "a.jsonl",
        frame,
        iter(table),
        [Request.of(**row, model="tiny") for row in table],
        [{"Prompt": r["prompt"], "num-inference-steps": r["steps"], "--seed": np.int64(r["seed"]),
          "width": int(r["size"][:2]), "height": int(r["size"][3:])} for r in table],
    ]  # fmt: skip
    for source in sources:
        assert [facts(row) for row in rows(source)] == expected, source


def test_text_file_has_a_prompt_a_line_without_the_blank_ones(cwd: Path) -> None:
    Path("a.txt").write_bytes('\ufeffone, "two"\r\n\r\n  \r\n größer \r\n'.encode())
    assert [row.request.prompt for row in rows("a.txt")] == ['one, "two"', "größer"]
    assert [row.number for row in rows("a.txt")] == [1, 2]


def test_missing_values_are_options_left_out(cwd: Path) -> None:
    frame = pandas.DataFrame({"prompt": ["a", None, "c"], "steps": [2, None, 4]})
    made = rows(frame, prompt="default", options={"steps": 7, "seed": 5})
    assert [facts(row)[:3] for row in made] == [("a", 2, 5), ("default", 7, 5), ("c", 4, 5)]
    Path("a.csv").write_text("prompt,steps,seed\na,2,\n,,9\nc\n")
    made = rows("a.csv", prompt="default", options={"num_inference_steps": 7})
    assert [facts(row)[:2] for row in made] == [("a", 2), ("default", 7), ("c", 7)]
    assert [row.drawn for row in made] == [True, False, True]


def test_seeds_multiply_rows() -> None:
    made = rows(["a", "b"], seeds="3,1,3")
    assert [(row.number, row.request.prompt, row.request.seed) for row in made] == [
        (1, "a", 3), (2, "a", 1), (3, "a", 3), (4, "b", 3), (5, "b", 1), (6, "b", 3),
    ]  # fmt: skip
    assert [row.request.seed for row in rows(prompt="a", seeds=np.arange(3))] == [0, 1, 2]


def test_num_videos_counts_seeds_up_from_the_first() -> None:
    made = rows(prompt="a", num_videos=3, options={"seed": 7})
    assert [(row.request.seed, row.drawn) for row in made] == [(7, False), (8, False), (9, False)]
    made = rows([{"prompt": "a", "seed": 4}, "b"], num_videos=2)
    assert [row.request.seed for row in made][:2] == [4, 5]
    assert made[3].request.seed == made[2].request.seed + 1
    assert [row.drawn for row in made] == [False, False, True, True]


def test_equal_rows_are_separate_videos() -> None:
    assert [row.number for row in rows(["a", "a"], options={"seed": 1})] == [1, 2]


def test_pictures_are_read_when_their_row_runs(cwd: Path) -> None:
    Image.new("RGB", (720, 480), "red").save("red.png")
    Image.new("RGB", (720, 480), "blue").save("blue.png")
    Path("a.csv").write_text("prompt,image\na,red.png\nb,blue.png\nc,red.png\n")
    made = rows("a.csv", model="5b-i2v")
    assert made[0].inputs == made[2].inputs != made[1].inputs
    assert [row.request.image for row in made] == [ANY_INPUT] * 3
    assert made[1].complete().image.getpixel((0, 0)) == (0, 0, 255)
    in_memory = rows([{"prompt": "a", "image": Image.open("red.png")}], model="5b-i2v")
    assert in_memory[0].inputs["image"].digest == made[0].inputs["image"].digest
    assert in_memory[0].complete().image.getpixel((0, 0)) == (255, 0, 0)
    options = {"image": "red.png", "last_image": "blue.png", "paste_back": True, "fit": "crop"}
    both = rows(["a", "b"], model="tiny-inp", options=options)[1].complete()
    assert (both.paste_back, both.fit) == (True, "crop")
    assert both.last_image.getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.slow
def test_ten_thousand_rows_are_checked(cwd: Path) -> None:
    table = [{"prompt": f"a red circle, number {n}", "steps": 2, "size": "96x96"}
             for n in range(10_000)]  # fmt: skip
    path = as_csv(cwd / "many.csv", table)
    assert len(rows(path)) == 10_000


A = {"prompt": "a"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"prompts": [A, A | {"step": 3}]}, "Row 2: Unknown column 'step'. Did you mean 'steps'?"),
        ({"prompts": [A, A | {"cfg": 3}]}, "Row 2: Unknown column 'cfg'. Use 'guidance_scale'."),
        ({"prompts": [A, A | {"model": "5b"}]}, "Row 2: 'model' cannot be a column: it holds for"),
        ({"prompts": [A | {"tier": "none"}]}, "type --tier NAME beside --prompts"),
        ({"prompts": [A | {"dtype": "float32"}]}, "'dtype' cannot be a column"),
        ({"prompts": [A | {"fp8": True}]}, "type --fp8 beside --prompts"),
        ({"prompts": [A | {"save": "x.mp4"}]}, "'save' cannot be a column"),
        ({"prompts": [A, A | {"steps": "3"}]}, "Row 2: num_inference_steps='3' is not a whole"),
        ({"prompts": [A, A | {"steps": 3.5}]}, "Row 2: num_inference_steps=3.5 is not a whole"),
        ({"prompts": [A | {"seed": True}]}, "seed=True is not a whole number"),
        ({"prompts": [A | {"frames": 50}]}, "Row 1: tiny cannot make 50 frames"),
        ({"prompts": [A | {"frames": 9, "num_frames": 9}]}, "frames=9 stands for num_frames"),
        ({"prompts": [A | {"Seed": 1, "seed": 2}]}, "'seed' is given twice"),
        ({"prompts": [A | {"truncate": "x"}]}, "truncate='x' is neither true nor false"),
        ({"prompts": [A | {"truncate": 0.5}]}, "truncate=0.5 is neither true nor false"),
        ({"prompts": cycle("a")}, "at most 100,000 videos, but this one would have more."),
        ({"prompts": np.array("ab"), "prompt": "c"}, "The row has its own prompt"),
        ({"prompts": [A, ""]}, "Row 2: The prompt is empty"),
        ({"prompts": [A, {"prompt": 5}]}, "Row 2: The prompt must be text, not int"),
        ({"prompts": ["a", None]}, "Row 2 is of type NoneType, but must be a prompt or a dict"),
        ({"prompts": []}, "The table of prompts has no rows"),
        ({"prompts": 7}, "The prompts are of type int, but must be a file"),
        ({"prompts": A}, "The prompts are of type dict"),
        ({"prompts": "words"}, "--prompts words is neither a variable nor a file"),
        ({"prompts": "gone.csv"}, "--prompts gone.csv: no such file"),
        ({"prompts": ["a"], "prompt": "b"}, "The row has its own prompt, so this one"),
        ({"prompts": ["a"], "seeds": "1,2", "num_videos": 2}, "Leave out one of them"),
        ({"prompts": [A | {"seed": 3}], "seeds": "1,2"}, "Row 1: The row has a seed of its own"),
        ({"prompt": "a", "seeds": "1,2", "options": {"seed": 1}}, "Leave out --seed."),
        ({"prompt": "a", "seeds": "1, x"}, "'x' is not a whole number"),
        ({"prompt": "a", "seeds": "1,,2"}, "'' is not a whole number"),
        ({"prompt": "a", "seeds": "1,-2"}, "seed is -2, but must be 0"),
        ({"prompt": "a", "seeds": []}, "has no seed"),
        ({"prompt": "a", "seeds": 7}, "For one video: seed=7"),
        ({"prompt": "a", "seeds": [1, "2"]}, "seed='2' is not a whole number"),
        ({"prompt": "a", "num_videos": 0}, "--num-videos 0 is not a whole number from 1"),
        ({"prompt": "a", "num_videos": 2.0}, "--num-videos 2.0 is not a whole number"),
        ({"prompt": "a", "num_videos": 10**9}, "this one would have 1,000,000,000."),
        ({"prompt": "a", "num_videos": 2, "options": {"seed": 2**64 - 1}}, "must be 0 to 2^64"),
        ({"prompt": "a", "options": {"foo": 1}}, "Unknown option 'foo'"),
        ({"prompts": [Request.of("a", "tiny")], "options": {"steps": 3}}, "The Request has its"),
        ({"prompts": [Request.of("a", "tiny")], "model": "2b"}, "The Request is for tiny, but"),
        ({"prompts": [Request.of("a", "tiny"), Request.of("a", "tiny", dtype="float32")]},
         "Row 2: dtype, lora and preset hold for"),
        ({"prompts": [A | {"image": "x.png"}]}, "Row 1: tiny takes no image"),
        ({"prompts": [A], "model": "5b-i2v"}, "Row 1: 5b-i2v needs a first frame"),
        ({"prompts": [A | {"image": "x.png"}], "model": "5b-i2v"}, "Row 1: No image at x.png"),
    ],
)  # fmt: skip
def test_wrong_row_is_refused_with_its_number(
    cwd: Path, source: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError) as error:
        rows(**source)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "The table of prompts has no rows"),
        ("a.csv", b"prompt,seed\n", "The table of prompts has no rows"),
        (
            "a.csv",
            b"a red fox\na blue fox\n",
            "a.csv, row 1: Unknown column 'a red fox'. The first",
        ),
        ("a.csv", b"prompt,seed\na,1\nb,x\n", "a.csv, row 2: seed is 'x', which is not a whole"),
        ("a.csv", b"prompt,seed\na,1.2346E+15\n", "seed is '1.2346E+15', which is not a whole"),
        ("a.csv", b"prompt,guidance_scale\na,high\n", "guidance_scale is 'high', which is not a"),
        ("a.csv", b"prompt,truncate\na,maybe\n", "truncate is 'maybe', but must be true or"),
        ("a.csv", b"prompt,size\na,big\n", "a.csv, row 1: size='big' is not a size"),
        ("a.csv", b"prompt,seed\na, with commas,1\n", "a.csv: row 1 has 3 cells, but the first"),
        ("a.csv", b"prompt,prompt\na,b\n", "a.csv has the column 'prompt' twice"),
        ("a.csv", b",prompt\n0,a\n", "If it is the index of a DataFrame, save it with index=False"),
        ("a.csv", b'prompt\na\n"b"c\n', "a.csv: row 2 (up to line 3) is not valid CSV"),
        ("a.csv", b'prompt\n"a\n', "is not valid CSV (unexpected end of data)"),
        ("a.csv", "prompt\na\ngrün\n".encode("latin-1"), "is not UTF-8 (line 3, byte 0xfc). Save"),
        ("a.jsonl", b'"a"\n{"prompt": }\n', "a.jsonl: row 2 (line 2) is not valid JSON"),
        ("a.jsonl", b'"a"\n\n3\n', "a.jsonl: row 2 (line 3) is of type int"),
        ("a.jsonl", b'{"prompt": "a", "seed": 1, "seed": 2}', "has 'seed' twice"),
        ("a.jsonl", b'[{"prompt": "a"}]', "is of type list"),
        ("a.jsonl", b'{"prompt": "a", "seed": "1"}', "row 1: seed='1' is not a whole number"),
        ("a.jsonl", b"[" * 100_000, "is not valid JSON"),
        ("a.txt", b"\n \n", "The table of prompts has no rows"),
        ("a.json", b"{}", "is neither a variable nor a file that ends in .csv, .jsonl or .txt"),
    ],
)
def test_wrong_file_is_refused_with_the_row(
    cwd: Path, name: str, content: bytes, message: str
) -> None:
    Path(name).write_bytes(content)
    with pytest.raises(RequestError) as error:
        rows(name)
    assert message in str(error.value)


def test_home_of_nobody_is_refused() -> None:
    with pytest.raises(RequestError, match=r"cannot be read \(~nobody-at-all is no user's home"):
        rows("~nobody-at-all/a.csv")


@pytest.mark.parametrize(
    ("source", "save"), [({"prompts": "a.csv"}, None), ({"prompt": "a", "seeds": [1]}, "a.mp4")]
)
def test_removed_working_directory_is_refused(
    cwd: Path, monkeypatch: pytest.MonkeyPatch, source: dict[str, Any], save: str | None
) -> None:
    (cwd / "gone").mkdir()
    monkeypatch.chdir(cwd / "gone")
    (cwd / "gone").rmdir()
    with pytest.raises(OutputError, match="The working directory no longer exists"):
        start(*source_of(source), save)


def test_switches_and_counts_may_be_numbers_of_numpy() -> None:
    two = rows([A | {"truncate": 1.0}], num_videos=np.int64(2))
    assert [row.request.truncate for row in two] == [True, True]


def test_folder_is_no_table(cwd: Path) -> None:
    Path("a.csv").mkdir()
    with pytest.raises(RequestError, match=r"'a.csv' cannot be read \(Is a directory\)"):
        rows("a.csv")
