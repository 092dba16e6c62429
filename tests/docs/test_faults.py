"""The tests that the documentation names as proof are there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("page", "least"),
    [
        ("docs/explanation/publication.md", 40),
        ("src/towpath/pipelines/dsa110/README.md", 40),
        ("src/towpath/pipelines/compchem/README.md", 15),
    ],
)
def test_every_test_that_is_named_exists(page: str, least: int):
    text = (REPOSITORY / page).read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    folders = (REPOSITORY / "tests", REPOSITORY / "src/towpath/testing")
    sources = [path.read_text() for folder in folders for path in folder.rglob("*.py")]
    there = {name for source in sources for name in re.findall(r"def (test_\w+)", source)}
    assert len(named) > least
    assert named <= there, sorted(named - there)
