"""Items, live, for the routes of a pipeline: what happens to one or some, and the logs of all runs of one after another.

Promises that the streams are resumed where they were cut off, and that those of one item end, with the event `end`, when nothing
more is to happen; what that means the caller says. Never tells what the person may not view (any more).
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import Request

from towpath.api.asking import Asked
from towpath.api.errors import Refused
from towpath.api.live import Client, Hub, Topics
from towpath.api.logs import Follower, LogStreams, Piece
from towpath.api.routes.events import seer
from towpath.api.streams import Stream, frame
from towpath.app.looking import LogPart
from towpath.base import ids
from towpath.base.errors import NotFoundError, TowpathError
from towpath.base.model import Event, Item
from towpath.base.states import Work
from towpath.contracts.auth import Permission

Ends = Callable[[], Mapping[str, Any] | None]
_PLACE = re.compile(r"(\d{1,18}\.\d{1,18}):(\d{1,18})$")


def item_events(request: Request, asker: Asked, item: int, *, ends: Ends, last: str = "") -> Stream:
    """Answer with an item's events from its first one on, as they happen.

    Parameters
    ----------
    request, asker
        The request, and who asks; that they may view the item was asked before.
    item
        Its number.
    ends
        Tells, asked in a thread, what the event `end` says; None as long as more is to happen.
    last
        The header `Last-Event-ID`: where the stream was cut off.
    """
    after = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else 0
    return _Story(request.app.state.hub, asker, item, after, ends)


def events_of(
    request: Request,
    asker: Asked,
    pipeline: str,
    mine: Callable[[Item], bool],
    *,
    still: Callable[[], bool] = lambda: True,
    last: str = "",
) -> Stream:
    """Answer with what happens to some items of a pipeline, those there are and those to come.

    Parameters
    ----------
    request, asker
        The request, and who asks; events that they may not view are not told.
    pipeline
        The pipeline.
    mine
        Whether an item is one of them; asked once for each.
    still
        Whether the asker may still see any of this; asked now and then, in a thread.
    last
        The header `Last-Event-ID`: where the stream was cut off; without it the stream begins now.
    """
    number = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else None
    visible, known = seer(asker), dict[int, bool]()

    def seen(event: Event) -> bool:
        if event.item not in known:
            with asker.access.site.catalog.read() as view:
                known[event.item] = bool(event.item) and mine(view.item(event.item))
        return known[event.item] and visible(event)

    hub: Hub = request.app.state.hub
    return hub.stream(
        topics=Topics(pipelines=(pipeline,)),
        after=number,
        visible=seen,
        still=lambda: asker.is_in_force() and still(),
    )


def item_log(request: Request, asker: Asked, item: int, *, ends: Ends, last: str = "") -> Stream:
    """Answer with the logs of all runs of an item, in the order in which they began, as they are written.

    Events: `step` when a run begins (`step`, `run`) and ends (also `outcome`), `lines` (`text`, which begins at the byte
    `begin` of the run's log), `waiting` while a run has written nothing, `end`. Parameters are those of `item_events`.
    """
    found = _PLACE.match(last.strip())
    place = (found[1], int(found[2])) if found else None
    return _Logs(request.app.state.logs, asker, item, place, ends)


def _still(asker: Asked, item: int, permission: Permission) -> bool:
    """Whether somebody may still do this to an item."""
    try:
        asker.item(item, permission)
    except (Refused, TowpathError):
        return False
    return asker.is_in_force()


class _Story(Client):
    """An item's events, until nothing more is to happen to it."""

    def __init__(self, hub: Hub, asker: Asked, item: int, after: int, ends: Ends) -> None:
        still = partial(_still, asker, item, Permission.VIEW)
        super().__init__(hub, Topics(items=(item,)), after, seer(asker), still)
        self._ends, self._is_done = ends, False

    async def more(self) -> bytes | None:
        """What there is; where that is nothing, whether more is to come."""
        if self._is_done:
            return None
        piece = await super().more()
        if piece or self.is_behind or self.is_over:
            return piece
        told = await self.read(self._streams.read(self._ends))
        if told is None or self.is_over:
            return b""
        self._is_done = True
        return frame("end", dict(told))


class _Logs(Follower):
    """The logs of an item's runs, one after another, until no other is to come."""

    def __init__(
        self, logs: LogStreams, asker: Asked, item: int, place: tuple[str, int] | None, ends: Ends
    ) -> None:
        super().__init__(logs, "", 0, partial(_still, asker, item, Permission.READ))
        self._asker, self._item, self._ends, self._place = asker, item, ends, place
        self._topics = Topics(items=(item,))
        self._step, self._told_runs = "", set[str]()
        self._is_listening = False

    async def more(self) -> bytes | None:
        """The next piece of the run that is told, or the next run."""
        if self._is_done or self._run:
            return await super().more()
        if not self._is_listening:
            self._is_listening = True
            self._logs.hub.enter(self)
            self._logs.hub.add(self, self._topics)
        return await self.read(self._streams.read(self._next)) or b""

    def _next(self) -> bytes:
        """Go on to the run that began next; reads the catalog."""
        told = self._ends()  # asked first: what begins afterwards is not missed
        try:
            begun = self._begun()
        except TowpathError as error:
            self._is_done = True
            return frame("end", {"why": str(error)})
        if self._place is not None:
            self._resume(begun, *self._place)
        for run, step in begun:
            if run not in self._told_runs:
                self._told_runs.add(run)
                self._step, self._run, self._has_waited = step, run, False
                self._at, self._place = (self._place or ("", 0))[1] if self._is_at(run) else 0, None
                return frame("step", {"step": step, "run": run, "outcome": None}, f"{run}:{self._at}")
        if told is None:
            return b""
        self._is_done = True
        return frame("end", dict(told))

    def _is_at(self, run: str) -> bool:
        return self._place is not None and self._place[0] == run

    def _begun(self) -> list[tuple[str, str]]:
        """The runs that ended or go on, with their steps, in the order in which they began."""
        with self._asker.access.site.catalog.read() as view:
            rows = view.work([self._item])[self._item]
            runs = view.runs_of([self._item])[self._item]
        begun = [(run.began, run.name, run.stage) for run in runs]
        begun += [
            (row.began, ids.run_name(row.id, row.token), row.stage)
            for row in rows
            if row.state is Work.RUNNING
        ]
        return [(name, stage) for _, name, stage in sorted(begun)]

    def _resume(self, begun: list[tuple[str, str]], run: str, byte: int) -> None:
        """What began before the run at which the stream was cut off was told."""
        names = [name for name, _ in begun]
        if run in names:
            self._told_runs.update(names[: names.index(run)])
        else:
            self._place = None

    # ---- what a run's log says
    def _told(self, piece: Piece, begin: int) -> bytes:
        text = piece.data[begin - piece.begin :].decode(errors="replace")
        about = {"step": self._step, "run": self._run, "begin": begin, "end": piece.end, "text": text}
        return frame("lines", about, f"{self._run}:{piece.end}")

    def _end(self, part: LogPart) -> bytes:
        return self._finished(part.outcome.value if part.outcome else None)

    def _lost(self, error: NotFoundError) -> bytes:
        return self._finished(None, str(error))

    def _finished(self, outcome: str | None, why: str = "") -> bytes:
        """A run is told to its end: the next one follows."""
        about = {"step": self._step, "run": self._run, "outcome": outcome, "why": why}
        place = f"{self._run}:{self._at}"
        super().leave()
        self._run = ""
        self.wake()
        return frame("step", about, place)

    # ---- what others do to it
    def take(self, event: Event, told: bytes) -> None:
        """Something happened to the item: look."""
        self.wake()

    def leave(self) -> None:
        """It is told nothing any more."""
        super().leave()
        if self._is_listening:
            self._is_listening = False
            self._logs.hub.leave(self, self._topics)
