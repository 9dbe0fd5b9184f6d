"""Status, release and the list of models."""

from __future__ import annotations

from pathlib import Path

import pytest

import cogmagic
from cogmagic._session.session import Session
from tests.helpers.toy import PROMPT, QUICK


def test_status_and_release(toy: Path, cwd: Path, session: Session) -> None:
    assert "nothing" in str(cogmagic.status())
    cogmagic.generate(PROMPT, model=str(toy), **QUICK)
    assert "t2v (float32)" in str(cogmagic.status())
    assert cogmagic.release().startswith("Freed")
    assert cogmagic.release() == "Nothing was loaded."
    models = cogmagic.models()
    assert "5b-i2v" in str(models)
    embedded = models["tiny"].folder
    assert embedded is not None
    assert (embedded / "model_index.json").is_file()
    with pytest.raises(cogmagic.RequestError, match="Unknown model 'tine'"):
        models["tine"]
