"""Looking at a site: what it holds, what it would do and why. Changes nothing but what a check finds on disk."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from towpath.app.asking import Asked
from towpath.app.session import is_free
from towpath.app.tracing import Trace, trace
from towpath.app.wiring import Parts
from towpath.base import ids, places, states
from towpath.base.errors import NotFoundError, UsageError
from towpath.base.model import Event, Feature, Flag, Item, Product, Run, Verdict, WorkRow
from towpath.base.spacetime import Box
from towpath.contracts.catalog import FeatureCount, LetGoRow, PinRow, PublicationRow, View
from towpath.contracts.definition import Definition
from towpath.contracts.plugin import Plugin
from towpath.flow import explain as explaining
from towpath.flow import plan as planning
from towpath.flow import reconcile as disk
from towpath.flow.explain import Around, Explanation, Holder
from towpath.flow.plan import Planned, Total
from towpath.flow.process import declared
from towpath.flow.reconcile import Finding

_ANY: Mapping[str, Any] = MappingProxyType({})
_MOST = 100_000  # rows of open work that a plan lists for one pipeline
PART = 1 << 18  # bytes of a log that are read at once
SETTLED = 0.05  # seconds after which the catalog knows that a run has ended


@dataclass(frozen=True, slots=True)
class Details:
    """Everything the catalog knows of one item. `let_go` are products that a stage's `keep` let go: no defect."""

    item: Item
    work: tuple[WorkRow, ...]
    runs: tuple[Run, ...]
    products: tuple[Product, ...]
    members: tuple[Item, ...] = ()
    verdicts: tuple[tuple[str, Verdict, float, str], ...] = ()
    flags: tuple[Flag, ...] = ()
    milestones: tuple[tuple[str, float], ...] = ()
    publications: tuple[PublicationRow, ...] = ()
    pins: tuple[PinRow, ...] = ()
    let_go: tuple[LetGoRow, ...] = ()
    features: tuple[FeatureCount, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The site at a glance: work by (pipeline, kind, stage, state), what is wrong on disk, sessions.

    `no_room` says why no run is begun for want of room on the store's disk, "" if there is enough.
    """

    counts: Mapping[tuple[str, str, str, str], int]
    sessions: tuple[tuple[int, str, int, str, bool], ...] = ()
    bad_products: int = 0
    publications: Mapping[str, int] = field(default_factory=dict)
    restored: float | None = None  # when, if it is open what becomes of what is newer on disk
    no_room: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: findings on disk first, then work, in item order; and how long that would take.

    `seconds` is of what would run on `workers` cores, without the stages that are `unknown` (no run of theirs has ended);
    None if none is known. `is_cut`: there is more open work than is listed, and none of it is in the totals.
    """

    findings: tuple[Finding, ...]
    work: tuple[Planned, ...]
    seconds: float | None = None
    totals: tuple[Total, ...] = ()
    unknown: tuple[str, ...] = ()
    workers: int = 1
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class LogPart:
    """Bytes [begin, end) of a run's log, counted from the run's first byte; no character is cut at the end.

    `run` is the run's name. `ended`: the run has ended, with this `outcome`, and nothing follows.
    """

    run: str
    data: bytes
    begin: int
    end: int
    ended: bool = False
    outcome: states.Outcome | None = None

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 is shown as such."""
        return self.data.decode(errors="replace")

    def before(self, later: "LogPart") -> "LogPart":
        """What of this is the run's own, as a `later` look past its end shows.

        A worker begins its next run before the catalog knows that this one has ended, and they write to one file.
        """
        if not later.ended or later.end >= self.end:
            return self
        begin = min(self.begin, later.end)
        return replace(later, data=self.data[: later.end - begin], begin=begin)


class Looking:
    """The verbs that look."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.catalog, self.storage, self.settings = parts.catalog, parts.storage, parts.settings

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """The active pipeline definitions by name."""
        return self._parts.definitions

    @property
    def plugins(self) -> Mapping[str, Plugin]:
        """The plug-ins of the site's pipelines, by name."""
        return self._parts.plugins()

    def origins(self, pipeline: str) -> Mapping[str, Any]:
        """Where each value of a pipeline's definition comes from, by dotted name."""
        return self._parts.origins.get(pipeline, {})

    @property
    def folder(self) -> Path:
        """The site's folder."""
        return self._parts.folder

    def place(self, product: Product) -> Path:
        """Where a product is on this machine."""
        return self.storage.path(product.root, product.path)

    def status(self) -> Status:
        """The site at a glance."""
        with self.catalog.read() as view:
            bad = view.products(states=(states.Product.MISSING, states.Product.CHANGED))
            return Status(
                view.counts(),
                tuple(view.sessions()),
                len(bad),
                view.publication_counts(),
                view.restored(),
                self._parts.no_room(),
            )

    def items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: str = "",
        stage: str = "",
        text: str = "",
        box: Box | Sequence[float] | None = None,
        milestone: str = "",
        attributes: Mapping[str, Any] = _ANY,
        since: str | float | datetime | None = None,
        until: str | float | datetime | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[Item]:
        """Items by filter, paged by id (`after`).

        Parameters
        ----------
        text
            Stands in the key.
        box
            Only those whose footprint shares a point with this box on the sphere, edges included: west, south, east,
            north in degrees (west > east goes across the antimeridian), or a point: longitude, latitude.
        milestone
            Only those that have reached this milestone.
        attributes
            Only those with these attributes, each a text, a number, true or false.
        since, until
            Only those whose time span overlaps [since, until): ISO 8601 (without an offset UTC), or seconds since the epoch.

        Raises
        ------
        UsageError
            If there is no such state, the box is none, a time is none, or an attribute is no single value.
        """
        asked = Asked(pipeline, kind, state, stage, text, box, milestone, attributes, since, until)
        with self.catalog.read() as view:
            return view.items(**asked.filters(), after=after, limit=limit)

    def count_items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: str = "",
        stage: str = "",
        text: str = "",
        box: Box | Sequence[float] | None = None,
        milestone: str = "",
        attributes: Mapping[str, Any] = _ANY,
        since: str | float | datetime | None = None,
        until: str | float | datetime | None = None,
        most: int = 10_000,
    ) -> int:
        """How many items there are by filter (see `items`); `most` + 1 where there are more than `most`."""
        asked = Asked(pipeline, kind, state, stage, text, box, milestone, attributes, since, until)
        with self.catalog.read() as view:
            return view.count_items(**asked.filters(), most=most)

    def features(
        self,
        *,
        near: tuple[float, float] | None = None,
        radius: float = 0.0,
        box: Box | Sequence[float] | None = None,
        frame: str = "",
        item: str = "",
        kind: str = "",
        pipeline: str = "",
        after: int = 0,
        limit: int = 100,
    ) -> list[Feature]:
        """Point results of runs by place and filter, paged by id (`after`).

        Parameters
        ----------
        near, radius
            Longitude and latitude, and how far from there at most, in degrees along a great circle.
        box
            West, south, east, north in degrees, edges included; longitudes in [-180, 360], west > east goes across 0/360.
        frame
            Only of this frame: ``icrs`` or ``wgs84``.
        item, kind, pipeline
            Only of this item, kind of feature, pipeline.

        Raises
        ------
        UsageError
            If a place, the radius or the frame is none, or there is a radius around no place.
        NotFoundError
            If there is no such item.
        """
        if frame and frame not in places.FRAMES:
            raise UsageError(f"frame: found {frame!r}; expected one of {', '.join(places.FRAMES)}")
        if radius and near is None:
            raise UsageError(f"radius: found {radius:g} around no place; expected `near` too")
        try:
            within = box if box is None or isinstance(box, Box) else places.sky_box(box)
            if near is not None:
                places.around(*near, radius)
        except (TypeError, ValueError) as error:
            raise UsageError(f"place: {error}") from None
        with self.catalog.read() as view:
            return view.features(
                near=near,
                radius=radius,
                box=within,
                frame=frame,
                item=self._find(view, item).id if item else 0,
                kind=kind,
                pipeline=pipeline,
                after=after,
                limit=limit,
            )

    def find(self, name: str) -> Item:
        """The item of a name: ``pipeline/kind/key``, ``kind/key`` or ``key`` where that is unique.

        Raises
        ------
        NotFoundError
            If there is none, or several.
        """
        with self.catalog.read() as view:
            return self._find(view, name)

    def _find(self, view: View, name: str) -> Item:
        found: dict[int, Item] = {}
        for definition in self.definitions.values():
            for kind in definition.kinds:
                for prefix in (f"{definition.pipeline}/{kind}/", f"{kind}/", ""):
                    item = (
                        view.find(definition.pipeline, kind, name[len(prefix) :])
                        if name.startswith(prefix)
                        else None
                    )
                    if item is not None:
                        found[item.id] = item
                        if item.name == name:
                            return item
        if len(found) == 1:
            return next(iter(found.values()))
        if found:
            several = ", ".join(item.name for item in found.values())
            raise NotFoundError(f"{name!r} is the name of several items: {several}; write the whole name")
        raise NotFoundError(f"no item {name!r}; `towpath items` lists them")

    def show(self, name: str) -> Details:
        """Everything the catalog knows of one item."""
        with self.catalog.read() as view:
            item = self._find(view, name)
            products = view.products(
                [item.id], states=(states.Product.CURRENT, states.Product.MISSING, states.Product.CHANGED)
            )
            return Details(
                item,
                tuple(view.work([item.id])[item.id]),
                tuple(view.runs(item.id)),
                tuple(products),
                tuple(view.members(item.id)),
                tuple(view.verdicts(item.id)),
                tuple(view.flags(item.id)),
                tuple(view.milestones(item.id)),
                tuple(view.publications(item.id)),
                tuple(view.pins([item.id])),
                tuple(view.let_go([item.id])),
                tuple(view.feature_counts(item.id)),
            )

    def product(self, number: int) -> Product:
        """A product by its number. Raises `NotFoundError`."""
        with self.catalog.read() as view:
            return view.product(number)

    def trace(
        self,
        number: int,
        *,
        up: bool = True,
        down: bool = True,
        most: int = 300,
        sees: Callable[[int], bool] = lambda item: True,
    ) -> Trace:
        """What a product was made from (`up`), and what was made from it (`down`): at most so many products.

        Only what belongs to items of which `sees` says, by their number, that they may be viewed.
        """
        with self.catalog.read() as view:
            return trace(view, view.product(number), up=up, down=down, most=most, sees=sees)

    def plan(self, name: str = "", *, pipeline: str = "", check: bool = True) -> Plan:
        """What a run would do and why, and how long it would take by earlier runs; changes nothing.

        Parameters
        ----------
        name
            Only of this item.
        pipeline
            Only of this pipeline.
        check
            First compare products with the disk, by stat.
        """
        item = self.find(name) if name else None
        findings = self._findings(item) if check else []
        found = {finding.product: finding.what for finding in findings}
        with self.catalog.read() as view:
            work: list[Planned] = []
            is_cut = False
            for each, definition in self.definitions.items():
                if each == (item.pipeline if item else pipeline or each):
                    planned = planning.plan(view, definition, found, item=item, limit=_MOST)
                    is_cut |= len(planned) >= _MOST
                    work += planned
            told = planning.estimate(view, self.definitions, work, self._workers())
        return Plan(
            tuple(findings), tuple(work), told.seconds, told.totals, told.unknown, told.workers, is_cut
        )

    def _findings(self, item: Item | None) -> list[Finding]:
        if item is None:
            return self.check(write=False)
        with self.catalog.read() as view:
            live = view.products([item.id], states=disk.LIVE)
        return disk.check_these(self.catalog, self.storage, live, write=False)

    def _workers(self) -> int:
        """How many cores runs may use."""
        if self.settings.site.executor == "inline":
            return 1
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return self.settings.site.workers or cores or 1

    def explain(self, name: str, stage: str = "") -> list[Explanation]:
        """Why a stage of an item (or each of its stages) is as it is."""
        parts = self._parts
        around = Around(
            self._workers(),
            self._is_alive,
            parts.no_room(),
            parts.free_bytes("store"),
            parts.settings.retention.free,
            partial(declared, definitions=self.definitions),
        )
        with self.catalog.read() as view:
            item = self._find(view, name)
            definition = self.definitions[item.pipeline]
            rows = [row.stage for row in view.work([item.id])[item.id]]
            return [
                explaining.explain(view, definition, item, each, around)
                for each in ([stage] if stage else rows)
            ]

    @staticmethod
    def _is_alive(holder: Holder) -> bool | None:
        """Whether the process of a session is alive, by the lock that it holds; None on another host."""
        return None if holder[1] != socket.gethostname() else not is_free(Path(holder[3]))

    def runs(self, name: str) -> list[Run]:
        """The runs of an item that ended, newest last."""
        with self.catalog.read() as view:
            return view.runs(self._find(view, name).id)

    def log(self, run: str) -> str:
        """The log of a run ``WORK.TOKEN`` (or of the last run of an item's stage, ``ITEM:STAGE``), whole.

        Raises
        ------
        NotFoundError
            If there is no such run.
        """
        work, token = self._run_of(run)
        with self.catalog.read() as view:
            found = [one for one in view.runs(work=work, limit=10_000) if one.token == token]
        if not found:
            raise NotFoundError(f"no finished run {run!r}; `towpath show ITEM` lists the runs of an item")
        file = self._log_of(found[0])
        try:
            return file.read_text(errors="replace") if file else ""
        except FileNotFoundError:
            raise _gone(found[0].name) from None

    def _log_of(self, run: Run) -> Path | None:
        """The file that keeps the log of a run that ended; None if it wrote nothing."""
        path = run.log.partition(":")[0]
        return self._parts.logs / path if path else None

    def _run_of(self, run: str) -> tuple[int, int]:
        name, _, stage = run.rpartition(":")
        if not name:
            try:
                return ids.parse_run_name(run)
            except ValueError as error:
                raise NotFoundError(f"{error}, or ITEM:STAGE") from None
        last = [one for one in self.runs(name) if one.stage == stage]
        if not last:
            raise NotFoundError(f"{name!r} has no finished run of {stage!r}")
        return last[-1].work, last[-1].token

    def follow_log(self, run: str) -> Iterator[str]:
        """The log of a run from its first byte, in pieces as it is written, until the run has ended.

        Parameters
        ----------
        run
            ``WORK.TOKEN``, or ``ITEM:STAGE``: the run that goes on or comes next, else the last.

        Raises
        ------
        NotFoundError
            If there is no such item, stage or run.
        """
        with closing(self.catalog.watch()) as watch:
            part = self.log_part(run)
            while True:
                if part.data and not part.ended:
                    time.sleep(SETTLED)
                    part = part.before(self.log_part(part.run, part.end, limit=4))
                if part.data:
                    yield part.text
                if part.ended:
                    return
                if not part.data:
                    watch.wait(0.5)
                part = self.log_part(part.run, part.end)

    def log_part(self, run: str, begin: int = 0, *, limit: int = PART) -> LogPart:
        """What there is of a run's log past byte `begin`, and whether it has ended; it is read on from the part's `end`.

        Parameters
        ----------
        run
            ``WORK.TOKEN``, or ``ITEM:STAGE``: the run that goes on or comes next, else the last.
        begin
            How many bytes are known. Where there are fewer the part is empty, and its `end` is how many there are.
        limit
            How many bytes at most, four or more.

        Raises
        ------
        NotFoundError
            If there is no such item, stage or run, the run never began, or its log is no longer kept.
        """
        work, token = self._awaited(run)
        name = ids.run_name(work, token)
        with self.catalog.read() as view:
            row = view.work_row(work)
            is_running = row.token == token and row.state is states.Work.RUNNING
            ended = (
                []
                if is_running
                else [one for one in view.runs(work=work, limit=10_000) if one.token == token]
            )
        if ended:
            return self._kept_part(ended[0], begin, limit)
        if row.token > token or row.state not in (states.Work.READY, states.Work.RUNNING):
            raise NotFoundError(f"run {name} did not begin: the work is {row.state.value}")
        if not (is_running and row.log):
            return LogPart(name, b"", 0, 0)
        file, _, start = row.log.rpartition(":")
        try:
            begin = min(begin, max(Path(file).stat().st_size - int(start), 0))
            data = _whole(_read(Path(file), int(start) + begin, limit))
        except FileNotFoundError:
            data = b""  # it is on another machine, or was collected meanwhile: the run has ended
        return LogPart(name, data, begin, begin + len(data))

    def _kept_part(self, run: Run, begin: int, limit: int) -> LogPart:
        """A part of the log of a run that ended."""
        file = self._log_of(run)
        try:
            size = file.stat().st_size if file else 0
            begin = min(begin, size)
            data = _read(file, begin, limit) if file else b""
        except FileNotFoundError:
            raise _gone(run.name) from None
        if begin + len(data) < size:
            data = _whole(data)
        end = begin + len(data)
        return LogPart(run.name, data, begin, end, end >= size, run.outcome)

    def _awaited(self, run: str) -> tuple[int, int]:
        name, _, stage = run.rpartition(":")
        if not name:
            return self._run_of(run)
        rows = {row.stage: row for row in self.show(name).work}
        if stage not in rows:
            raise NotFoundError(f"{name} has no stage {stage!r}; its stages are {', '.join(rows)}")
        return rows[stage].id, rows[stage].token + (rows[stage].state is states.Work.READY)

    def events(self, after: int = 0, *, item: str = "", pipeline: str = "", limit: int = 1000) -> list[Event]:
        """The story from a point on."""
        with self.catalog.read() as view:
            number = self._find(view, item).id if item else 0
            return view.events(after, item=number, pipeline=pipeline, limit=limit)

    def follow(self, after: int | None = None, *, item: str = "", pipeline: str = "") -> Iterator[Event]:
        """The story as it happens, for ever; from this moment on, or from a point."""
        if after is None:
            with self.catalog.read() as view:
                after = view.last_event()
        return self._follow(after, item, pipeline)

    def _follow(self, after: int, item: str, pipeline: str) -> Iterator[Event]:
        with closing(self.catalog.watch()) as watch:
            while True:
                for event in self.events(after, item=item, pipeline=pipeline):
                    after = event.seq
                    yield event
                watch.wait(1.0)

    def publications(self, name: str = "", *, state: str = "") -> list[PublicationRow]:
        """The publication journal, of an item or of all."""
        wanted = (states.Publication(state),) if state else ()
        with self.catalog.read() as view:
            return view.publications(self._find(view, name).id if name else 0, states=wanted, limit=1_000_000)

    def check(
        self, *, write: bool = True, scrub: bool = False, progress: Callable[[int], None] | None = None
    ) -> list[Finding]:
        """Compare every product with the disk: by stat, or by hash with `scrub`."""
        return disk.check(self.catalog, self.storage, write=write, scrub=scrub, progress=progress)


def _read(file: Path, begin: int, limit: int) -> bytes:
    with file.open("rb", buffering=0) as log:
        log.seek(begin)
        return log.read(limit)


def _whole(data: bytes) -> bytes:
    """The bytes without the beginning of a character (UTF-8) whose end is not among them."""
    for count in range(1, min(4, len(data) + 1)):
        byte = data[-count]
        if byte >= 0xC0:  # the first byte of two or more
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-count] if length > count else data
        if byte < 0x80:
            break
    return data


def _gone(run: str) -> NotFoundError:
    return NotFoundError(f"the log of run {run} is gone: retention.logs says how long logs are kept")
