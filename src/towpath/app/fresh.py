"""What was asked of others a moment ago, and is taken to hold for a while.

Promises that the same is asked once at a time, however many want to know it, and that little memory is needed whatever comes.
What could not be asked is not kept.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

from towpath.base.errors import Transient

T = TypeVar("T")

_PEOPLE = 10_000  # whose pace is kept


class Fresh(Generic[T]):
    """Answers by what was asked.

    Parameters
    ----------
    lasts
        Seconds for which an answer holds.
    most
        Answers that are kept.
    """

    def __init__(self, lasts: float, most: int = 10_000) -> None:
        self.now: Callable[[], float] = time.monotonic  # its clock, in seconds
        self._lasts, self._most = lasts, most
        self._known: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._under_way: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def known(self, name: Hashable) -> T | None:
        """The answer, if it is known."""
        with self._lock:
            found = self._known.get(name)
        return found[1] if found is not None and self.now() - found[0] < self._lasts else None

    def get(self, name: Hashable, ask: Callable[[], T]) -> T:
        """The answer: the one that is known, or what `ask` returns, which may raise."""
        with self._lock:
            found = self._known.get(name)
            if found is not None and self.now() - found[0] < self._lasts:
                return found[1]
            waiting = self._under_way.get(name)
            mine: Future[T] = Future()
            if waiting is None:
                self._under_way[name] = mine
        return waiting.result() if waiting is not None else self._asked(name, ask, mine)

    def _asked(self, name: Hashable, ask: Callable[[], T], mine: "Future[T]") -> T:
        begun = self.now()  # what is answered may have been so only then
        try:
            answer = ask()
        except BaseException as error:
            with self._lock:
                del self._under_way[name]
            mine.set_exception(error)
            raise
        with self._lock:
            self._known.pop(name, None)
            self._known[name] = begun, answer
            while len(self._known) > self._most:
                self._known.popitem(last=False)
            del self._under_way[name]
        mine.set_result(answer)
        return answer


class Pace:
    """How often others are asked for somebody: not at once again when they failed, and so often at most in a while.

    Parameters
    ----------
    most, lasts
        Questions in so many seconds.
    pause
        Seconds until others are asked again who failed.
    """

    def __init__(self, most: int, lasts: float, pause: float) -> None:
        self.now: Callable[[], float] = time.monotonic
        self._most, self._lasts, self._pause = most, lasts, pause
        self._asked: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()
        self._until: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, who: Hashable, call: Callable[[], T]) -> T:
        """What `call` returns.

        Raises
        ------
        Transient
            If it is too early, or `call` raises it.
        """
        self._check(who)
        try:
            return call()
        except Transient as error:
            with self._lock:
                self._until[who] = self.now() + max(error.after, self._pause)
                _shorten(self._until)
            raise

    def _check(self, who: Hashable) -> None:
        with self._lock:
            now = self.now()
            wait = self._until.get(who, 0.0) - now
            begun, count = self._asked.pop(who, (now, 0))
            if now - begun >= self._lasts:
                begun, count = now, 0
            if count >= self._most:
                wait = max(wait, begun + self._lasts - now)
            self._asked[who] = begun, count + (wait <= 0)
            _shorten(self._asked)
        if wait > 0:
            raise Transient("it was asked too much, or did not answer a moment ago", wait)


def _shorten(known: "OrderedDict[Hashable, T]") -> None:
    while len(known) > _PEOPLE:
        known.popitem(last=False)
