"""Answers that go on: server-sent events written as bytes, by the thousand in one process.

Promises that a stream ends when its client goes, takes nothing for a while or may no longer see it, and at once when the server
stops; that silence is broken by a ping; that no client waits for another. Never keeps more for a client than its bounded queue.
"""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")
log = logging.getLogger(__name__)

CUT = "towpath.cut"  # the extension by which a server lets an answer cut its connection (`connections.Connection`)
_LAST = 0.3  # seconds that clients and threads are waited for at the end
_THREADS = 4  # that read for streams; each has a connection of its own to the catalog
_PING = b": ping\n\n"
_OPENED = b"retry: 2000\n: open\n\n"  # milliseconds after which a browser tries again
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: str, data: Any, number: int | str | None = None) -> bytes:
    """One event as it goes over the wire. JSON on one line of ASCII: whatever `data` holds, the framing stays whole."""
    name = event if event.isprintable() else "".join(filter(str.isprintable, event))
    text = json.dumps(data, separators=(",", ":"))
    counted = "" if number is None else f"id: {number}\n"
    return f"{counted}event: {name}\ndata: {text}\n\n".encode("ascii", "replace")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: of silence until a ping, between two questions whether one may see this, until who takes nothing goes."""

    ping: float = 15.0
    still: float = 60.0
    patience: float = 30.0

    @property
    def tick(self) -> float:
        """Seconds between two looks at all streams."""
        return min(0.5, self.ping / 8, self.still / 8, self.patience / 8)


class Streams:
    """All open streams of a server process, and the threads that read for them."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.is_ending = False
        self._open: set[Stream] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._reading: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def start(self) -> None:
        """Begin, in the loop that runs."""
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="streams")
        self._minder = self._loop.create_task(self._mind())

    def read(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """What `call` will return, from a thread that may wait for the catalog or a disk."""
        reading = self._loop.run_in_executor(self._pool, call)
        self._reading.add(reading)
        reading.add_done_callback(self._read)
        return reading

    def _read(self, reading: asyncio.Future[Any]) -> None:
        self._reading.discard(reading)
        if not reading.cancelled():
            reading.exception()  # whoever asked may be gone: then nobody misses it

    def end(self) -> None:
        """End all streams, and let no other begin. May be called from any thread, and again."""
        self.is_ending = True
        self._loop.call_soon_threadsafe(self.end_open)

    def end_open(self) -> None:
        """End the streams that are open; their clients come back."""
        for stream in list(self._open):
            stream.end(cut=True)

    async def stop(self) -> None:
        """End all, and the threads; one that waits for a catalog that is away is not waited for."""
        self.is_ending = True
        self.end_open()
        self._minder.cancel()
        for task in self._asking:
            task.cancel()
        await asyncio.wait([self._minder, *self._asking, *self._reading], timeout=_LAST)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ask_all(self) -> None:
        """Ask for every stream now whether the person may still see it."""
        for stream in list(self._open):
            if stream.is_asked:
                self.ask(stream)

    def ask(self, stream: "Stream") -> None:
        """Ask for one stream now."""
        task = self._loop.create_task(stream.ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def add(self, stream: "Stream") -> None:
        """A stream was opened."""
        self._open.add(stream)

    def discard(self, stream: "Stream") -> None:
        """It is over."""
        self._open.discard(stream)

    async def _mind(self) -> None:
        while True:
            await asyncio.sleep(self.timing.tick)
            now = self._loop.time()
            for stream in list(self._open):
                if stream.mind(now, self.timing):
                    self.ask(stream)


class Stream(Response, ABC):
    """One answer that goes on. A kind of stream says in `more` what there is to send, and calls `wake` when there may be.

    Parameters
    ----------
    streams
        All of this process.
    still
        Whether the person may still see this; asked now and then, in a thread.
    """

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, still: Callable[[], bool] | None = None) -> None:
        self.status_code, self.background = 200, None
        self.init_headers(_HEADERS)
        self._streams, self._still = streams, still
        self._awake = asyncio.Event()
        self._is_sending = self._is_silent = False
        self._since = self._asked = 0.0
        self._cut: Callable[[], object] | None = None
        self._over: asyncio.Future[None] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._over is None or self._over.done()

    @property
    def is_asked(self) -> bool:
        """Whether anybody is to be asked for it."""
        return self._still is not None and not self.is_over

    @abstractmethod
    async def more(self) -> bytes | None:
        """What is to be sent now: nothing yet (empty), or nothing any more (None)."""

    def leave(self) -> None:
        """The stream is over, whatever its client does: let go what is kept for it."""

    # ---- the answer
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what there is, as long as it goes on."""
        loop = asyncio.get_running_loop()
        self._cut = (scope.get("extensions") or {}).get(CUT, {}).get("abort")
        self._over = loop.create_future()
        self._asked = self._since = loop.time()
        hearing = asyncio.ensure_future(self._hear(receive))
        self._streams.add(self)
        if self.is_asked:  # the right may have been lost since the request was looked at
            self._streams.ask(self)
        try:
            await self._send(
                send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            )
            await self._send(send, {"type": "http.response.body", "body": _OPENED, "more_body": True})
            if not self._streams.is_ending:
                await self._go_on(send)
            if self._streams.is_ending and self._cut is not None:
                loop.call_later(
                    _LAST, self._cut
                )  # what is left for one who reads nothing would keep the server
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.discard(self)
            self.end()
            hearing.cancel()

    async def _go_on(self, send: Send) -> None:
        while not self.is_over:
            self._awake.clear()
            piece = await self.more()
            if piece is None:
                return
            if not piece and self._is_silent:
                piece = _PING
            if self.is_over:
                return
            if piece:
                await self._send(send, {"type": "http.response.body", "body": piece, "more_body": True})
            else:
                await self._awake.wait()

    async def _send(self, send: Send, message: dict[str, Any]) -> None:
        """Send, which may take as long as the client does not read."""
        loop = asyncio.get_running_loop()
        self._is_sending, self._since = True, loop.time()
        await send(message)
        self._is_sending = self._is_silent = False
        self._since = loop.time()

    async def _hear(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end()

    async def read(self, reading: Awaitable[T]) -> T | None:
        """What is being read; None if the stream is over before."""
        assert self._over is not None
        task = asyncio.ensure_future(reading)
        try:
            await asyncio.wait((task, self._over), return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()

    # ---- what others do to it
    def wake(self) -> None:
        """There may be something to send."""
        self._awake.set()

    def end(self, *, cut: bool = False) -> None:
        """End it; with `cut` also if its client takes nothing, where the server lets us."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
            self.leave()
            self._awake.set()
        if cut and self._is_sending and self._cut is not None:
            self._cut()

    def mind(self, now: float, timing: Timing) -> bool:
        """Look at the clock: is a ping due, has the client taken nothing for too long; returns whether to `ask`."""
        waited = now - self._since
        if self._is_sending and waited > timing.patience:
            self.end(cut=True)
        elif not self._is_sending and waited >= timing.ping:
            self._is_silent = True
            self._awake.set()
        if self._still is None or self.is_over or now - self._asked < timing.still:
            return False
        self._asked = now
        return True

    async def ask(self) -> None:
        """Ask whether the person may still see this, and end it if not, or if nobody can tell."""
        assert self._still is not None
        try:
            may = await self._streams.read(self._still)
        except Exception:
            log.exception("a stream is ended: permission could not be asked")
            may = False
        if not may:
            self.end()
