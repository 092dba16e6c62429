"""Publication under fire: real processes that are killed at every fault point, late ones, and many at one place.

What must hold at every instant: exactly one right copy at its place, or none and a state from which it goes on.
"""

import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from publishing import BYTES, LEASE, World

from towpath.base import faults
from towpath.base.states import Publication as State
from towpath.base.states import Work
from towpath.flow.publish import tidy

LONE = {"documents": False, "products": ["make.grid"]}
NO_NOREPLACE = "transfer.rename:1+:raise=EINVAL,transfer.link:1+:raise=EPERM"
FOLDER_POINTS = [
    name
    for name in faults.POINTS
    if name.startswith("publish.") and name not in ("publish.link", "publish.drop", "publish.trash")
]
FAST = ("publish.copy", "publish.rename", "publish.renamed")


class Process:
    """One process that publishes, armed with a fault; its mark tells that the fault struck."""

    def __init__(self, site: World, fault: str = "", gate: Path | None = None) -> None:
        self.site = site
        self.mark = site.folder / f"mark-{time.monotonic_ns()}"
        env = {faults.VARIABLE: fault, faults.MARK: str(self.mark), faults.GATE: str(gate or "")}
        self.popen = site.start(env if fault else {})

    def struck(self) -> bool:
        """Wait until the fault strikes; False if the process ended without it."""
        end = time.monotonic() + 60
        while not self.mark.exists():
            assert time.monotonic() < end
            if self.popen.poll() is not None:
                return self.mark.exists()
            time.sleep(0.005)
        return True

    def ended(self) -> str:
        """How it ended, by its own words."""
        said, _ = self.popen.communicate(timeout=60)
        return said.split("claimed\n")[-1].strip()

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


def tidied(site: World) -> None:
    """What is left of dead and late processes goes with the sweep, and nothing else does."""
    files = [name for name in site.files() if not name.startswith(".") and "/." not in name]
    tidy(site.catalog, site.storage, site.transfers)
    assert site.files() == files
    assert site.hidden() == []
    assert tidy(site.catalog, site.storage, site.transfers) == 0


def killed_at(site: World, fault: str) -> None:
    """Let a process die there, look at what it left, and let the next attempt heal it."""
    with Process(site, fault) as process:
        assert process.struck(), f"{fault} is never passed: {process.ended()}"
        assert process.popen.wait(60) == -signal.SIGKILL
    site.assert_whole_or_not_there()
    site.later(LEASE + 1)
    if site.publish_row().state is not Work.DONE:
        report = site.publish()
        assert report.outcome.value in ("done", "unchanged"), report
    site.assert_right(site.rows()[-1].target)
    assert len(site.messages()) == 1
    tidied(site)


# ---- a kill at each point


@pytest.mark.parametrize(
    "point",
    [point if point in FAST else pytest.param(point, marks=pytest.mark.slow) for point in FOLDER_POINTS],
)
def test_a_process_killed_at_a_point_is_healed_by_the_next(world: Callable[..., World], point: str) -> None:
    site = world()
    site.make()
    if point == "publish.remove":  # there is something to remove only after another was killed
        with Process(site, "publish.copied") as first:
            assert first.struck()
        site.later(LEASE + 1)
    killed_at(site, point)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "publish.copied",
        "publish.rename",
        "publish.link",
        "publish.renamed",
    ],
)
def test_the_same_of_a_lone_file(world: Callable[..., World], fault: str) -> None:
    site = world(**LONE)
    site.make()
    killed_at(site, fault)
    assert site.files() == ["line/survey/S-1/make-grid.bin"]


def test_where_no_file_system_call_refuses_to_replace_a_note_holds_the_place(
    world: Callable[..., World],
) -> None:
    """Killed there, the note is no product and no conflict: the next attempt knows that it may go."""
    site = world(**LONE)
    site.make()
    with Process(site, f"transfer.hole:1:kill,{NO_NOREPLACE}") as process:
        assert process.struck()
    target = site.archive / "line/survey/S-1/make-grid.bin"
    assert target.read_bytes().startswith(b"towpath places a file here: .1.1.")
    assert site.rows()[0].state is State.PLACING
    site.later(LEASE + 1)
    assert site.publish().outcome.value == "done"
    site.assert_right("line/survey/S-1/make-grid.bin")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["publish.renamed", "publish.release", "publish.drop"])
def test_the_same_where_the_source_goes(world: Callable[..., World], point: str) -> None:
    site = world(mode="move")
    place = site.make()
    killed_at(site, point)
    with site.catalog.read() as view:
        for product in view.products([site.item], stages=["make"]):
            assert site.storage.content(product.root, product.path).sha256 == product.sha256
            assert product.root == "archive"
    if point != "publish.drop":
        assert list(place.iterdir()) == []


def test_a_temporary_that_is_killed_while_it_is_removed_goes_with_the_next(
    world: Callable[..., World],
) -> None:
    site = world()
    site.make()
    for fault in ("publish.copied", "publish.trash"):
        with Process(site, fault) as process:
            assert process.struck()
        site.later(LEASE + 1)
    assert [name for name in site.hidden() if name.endswith(".trash")]
    killed_at(site, "publish.trash")


# ---- late ones: all of them in the midst of publishing the same product


def crowd(stack: ExitStack, site: World, points: list[str], gate: Path) -> list[Process]:
    """Start processes one after the other, each after the lease of the last ended, each waiting at its point."""
    found = []
    for point in points:
        if site.publish_row().deaths > 3:
            site.take_away()
        found.append(stack.enter_context(Process(site, f"{point}:1:wait", gate)))
        assert found[-1].struck(), (point, found[-1].ended())
        site.later(LEASE + 1)
    return found


def released_at_once(site: World, points: list[str]) -> list[str]:
    gate = site.folder / "gate"
    gate.touch()
    with ExitStack() as stack:
        processes = crowd(stack, site, points, gate)
        site.assert_whole_or_not_there()
        gate.unlink()
        said = [process.ended() for process in processes]
    site.assert_whole_or_not_there()
    if site.publish_row().state is not Work.DONE:
        site.later(1e6)
        if site.publish_row().state in (Work.FAILED, Work.POISONED):
            site.retry()
        site.publish()
    site.assert_right(site.rows()[-1].target)
    assert len(site.messages()) == 1
    tidied(site)
    return said


BEFORE = [
    "publish.copy",
    "publish.bytes",
    "publish.copied",
    "publish.verify",
    "publish.check",
    "publish.rename",
]


@pytest.mark.parametrize("points", [["publish.bytes", "publish.copy"], ["publish.rename"] * 2])
def test_of_two_processes_that_publish_the_same_one_does(
    world: Callable[..., World], anywhere: Callable[[], str], points: list[str]
) -> None:
    site = world(url=anywhere())
    site.make()
    said = released_at_once(site, points)
    assert [text.split()[0] for text in said] == ["stopped", "done"], said


@pytest.mark.slow
def test_of_eight_processes_that_publish_the_same_one_does(
    world: Callable[..., World], anywhere: Callable[[], str]
) -> None:
    """A folder on the one catalog, a lone file on the other."""
    url = anywhere()
    site = world(url=url, **(LONE if url else {}))
    site.make()
    drawn = random.Random(2 if url else 1)
    points = [drawn.choice(BEFORE) for _ in range(7)]
    said = released_at_once(
        site, [*points, drawn.choice(["publish.rename", "publish.renamed", "publish.commit"])]
    )
    assert [text.split()[0] for text in said] == ["stopped"] * 7 + ["done"], said


# ---- many sites, one place


def sites(
    world: Callable[..., World], count: int, archive: Path, content: Callable[[int], bytes]
) -> list[World]:
    found = []
    for number in range(count):
        found.append(world(f"site{number}", archive=archive, owner=str(number), **LONE))
        found[-1].make({"grid": content(number), "plot": b"png"})
    return found


def all_at_once(some: list[World], gate: Path) -> list[str]:
    gate.touch()
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(site, "publish.rename:1:wait", gate)) for site in some]
        assert all(process.struck() for process in processes)
        gate.unlink()
        return [process.ended() for process in processes]


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_sites_that_publish_equal_bytes_to_one_place_share_them(
    world: Callable[..., World], tmp_path: Path, count: int
) -> None:
    some = sites(world, count, tmp_path / "archive", lambda _: BYTES["grid"])
    said = all_at_once(some, tmp_path / "gate")
    assert [text.split()[0] for text in said] == ["done"] * count, said
    for site in some:
        site.assert_right("line/survey/S-1/make-grid.bin")
    assert some[0].files() == ["line/survey/S-1/make-grid.bin"]


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_of_sites_that_publish_other_bytes_to_one_place_one_does(
    world: Callable[..., World], tmp_path: Path, count: int
) -> None:
    some = sites(world, count, tmp_path / "archive", lambda number: b"%d" % number * 3000)
    said = all_at_once(some, tmp_path / "gate")
    winners = [site for site, text in zip(some, said, strict=True) if text.startswith("done")]
    assert len(winners) == 1, said
    winners[0].assert_right("line/survey/S-1/make-grid.bin")
    losers = [site for site in some if site is not winners[0]]
    for site in losers:
        assert site.rows()[-1].state is State.CONFLICT
        assert "never overwritten" in site.rows()[-1].error
    target = some[0].archive / "line/survey/S-1/make-grid.bin"
    target.rename(target.with_name("moved away"))
    losers[0].retry()
    assert losers[0].publish().outcome.value == "done"
    losers[0].assert_right("line/survey/S-1/make-grid.bin")
