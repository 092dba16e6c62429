"""Shell completion: commands, options, and names from the site; and nothing at all where there is no site."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from towpath.cli import entry

Command = Callable[..., Any]


@pytest.fixture
def completed(spawn: Command, shared: Path) -> Callable[..., list[str]]:
    """Give `completed(words, folder)`: what bash would offer for the last of the words."""

    def offer(words: str, folder: Path = shared) -> list[str]:
        done = spawn(folder=folder, **asking(words))
        assert not done.err, done.err
        return list(done.out.split())

    return offer


def asking(words: str) -> dict[str, str]:
    """What bash puts into the environment when it asks."""
    number = len(words.split(" ")) - 1
    return {"_TOWPATH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}


@pytest.fixture
def completed_here(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Give the same in this process, which is faster."""
    monkeypatch.chdir(shared)

    def offer(words: str) -> list[str]:
        done = CliRunner(env=asking(words)).invoke(entry.app, prog_name="towpath")
        assert not done.stderr, done.stderr
        return list(done.stdout.split())

    return offer


def test_commands(completed: Callable[..., list[str]]) -> None:
    assert completed("towpath ex") == ["explain"]
    assert set(entry.MODULES) <= set(completed("towpath "))


def test_options(completed: Callable[..., list[str]]) -> None:
    assert "--sizes" in completed("towpath status --")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("towpath show fi", ["first"]),
        ("towpath show series/s", ["series/second"]),
        ("towpath explain broken cl", ["clean"]),
        ("towpath items --state fa", ["failed"]),
        ("towpath items --kind se", ["series"]),
        ("towpath retry --stage pub", ["publish"]),
        ("towpath inventory remap st", ["store"]),
    ],
)
def test_names_of_the_site(
    completed_here: Callable[[str], list[str]], words: str, offered: list[str]
) -> None:
    assert completed_here(words) == offered


def test_a_process_offers_names_too(completed: Callable[..., list[str]]) -> None:
    assert completed("towpath show series/s") == ["series/second"]


def test_without_a_site_nothing_is_offered(completed: Callable[..., list[str]], tmp_path: Path) -> None:
    assert completed("towpath show fi", tmp_path) == []
