"""Prompts that would break out, if they could: of HTML, of a terminal, of a file, of a template."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import cogmagic
from cogmagic import BusyError, Progress, RequestError
from cogmagic._session.session import Session
from cogmagic._video.formats.registry import read_metadata

HOSTILE = {
    "html": '</div><script>alert(1)</script><img src=x onerror="alert(1)">',
    "colours": "a \x1b[31mred\x1b[0m fox \x07\x9b2J",
    "emoji": "a 🦊 in the ❄️ 👩‍🚀",
    "right to left": "a fox \u202egnp.exe عربي \u2067",
    "nul": "a\0fox\0",
    "quotes": "\"a' `fox` \\n \\\\ $HOME {name} {{name}} %s %(x)s $(rm -rf /)",
    "lines": "a fox\n%%cogvideo --model 5b\r\n! rm -rf /\u2028fox",
    "long": "fox " * 25_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_prompts_that_are_not_text_are_refused(
    toy: Path, cwd: Path, session: Session, shell: Any, kind: str
) -> None:
    prompt = HOSTILE[kind]
    shown: list[str] = []

    def ask_again(progress: Progress) -> None:
        if progress.phase == "denoise" and not shown:
            with pytest.raises(BusyError) as error:
                cogmagic.generate(prompt, model=str(toy))
            shown.append(str(error.value))

    wish: dict[str, Any] = {"model": str(toy), "seed": 1, "num_inference_steps": 1}
    wish |= {"truncate": True, "on_progress": ask_again}
    video = cogmagic.generate(prompt, **wish)
    bundle = video._repr_mimebundle_()
    for text in (*bundle.values(), *shown, repr(video)):
        plain = re.sub(r"base64,[\w+/=]+", "", text)
        assert not re.search("[\0\x07\x1b\x9b\u202e\u2067]", plain)
    assert "<script" not in bundle["text/html"]
    assert "<img" not in bundle["text/html"]
    assert "\n" not in shown[0]
    assert len(shown[0]) < 400
    assert re.fullmatch(r"cogvideo-[\d-]+\.mp4", video.path.name)
    assert read_metadata(video.path)["prompt"] == prompt.strip()
    assert len(list(cwd.iterdir())) == 1


def test_folder_names_are_escaped(toy: Path, cwd: Path, session: Session) -> None:
    odd = "<b>\u202emodel\u061c"
    (cwd / odd).symlink_to(toy)
    told: list[str] = []
    video = cogmagic.generate(
        "a fox", model=str(cwd / odd), save=cwd / f"{odd}.mp4", num_inference_steps=1, seed=1,
        on_progress=lambda p: told.append(p.note),
    )  # fmt: skip
    shown = [*video._repr_mimebundle_().values(), repr(video), str(cogmagic.status()), *told]
    for text in shown:
        assert not re.search("[\u202e\u061c]", text)
    assert "<b>" not in shown[0]
    video.path.unlink()
    assert not re.search("[\u202e\u061c]", video.player_html())


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_unpaired_surrogate_is_refused(toy: Path, cwd: Path, session: Session, field: str) -> None:
    wish = {"prompt": "a fox", field: "a fox \ud83e", "model": str(toy)}
    with pytest.raises(RequestError, match=r"unpaired surrogate \(U\+D83E\) at position 6"):
        cogmagic.generate(**wish)
    assert list(cwd.iterdir()) == []


def test_cell_body_is_taken_literally(toy: Path, cwd: Path, session: Session, shell: Any) -> None:
    shell.user_ns["name"] = "swapped"
    body = "a fox {name} {{name}} $name %s <b>"
    shell.run(f"%%cogvideo --model {toy} --steps 1 --out clip\n{body}\n")
    assert shell.user_ns["clip"].prompt == body
