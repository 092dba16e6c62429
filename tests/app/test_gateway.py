"""What a run writes through the server: one upload never touches another, and none is in the way of the run's end."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from towpath import Site
from towpath.adapters.executors.staging import Folders, Staging, clear
from towpath.base.errors import StateError

PIPELINE = """
[pipeline]
name = "far"

[sources.asked]
kind = "submit"
item = "job"

[items.job]
route = "away"

[items.job.stages.away]
kind = "command"
argv = ["true"]
produces.text = { type = "text/plain", file = "text.txt" }
"""
SECOND = 'produces.more = { type = "text/plain", file = "more.txt" }\n'


@dataclass
class Run:
    """A run that goes on and has opened its output `text`, which is to be written at `target`."""

    site: Site
    name: tuple[int, int]
    place: str
    staging: Staging
    target: Path

    def take(self, data: Iterator[bytes]) -> str:
        return self.site.take_output(*self.name, "text", "text.txt", data).sha256

    def left(self) -> list[str]:
        return sorted(path.name for path in self.target.parent.iterdir())


@pytest.fixture(params=["lone", "several"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    lone = request.param == "lone"
    (tmp_path / "far.toml").write_text(PIPELINE if lone else PIPELINE + SECOND)
    (tmp_path / "towpath.toml").write_text('[pipelines.far]\nfile = "far.toml"\n')
    with Site.open(tmp_path, environ={}) as site:
        site.submit("far/job", [{"key": "a"}])
        kind = site.definitions["far"].kinds["job"]
        (claimed,) = site.catalog.write(lambda tx: tx.claim(kind, kind.stages["away"], 1, lease=600, owner=1))
        place = str(tmp_path / "store/far/job/away/a")
        staging = Staging(place, claimed.token, lone, Folders())
        target = Path(staging.open("text", "text.txt"))
        yield Run(site, (claimed.work, claimed.token), place, staging, target)


def test_a_second_upload_of_an_output_is_not_written_into_by_the_first(run: Run) -> None:
    """A client that is tired of waiting tries again: the first may go on all the same, and ends later."""
    told = []

    def slow() -> Iterator[bytes]:
        yield b"slow "
        told.append(run.take(iter([b"again"])))
        yield b"to the end"
        assert run.target.read_bytes() == b"again"

    told.append(run.take(slow()))
    assert told == [sha256(text).hexdigest() for text in (b"again", b"slow to the end")]
    assert run.target.read_bytes() == b"slow to the end"
    assert run.left() == [run.target.name]


def test_an_upload_that_breaks_off_takes_no_other_with_it(run: Run) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    def whole() -> Iterator[bytes]:
        yield b"who"
        with pytest.raises(ConnectionResetError):
            run.take(broken())
        yield b"le"

    assert run.take(whole()) == sha256(b"whole").hexdigest()
    assert run.target.read_bytes() == b"whole"
    assert run.left() == [run.target.name]


def end(run: Run) -> None:
    run.target.write_bytes(b"its own")
    run.staging.close("text", str(run.target))
    run.staging.finish()


def bury(run: Run) -> None:
    clear(run.place, run.name[1])


@pytest.mark.parametrize(("act", "left"), [(end, [b"its own"]), (bury, [])])
def test_an_upload_under_way_is_not_in_the_way_of_the_run_s_end(
    run: Run, act: Callable[[Run], None], left: list[bytes]
) -> None:
    store = Path(run.place).parent

    def late() -> Iterator[bytes]:
        yield b"late"
        act(run)
        run.site.catalog.write(lambda tx: tx.stop([run.name[0]], "me", "enough"))

    with pytest.raises(StateError, match="does not run"):
        run.take(late())
    assert [path.read_bytes() for path in store.rglob("*") if path.is_file()] == left
