"""A run's log as a stream: from any byte, as it is written, until the run has ended.

Promises each follower every byte once, in order, and the outcome at the end; one reader serves all that follow a run, and who is
late reads for itself. Never changes the text, and never cuts a character.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from towpath.api.live import Hub, Topics
from towpath.api.streams import Stream, frame
from towpath.app.looking import SETTLED, LogPart
from towpath.app.site import Site
from towpath.base.errors import NotFoundError
from towpath.base.model import Event

_PAUSES = (0.2, 0.5)  # seconds between two looks, at first and when nothing is written
PART = 1 << 16  # bytes of a piece
_KEPT = 8  # pieces that a reader keeps for those who are a little late


def told(data: bytes, begin: int) -> bytes:
    """The event for a piece of a log. Its number is the byte after it, from which the client would go on."""
    end = begin + len(data)
    return frame("log", {"begin": begin, "end": end, "text": data.decode(errors="replace")}, end)


def told_end(run: str, end: int, outcome: str | None, why: str = "") -> bytes:
    """The last event: how long the log is, and how the run ended, or why nothing is known of that."""
    return frame("end", {"run": run, "end": end, "outcome": outcome, "why": why}, end)


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes [begin, end) of a log, and the event that tells them."""

    data: bytes
    begin: int
    end: int
    told: bytes

    def after(self, begin: int) -> bytes:
        """The event for what it holds past a byte."""
        return self.told if begin == self.begin else told(self.data[begin - self.begin :], begin)


class _Reader:
    """Reads on at the end of one run's log for all who have come so far, from byte `at`."""

    def __init__(self, logs: "LogStreams", run: str, at: int) -> None:
        self.run, self.at = run, at
        self.last: LogPart | None = None  # once the run has ended
        self.is_over = False
        self._logs, self._topics = logs, Topics(runs=(run,))
        self._pieces: deque[Piece] = deque(maxlen=_KEPT)
        self._followers: set[Follower] = set()
        self._awake = asyncio.Event()
        logs.hub.enter(self)
        logs.hub.add(self, self._topics)
        self._task = asyncio.create_task(self._read_on())

    def enter(self, follower: "Follower") -> None:
        """Somebody waits for what comes."""
        self._followers.add(follower)

    def leave(self, follower: "Follower") -> None:
        """It wants nothing more."""
        self._followers.discard(follower)
        if not self._followers:
            self._task.cancel()
            self._logs.hub.leave(self, self._topics)
            self._logs.discard(self)

    def after(self, byte: int) -> Piece | None:
        """The piece that goes on after `byte`, if it was read of late."""
        return next((piece for piece in self._pieces if piece.begin <= byte < piece.end), None)

    def take(self, event: Event, told: bytes) -> None:
        """Something happened to the run: look."""
        self._awake.set()

    def wake(self) -> None:
        """The hub is ready."""

    async def _read_on(self) -> None:
        pause = _PAUSES[0]
        while not self.is_over:
            if await self._read():
                pause = _PAUSES[0]
                for follower in self._followers:
                    follower.wake()
            else:
                await self._pause(pause)
                pause = min(pause * 1.2, _PAUSES[1])

    async def _read(self) -> bool:
        """Read once; returns whether there is news."""
        try:
            part = await self._logs.part(self.run, self.at)
        except Exception:  # noqa: BLE001  each follower reads for itself now, and meets it there
            self.is_over = True
            return True
        if part.data:
            self._pieces.append(Piece(part.data, part.begin, part.end, told(part.data, part.begin)))
        if part.ended:
            self.last, self.is_over = part, True
        self.at = part.end
        return bool(part.data) or part.ended

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._awake.wait(), seconds)
        except TimeoutError:
            return
        self._awake.clear()


class LogStreams:
    """The logs that are followed in a server process.

    Parameters
    ----------
    site
        Whose runs.
    hub
        Tells that something happened to a run; its streams are of the same kind.
    """

    def __init__(self, site: Site, hub: Hub) -> None:
        self.site, self.hub = site, hub
        self.readers: dict[str, _Reader] = {}

    def stream(self, run: str, begin: int = 0, *, still: Callable[[], bool] | None = None) -> Stream:
        """The answer to one client: events `log` from byte `begin`, then `end`; `waiting` as long as nothing was written.

        Reads the catalog: call it where one may wait.

        Parameters
        ----------
        run
            ``WORK.TOKEN``, or ``ITEM:STAGE``: the run that goes on or comes next, else the last.
        begin
            How many bytes the client has (`Last-Event-ID`).
        still
            Whether the person may still see it; asked now and then, in a thread.

        Raises
        ------
        NotFoundError
            If there is no such item, stage or run, the run never began, or its log is no longer kept.
        """
        name = self.site.log_part(run, begin, limit=4).run
        return Follower(self, name, begin, still)

    async def part(self, run: str, at: int) -> LogPart:
        """What there is past byte `at`, and no other run's; raises as `Site.log_part`."""
        look, read = self.site.log_part, self.hub.streams.read
        part = await read(partial(look, run, at, limit=PART))
        if part.ended or not part.data or len(part.data) > PART - 4:
            return part
        await asyncio.sleep(SETTLED)
        return part.before(await read(partial(look, run, part.end, limit=4)))

    def reader(self, run: str, at: int) -> _Reader:
        """The one that reads for all who follow a run; begun, if need be, at byte `at`."""
        found = self.readers.get(run)
        if found is None or found.is_over:
            found = self.readers[run] = _Reader(self, run, at)
        return found

    def discard(self, reader: _Reader) -> None:
        """Forget a reader that nobody needs."""
        if self.readers.get(reader.run) is reader:
            del self.readers[reader.run]


class Follower(Stream):
    """One client: it reads for itself up to the end of the log, then a reader tells it what comes."""

    def __init__(self, logs: LogStreams, run: str, begin: int, still: Callable[[], bool] | None) -> None:
        super().__init__(logs.hub.streams, still)
        self._logs, self._run, self._at = logs, run, begin
        self._reader: _Reader | None = None
        self._has_waited = self._is_done = False

    async def more(self) -> bytes | None:
        """The next piece, shared if somebody reads for all, else read for this client."""
        if self._is_done:
            return None
        if self._reader is not None:
            piece = self._reader.after(self._at)
            if piece is not None:
                begin, self._at = self._at, piece.end
                return self._told(piece, begin)
            if self._reader.last is not None and self._at == self._reader.last.end:
                return self._end(self._reader.last)
            if not self._reader.is_over and self._at >= self._reader.at:
                return b""
        return await self._read()

    async def _read(self) -> bytes:
        try:
            part = await self.read(self._logs.part(self._run, self._at))
        except NotFoundError as error:
            return self._lost(error)
        if part is None or self.is_over:
            return b""
        self._at = part.end
        if not part.data and not part.ended:
            self._join()
            return self._wait(part)
        piece = Piece(part.data, part.begin, part.end, told(part.data, part.begin)) if part.data else None
        return (self._told(piece, part.begin) if piece else b"") + (self._end(part) if part.ended else b"")

    def _told(self, piece: Piece, begin: int) -> bytes:
        """What is sent of a piece, past a byte."""
        return piece.after(begin)

    def _lost(self, error: NotFoundError) -> bytes:
        """What is sent where the log cannot be read on."""
        self._is_done = True
        return told_end(self._run, self._at, None, str(error))

    def _end(self, part: LogPart) -> bytes:
        self._is_done = True
        return told_end(part.run, part.end, part.outcome.value if part.outcome else None)

    def _join(self) -> None:
        """Let another read from here on."""
        if self._reader is not None and self._reader.is_over:
            self.leave()
        if self._reader is None:
            self._reader = self._logs.reader(self._run, self._at)
            self._reader.enter(self)

    def _wait(self, part: LogPart) -> bytes:
        if part.end or self._has_waited:
            return b""
        self._has_waited = True
        return frame("waiting", {"run": part.run})

    def leave(self) -> None:
        """Nobody needs to read for it."""
        if self._reader is not None:
            self._reader.leave(self)
            self._reader = None
