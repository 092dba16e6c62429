"""Live events: one hub in a server process reads the story once, encodes each event once, and hands it to whom it concerns.

Promises each client every event of its topics in order, from where it was, without loss or repeat; one that is too slow is told
so (`resync`) and harms no other. Never reads for each client, but once what it missed.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from towpath.api.errors import Refused
from towpath.api.streams import Stream, Streams, Timing, frame
from towpath.app.site import Site
from towpath.base import clock
from towpath.base.model import Event
from towpath.contracts.catalog import Catalog

log = logging.getLogger(__name__)

QUEUE = 256  # events that wait for a client
_EVERY = 0.002  # seconds between two looks for news, while there are some
_TIMEOUT = 0.1  # seconds that the reader waits at once; so long it takes at most to end
_SWEEP = 1.0  # seconds after which it looks though nothing was told: what tells it are hints
_BATCH = 128  # events read at once: clients take them before the next ones are read
_PAGE = 500  # events of a page that a client missed
_PIECE = 64  # events sent to a client at once
_LINGER = 10.0  # seconds that it goes on when the last client has left
_AGAIN = 1.0  # seconds until it tries again after trouble

Key = tuple[str, str | int]
_ALL: Key = ("", "")


@dataclass(frozen=True, slots=True)
class Topics:
    """What a client wants to hear: what is about any of these pipelines, items or runs, or all; of these types, if any is."""

    pipelines: tuple[str, ...] = ()
    items: tuple[int, ...] = ()
    runs: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def places(self) -> list[Key]:
        """Under which keys a client is to be found."""
        about: list[Key] = [("pipeline", one) for one in self.pipelines]
        about += [("item", one) for one in self.items]
        about += [("run", one) for one in self.runs]
        return about or [("type", one) for one in self.types] or [_ALL]

    def has(self, event: Event) -> bool:
        """Whether an event is wanted."""
        if self.types and event.type not in self.types:
            return False
        if not (self.pipelines or self.items or self.runs):
            return True
        return event.pipeline in self.pipelines or event.item in self.items or event.run in self.runs


def keys_of(event: Event) -> tuple[Key, ...]:
    """Under which keys those are to be found whom an event may concern."""
    return (
        _ALL,
        ("pipeline", event.pipeline),
        ("item", event.item),
        ("run", event.run),
        ("type", event.type),
    )


def encode(event: Event) -> bytes:
    """An event as every client gets it; `time` is ISO 8601 in UTC, `item` a number."""
    about = {
        "seq": event.seq,
        "time": clock.text(event.time),
        "type": event.type,
        "pipeline": event.pipeline,
        "item": event.item or None,
        "stage": event.stage,
        "run": event.run,
        "data": event.data,
    }
    return frame(event.type, about, event.seq)


class Listener(Protocol):
    """Whom the hub tells of events."""

    def take(self, event: Event, told: bytes) -> None:
        """An event that may concern it, and its bytes. Must not wait; may come again."""

    def wake(self) -> None:
        """The hub is ready."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a client missed up to event `at`. `lost`: what it asked for is no longer there, and it begins after this one."""

    events: list[Event]
    at: int
    lost: int | None = None


class Hub:
    """The live events of a site, for all clients of a server process.

    `start` it in the server's loop, and `stop` it there. `end_streams` is for a server that waits for its connections before it
    stops anything (`connections.Server`).

    Parameters
    ----------
    site
        Whose events.
    timing
        When streams are pinged, asked about and dropped.
    """

    def __init__(self, site: Site, timing: Timing | None = None) -> None:
        self.catalog: Catalog = site.catalog
        self.streams = Streams(timing)
        self.at, self.is_ready = 0, False  # the last event that was handed out, while it is ready
        self._inside: set[Listener] = set()
        self._index: dict[Key, set[Listener]] = {}

    def start(self) -> None:
        """Begin to read events as soon as somebody listens."""
        self.streams.start()
        self._wanted = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._read_on())

    def end_streams(self) -> None:
        """End all streams now, from any thread; no other begins."""
        self.streams.end()

    async def stop(self) -> None:
        """End all streams and the reading; a catalog that is away is not waited for."""
        self._task.cancel()
        await self.streams.stop()
        await asyncio.gather(self._task, return_exceptions=True)
        last = self._thread.submit(lambda: None)
        await asyncio.wait([asyncio.wrap_future(last)], timeout=1.0)
        self._thread.shutdown(wait=False)

    def stream(
        self,
        topics: Topics | None = None,
        after: int | None = None,
        *,
        visible: Callable[[Event], bool] | None = None,
        still: Callable[[], bool] | None = None,
    ) -> Stream:
        """The answer to one client: its events after one of this number, then as they happen (None: only those).

        Parameters
        ----------
        topics
            What it wants to hear; all by default.
        after
            The last event that it has (`Last-Event-ID`); 0 for all that are kept.
        visible
            Whether the person may see an event; asked for each, so it must be quick, or say by an attribute `waits` that
            it is to be asked in a thread. A `Refused` that it raises ends the stream.
        still
            Whether the person may still see events at all; asked now and then, in a thread.
        """
        return Client(self, topics or Topics(), after, visible, still)

    # ---- who listens
    def enter(self, listener: Listener) -> None:
        """Somebody is going to listen: the hub reads on."""
        self._inside.add(listener)
        self._wanted.set()

    def add(self, listener: Listener, topics: Topics) -> None:
        """Tell it of these events from now on."""
        for key in topics.places():
            self._index.setdefault(key, set()).add(listener)

    def leave(self, listener: Listener, topics: Topics) -> None:
        """Tell it nothing any more."""
        self._inside.discard(listener)
        for key in topics.places():
            found = self._index.get(key)
            if found is not None:
                found.discard(listener)
                if not found:
                    del self._index[key]

    def page(self, after: int, topics: Topics) -> Page:
        """What came after an event, of these topics; reads the catalog."""
        item = topics.items[0] if len(topics.items) == 1 and not (topics.pipelines or topics.runs) else 0
        pipeline = (
            topics.pipelines[0] if len(topics.pipelines) == 1 and not (topics.items or topics.runs) else ""
        )
        with self.catalog.read() as view:
            last, begin = view.last_event(), view.oldest_event() - 1
            lost = last if after > last else begin if after < begin else None
            found = view.events(after if lost is None else lost, item=item, pipeline=pipeline, limit=_PAGE)
        at = found[-1].seq if len(found) == _PAGE else last
        return Page([event for event in found if topics.has(event)], at, lost)

    # ---- reading
    async def _read_on(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._hand_out()
            except Exception:
                log.exception("live events are interrupted")
                self.streams.end_open()
                await asyncio.sleep(_AGAIN)

    async def _hand_out(self) -> None:
        """Read and hand out events while somebody listens, and a little longer."""
        call = partial(self._loop.run_in_executor, self._thread)
        reader = _Reader(self.catalog)
        try:
            self.at = await call(reader.open)
            self.is_ready = True
            self.streams.ask_all()  # what somebody lost before now is told by no event that will be read
            for listener in self._inside:
                listener.wake()
            left = None
            while left is None or time.monotonic() - left < _LINGER:
                self._spread(await call(reader.news))
                await asyncio.sleep(0)  # those who were told send it, before more is read
                left = None if self._inside else left or time.monotonic()
            self._wanted.clear()
        finally:
            self.is_ready = False
            self._thread.submit(reader.close)

    def _spread(self, news: list[tuple[Event, bytes]]) -> None:
        for event, told in news:
            for key in keys_of(event):
                for listener in self._index.get(key, ()):
                    listener.take(event, told)
            self.at = event.seq
            if event.type == "token":  # somebody may have lost what they had
                self.streams.ask_all()


class _Reader:
    """Waits for events and reads them, in one thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._at, self._has_more, self._looked = 0, False, 0.0

    def open(self) -> int:
        """Begin after the last event of now; returns its number."""
        self._watch = self._catalog.watch(_EVERY)
        with self._catalog.read() as view:
            self._at = view.last_event()
        self._looked = time.monotonic()
        return self._at

    def news(self) -> list[tuple[Event, bytes]]:
        """The next events with their bytes, or none after a moment."""
        is_told = self._has_more or self._watch.wait(_TIMEOUT)
        now = time.monotonic()
        if not is_told and now - self._looked < _SWEEP:
            return []
        self._looked = now
        with self._catalog.read() as view:
            found = view.events(self._at, limit=_BATCH)
        self._has_more = len(found) == _BATCH
        if found:
            self._at = found[-1].seq
        return [(event, encode(event)) for event in found]

    def close(self) -> None:
        """End."""
        if hasattr(self, "_watch"):
            self._watch.close()


class Client(Stream):
    """One client: first what it missed, page by page, then what the hub tells it."""

    def __init__(
        self,
        hub: Hub,
        topics: Topics,
        after: int | None,
        visible: Callable[[Event], bool] | None,
        still: Callable[[], bool] | None,
    ) -> None:
        super().__init__(hub.streams, still)
        self._hub, self._topics, self._visible = hub, topics, visible
        self._waits = bool(getattr(visible, "waits", False))
        self._queue: deque[tuple[Event, bytes]] = deque()
        self._after = after  # up to here it missed nothing, or its queue has it
        self._sent = after or 0
        self._is_behind, self._is_late = True, False

    @property
    def is_behind(self) -> bool:
        """Whether it may have missed something that it is still to be told."""
        return self._is_behind or bool(self._queue)

    async def more(self) -> bytes | None:
        """What it missed, then what waits for it."""
        self._hub.enter(self)
        while self._is_behind and self._hub.is_ready and not self.is_over:
            if piece := await self._catch_up():
                return piece
        return b"".join(self._waiting()) if not self._waits else await self._shown()

    async def _catch_up(self) -> bytes:
        """The next page of what it missed; it is told of all that is newer from the moment at which nothing is missing."""
        if self._after is None:
            page: Page | None = Page([], self._hub.at)
        else:
            page = await self.read(self._streams.read(partial(self._hub.page, self._after, self._topics)))
        if page is None or self.is_over:
            return b""
        self._after = self._sent = page.at
        if page.at >= self._hub.at:
            self._is_behind = False
            self._hub.add(self, self._topics)
        pieces = [] if page.lost is None else [frame("resync", {"after": page.lost}, page.lost)]
        pieces += [encode(event) for event in await self._seen(page.events)]
        return b"".join(pieces)

    async def _seen(self, events: list[Event]) -> list[Event]:
        """Those that the person may see. Where nobody can say so, the stream ends: its client comes back for them."""
        visible = self._visible
        if visible is None or not self._waits:
            return [event for event in events if visible is None or visible(event)]
        try:
            found = await self.read(self._streams.read(lambda: [event for event in events if visible(event)]))
        except Refused:
            found = None
            self.end()
        return found or []

    async def _shown(self) -> bytes:
        """What waits for it, where somebody else is asked about events: in a thread, for that may take a while."""
        while self._queue and not self.is_over:
            taken = [self._queue.popleft() for _ in range(min(_PIECE, len(self._queue)))]
            seen = {event.seq for event in await self._seen([event for event, _ in taken])}
            if self.is_over:
                break
            late = frame("resync", {"after": self._sent}) if self._is_late else b""
            self._sent, self._is_late = taken[-1][0].seq, False
            if piece := late + b"".join(told for event, told in taken if event.seq in seen):
                return piece
        return b""

    def take(self, event: Event, told: bytes) -> None:
        """An event for its queue; one that finds it full is the first of a new one."""
        assert self._after is not None
        if event.seq <= self._after or (self._topics.types and event.type not in self._topics.types):
            return
        if len(self._queue) >= QUEUE:
            self._queue.clear()
            self._is_late = True
        self._queue.append((event, told))
        self._after = event.seq
        self.wake()

    def _waiting(self) -> Iterator[bytes]:
        count = 0
        if self._is_late:
            self._is_late = False
            yield frame("resync", {"after": self._sent})
        while self._queue and count < _PIECE:
            event, told = self._queue.popleft()
            self._sent = event.seq
            if self._visible is None or self._visible(event):
                count += 1
                yield told

    def leave(self) -> None:
        """It is told nothing any more."""
        self._hub.leave(self, self._topics)
        self._queue.clear()
