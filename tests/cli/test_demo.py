"""`towpath demo`: runs once, ends with where things are, and says so when it has run already."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.mark.slow
def test_the_demonstration_runs_once(spawn: Command, tmp_path: Path) -> None:
    first = spawn("demo", "gam", "--json", folder=tmp_path)
    assert first.code == 0, first.err
    (item,) = first.document["items"]
    assert set(item["states"].values()) == {"done"}
    assert item["verdict"] in ("pass", "warn")
    assert item["published"]
    assert all(Path(place).exists() for place in item["published"])
    second = spawn("demo", "gam", folder=tmp_path)
    assert second.code == 0
    assert second.out.startswith("Nothing to do: the demonstration has run already.")
    picture = second.out.partition("Look at the picture: ")[2].splitlines()[0]
    assert (tmp_path / picture).is_file()
    assert spawn("status", "--site", "demo-gam", folder=tmp_path).code == 0


def test_what_cannot_be_shown_is_refused(
    invoke: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("demo", "nix").code == 3
    assert invoke("demo", "gam", "--data", "nix.ast").code == 2
    assert not any(tmp_path.iterdir())
