"""What was asked of others a moment ago: once at a time, for a while, in bounded memory."""

import threading

import pytest

from towpath.app.fresh import Fresh, Pace
from towpath.base.errors import Transient


def test_an_answer_holds_for_a_while() -> None:
    now, asked = [0.0], []
    fresh: Fresh[int] = Fresh(30.0)
    fresh.now = lambda: now[0]

    def ask() -> int:
        asked.append(now[0])
        now[0] += 5.0  # it holds from when it was asked for, not from when it was answered
        return len(asked)

    assert fresh.known("a") is None
    assert [fresh.get("a", ask), fresh.get("a", ask), fresh.known("a")] == [1, 1, 1]
    now[0] = 29.9
    assert fresh.get("a", ask) == 1
    now[0] = 30.0
    assert fresh.known("a") is None
    assert fresh.get("a", ask) == 2
    assert fresh.get("b", ask) == 3


def test_little_is_kept() -> None:
    fresh: Fresh[int] = Fresh(30.0, most=3)
    for number in range(10):
        fresh.get(number, lambda number=number: number)  # type: ignore[misc]
    assert [number for number in range(10) if fresh.known(number) is not None] == [7, 8, 9]


def test_many_who_ask_at_once_are_one_question_and_share_its_trouble() -> None:
    fresh: Fresh[int] = Fresh(30.0)
    begun, go_on = threading.Event(), threading.Event()
    asked, told = [], []

    def ask() -> int:
        asked.append(1)
        begun.set()
        assert go_on.wait(10)
        raise Transient("away")

    def get() -> None:
        try:
            fresh.get("a", ask)
        except Transient as error:
            told.append(str(error))

    threads = [threading.Thread(target=get) for _ in range(4)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert told == ["away"] * 4
    assert len(asked) <= 4
    assert fresh.get("a", lambda: 7) == 7, "trouble is not kept"


def test_who_did_not_answer_is_let_be_for_a_moment() -> None:
    now = [0.0]
    pace = Pace(2, 30.0, 5.0)
    pace.now = lambda: now[0]

    def fail() -> int:
        raise Transient("away", after=8.0)

    with pytest.raises(Transient, match="away"):
        pace.ask("a", fail)
    with pytest.raises(Transient) as caught:
        pace.ask("a", lambda: 1)
    assert caught.value.after == 8.0
    assert pace.ask("b", lambda: 1) == 1
    now[0] = 8.0
    assert pace.ask("a", lambda: 1) == 1
