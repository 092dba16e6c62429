"""The outbox on a real catalog: order per subject, repeats, pauses, and what no retry can mend."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.adapters.notify.folder import Folder
from towpath.base.errors import SiteError, Transient
from towpath.base.states import Work
from towpath.contracts.catalog import Claimed
from towpath.flow.outbox import FIRST_PAUSE, LONGEST_PAUSE, couriers, idempotency_key, pause, queue

LEASE = 60.0


class Recorder:
    """A sink that keeps what it got, and fails when it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int, str, Mapping[str, Any]]] = []
        self.failures: list[Exception] = []

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        self.got.append((subject, sequence, key, body))
        if self.failures:
            raise self.failures.pop(0)


class Post:
    """A catalog with its outbox, whose time goes on only when it is told."""

    def __init__(self, folder: Path) -> None:
        self.time = 1_700_000_000.0
        migrate(folder / "catalog.sqlite")
        self.catalog = SqliteCatalog(folder / "catalog.sqlite", now=lambda: self.time)
        self.sink = Recorder()
        self.couriers = couriers(self.catalog, {"bus": self.sink})

    def post(self, subject: str, number: int, destination: str = "bus") -> int:
        return self.catalog.write(lambda tx: tx.post(destination, subject, {"number": number}))

    def claim(self, limit: int = 1, destination: str = "bus") -> list[Claimed]:
        name = queue(destination)
        return self.catalog.write(lambda tx: tx.claim_other(name, limit, lease=LEASE, owner=1))

    def deliver(self) -> None:
        while rows := self.claim():
            for row in rows:
                self.couriers[queue("bus")](row)

    def numbers(self, subject: str = "s") -> list[int]:
        return [body["number"] for name, _, _, body in self.sink.got if name == subject]

    def row(self, work: int) -> Any:
        with self.catalog.read() as view:
            return view.work_row(work)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.catalog.close()


def test_messages_are_sent_in_order_with_their_key(post: Post) -> None:
    works = [post.post("s", number) for number in (1, 2, 3)]
    post.deliver()
    assert post.numbers() == [1, 2, 3]
    sequences = [sequence for _, sequence, _, _ in post.sink.got]
    assert sequences == sorted(set(sequences))
    assert [key for _, _, key, _ in post.sink.got] == [idempotency_key("s", one) for one in sequences]
    assert {post.row(work).state for work in works} == {Work.DONE}


def test_a_message_in_a_transaction_that_fails_was_never_posted(post: Post) -> None:
    def write(tx: Any) -> None:
        tx.post("bus", "s", {})
        raise ValueError

    with pytest.raises(ValueError):
        post.catalog.write(write)
    post.deliver()
    assert post.sink.got == []


def test_what_may_work_later_waits_and_keeps_its_place(post: Post) -> None:
    """A later message of the same subject does not overtake; another subject goes on."""
    first = post.post("s", 1)
    post.post("s", 2)
    post.post("other", 3)
    post.sink.failures = [Transient("away")]
    post.deliver()
    assert post.numbers() == [1]
    assert post.numbers("other") == [3]
    assert (post.row(first).state, post.row(first).note) == (Work.READY, "away")
    post.time += FIRST_PAUSE + 1
    post.deliver()
    assert post.numbers() == [1, 1, 2]
    keys = [key for subject, _, key, _ in post.sink.got if subject == "s"]
    assert keys[0] == keys[1] != keys[2]


def test_pauses_grow_and_the_receiver_is_heard(post: Post) -> None:
    work = post.post("s", 1)
    waits = []
    for _ in range(4):
        post.sink.failures = [Transient("away")]
        post.deliver()
        waits.append(post.row(work).due - post.time)
        post.time = post.row(work).due
    assert waits == [FIRST_PAUSE * factor for factor in (1, 2, 4, 8)]
    post.sink.failures = [Transient("busy", after=1000.0)]
    post.deliver()
    assert post.row(work).due - post.time == 1000.0


def test_what_no_retry_can_mend_fails_with_its_reason(post: Post) -> None:
    work = post.post("s", 1)
    post.sink.failures = [SiteError("answered 404")]
    post.deliver()
    row = post.row(work)
    assert (row.state, row.note) == (Work.FAILED, "SiteError: answered 404")
    post.time += 1e6
    post.deliver()
    assert post.numbers() == [1]
    post.catalog.write(lambda tx: tx.retry([work]))


def test_a_courier_that_died_is_followed_by_a_repeat(post: Post) -> None:
    """At least once: the receiver got it, and nobody wrote so down."""
    work = post.post("s", 1)

    class Killed(BaseException):
        pass

    class Dying(Recorder):
        def send(self, *values: Any) -> None:
            post.sink.send(*values)
            raise Killed

    (claimed,) = post.claim()
    with pytest.raises(Killed):
        couriers(post.catalog, {"bus": Dying()})[queue("bus")](claimed)
    post.deliver()
    assert post.numbers() == [1]
    post.time += LEASE + 1
    post.deliver()
    assert post.numbers() == [1, 1]
    assert post.sink.got[0] == post.sink.got[1]
    assert post.row(work).state is Work.DONE


def test_a_late_courier_changes_nothing(post: Post) -> None:
    work = post.post("s", 1)
    (late,) = post.claim()
    post.time += LEASE + 1
    post.deliver()
    post.sink.failures = [Transient("away")]
    post.couriers[queue("bus")](late)
    assert post.row(work).state is Work.DONE


def test_destinations_are_apart(post: Post, tmp_path: Path) -> None:
    post.post("s", 1, "files")
    post.post("s", 2, "bus")
    folder = tmp_path / "messages"
    folder.mkdir()
    sent = couriers(post.catalog, {"bus": post.sink, "files": Folder(folder)})
    (claimed,) = post.claim(destination="files")
    sent[queue("files")](claimed)
    assert len(list(folder.iterdir())) == 1
    post.deliver()
    assert post.numbers() == [2]


@given(st.integers(0, 10_000), st.floats(0, 1e6))
def test_a_pause_is_bounded_and_never_shorter_than_asked(attempts: int, after: float) -> None:
    assert max(after, FIRST_PAUSE) <= pause(attempts, after) <= max(after, LONGEST_PAUSE)
