"""A site as a Python object: the same verbs as the command line.

Opens the catalog (an empty or older one migrates itself), loads the pipeline files and gives every verb of an operator.
Nothing is decided here: the flow decides, the catalog keeps.
"""

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from towpath.app.wiring import Parts, open_parts
from towpath.app.worker import Summary, until_signalled
from towpath.base import clock, ids, states
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.base.hashing import content
from towpath.base.model import Event, Flag, Item, Product, Run, Verdict, WorkRow
from towpath.base.spacetime import Box, Span
from towpath.contracts.catalog import PublicationRow, Transaction, View
from towpath.contracts.definition import GATHER, Definition, KindPlan, SourcePlan
from towpath.flow import group, register
from towpath.flow import plan as planning
from towpath.flow import reconcile as disk
from towpath.flow.plan import Explanation, Planned
from towpath.flow.publish import approve
from towpath.flow.reconcile import Finding


@dataclass(frozen=True, slots=True)
class Details:
    """Everything the catalog knows of one item."""

    item: Item
    work: tuple[WorkRow, ...]
    runs: tuple[Run, ...]
    products: tuple[Product, ...]
    members: tuple[Item, ...] = ()
    verdicts: tuple[tuple[str, Verdict, float, str], ...] = ()
    flags: tuple[Flag, ...] = ()
    milestones: tuple[tuple[str, float], ...] = ()
    publications: tuple[PublicationRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """The site at a glance: work by (pipeline, kind, stage, state), what is wrong on disk, sessions, sizes."""

    counts: Mapping[tuple[str, str, str, str], int]
    sessions: tuple[tuple[int, str, int, str, bool], ...] = ()
    bad_products: int = 0
    publications: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: findings on disk first, then work, in item order."""

    findings: tuple[Finding, ...]
    work: tuple[Planned, ...]
    seconds: float | None = None


class Site:
    """An installation of Towpath, opened.

    Examples
    --------
    >>> from towpath import Site
    >>> with Site.open("mysite") as site:  # doctest: +SKIP
    ...     summary = site.run()
    ...     for item in site.items(state="failed"):
    ...         print(item.name, site.explain(item.name))
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.catalog, self.storage, self.settings = parts.catalog, parts.storage, parts.settings

    # ---- opening
    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] = ".",
        *,
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Open the site in a folder (or of a site file).

        Parameters
        ----------
        path
            The site's folder, or its `towpath.toml`.
        overrides
            Settings as on the command line, such as ``"site.workers=4"``.
        environ
            The environment to read ``TOWPATH_...`` from; the process's own by default.

        Raises
        ------
        SiteError
            If there is no site, or it cannot work.
        DefinitionError
            If a site or pipeline file is wrong.
        """
        return cls(open_parts(Path(path), overrides, os.environ if environ is None else environ))

    def close(self) -> None:
        """Close the catalog."""
        self._parts.close()

    def __enter__(self) -> Self:
        """The site itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """The active pipeline definitions by name."""
        return self._parts.definitions

    @property
    def folder(self) -> Path:
        """The site's folder."""
        return self._parts.folder

    def place(self, product: Product) -> Path:
        """Where a product is on this machine."""
        return self.storage.path(product.root, product.path)

    # ---- running
    def run(
        self,
        *,
        watch: bool = False,
        check: bool = True,
        tick: Callable[["Progress"], None] | None = None,
        patience: float = 60.0,
    ) -> Summary:
        """Run what is to run: once until nothing is left, or for ever with `watch`.

        Parameters
        ----------
        watch
            Go on until SIGTERM or SIGINT.
        check
            First compare every product with the disk, by stat.
        tick
            Called often with where things are.
        patience
            Seconds that a single run waits for work that is tried again later.
        """
        findings = self.check() if check else ()
        with self._parts.running() as worker, until_signalled(worker.loop):
            progress = Progress(self, worker)

            def beat() -> None:
                if tick:
                    tick(progress)

            summary = (
                worker.loop.watch(tick=beat) if watch else worker.loop.once(patience=patience, tick=beat)
            )
        return Summary(summary.runs, summary.seconds, summary.registered, len(findings), summary.ended)

    def check(
        self, *, write: bool = True, scrub: bool = False, progress: Callable[[int], None] | None = None
    ) -> list[Finding]:
        """Compare every product with the disk: by stat, or by hash with `scrub`."""
        return disk.check(self.catalog, self.storage, write=write, scrub=scrub, progress=progress)

    # ---- looking
    def status(self) -> Status:
        """The site at a glance."""
        with self.catalog.read() as view:
            bad = view.products(states=(states.Product.MISSING, states.Product.CHANGED))
            published: dict[str, int] = {}
            for row in view.publications(limit=1_000_000):
                published[row.state.value] = published.get(row.state.value, 0) + 1
            return Status(view.counts(), tuple(view.sessions()), len(bad), published, view.sizes())

    def items(
        self,
        *,
        pipeline: str = "",
        kind: str = "",
        state: str = "",
        stage: str = "",
        text: str = "",
        after: int = 0,
        limit: int = 100,
    ) -> list[Item]:
        """Items by filter, paged by id (`after`)."""
        wanted = _state(state)
        with self.catalog.read() as view:
            return view.items(
                pipeline=pipeline, kind=kind, state=wanted, stage=stage, text=text, after=after, limit=limit
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
            )

    def plan(self, *, pipeline: str = "", check: bool = True) -> Plan:
        """What a run would do and why; changes nothing."""
        findings = self.check(write=False) if check else []
        found = {finding.product: finding.what for finding in findings}
        with self.catalog.read() as view:
            work = [
                planned
                for name, definition in self.definitions.items()
                if not pipeline or name == pipeline
                for planned in planning.plan(view, definition, found)
            ]
        return Plan(tuple(findings), tuple(work))

    def explain(self, name: str, stage: str = "") -> list[Explanation]:
        """Why a stage of an item (or each of its stages) is as it is."""
        with self.catalog.read() as view:
            item = self._find(view, name)
            definition = self.definitions[item.pipeline]
            rows = [row.stage for row in view.work([item.id])[item.id]]
            return [planning.explain(view, definition, item, each) for each in ([stage] if stage else rows)]

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
        path = found[0].log.partition(":")[0]
        if not path:
            return ""
        return (self._parts.logs / path).read_text(errors="replace")

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

    def events(self, after: int = 0, *, item: str = "", pipeline: str = "", limit: int = 1000) -> list[Event]:
        """The story from a point on."""
        with self.catalog.read() as view:
            number = self._find(view, item).id if item else 0
            return view.events(after, item=number, pipeline=pipeline, limit=limit)

    def follow(self, after: int | None = None, *, item: str = "", pipeline: str = "") -> Iterator[Event]:
        """The story as it happens, for ever; from now on, or from a point."""
        if after is None:
            with self.catalog.read() as view:
                after = view.last_event()
        while True:
            for event in self.events(after, item=item, pipeline=pipeline):
                after = event.seq
                yield event
            self.catalog.wait(1.0)

    # ---- submitting
    def submit(self, kind: str, items: Sequence[Mapping[str, Any]], *, priority: int = 0) -> list[int]:
        """Register items of a kind that has a source of kind ``submit``; known keys change nothing.

        Parameters
        ----------
        kind
            ``pipeline/kind``, or the kind alone where that is unique.
        items
            Each a table with ``key``, and optionally ``attributes``, ``time`` (one moment or two), ``footprint`` (west,
            south, east, north in degrees) and ``files`` (paths below a root, registered as raw files where they are).
        priority
            Higher runs first.

        Returns
        -------
        list of int
            The items' ids, in order.

        Raises
        ------
        UsageError
            If the kind cannot be submitted to, or a file lies below no root.
        """
        plan, source = self._submittable(kind)
        ids_: list[int] = []
        for start in range(0, len(items), 1000):
            part = [submitted(plan, item) for item in items[start : start + 1000]]
            raw = [self._raw_files(source, table) for table in items[start : start + 1000]]
            ids_ += self.catalog.write(partial(_submit, plan=plan, items=part, raw=raw, priority=priority))
        return ids_

    def _submittable(self, kind: str) -> tuple[KindPlan, SourcePlan]:
        found = [
            (definition.kinds[source.item], source)
            for definition in self.definitions.values()
            for source in definition.sources.values()
            if source.kind == "submit" and kind in (source.item, f"{definition.pipeline}/{source.item}")
        ]
        if len(found) != 1:
            raise UsageError(f"{kind!r}: {len(found)} sources of kind submit take it; expected exactly one")
        return found[0]

    def _raw_files(self, source: SourcePlan, table: Mapping[str, Any]) -> list[Product]:
        found = []
        for name in table.get("files", ()):
            path = Path(name).absolute()
            root = next((r for r, place in self._parts.places.items() if str(path).startswith(place)), None)
            if root is None:
                raise UsageError(f"{path}: lies below no root; roots are {', '.join(sorted(self._parts.places))}")
            made, relative = content(path), self.storage.relative(root, path)
            found.append(
                Product(0, "", "file", path.name, source.raw_type, root, relative, made.size, made.mtime_ns, made.sha256)
            )
        return found

    # ---- acting on work
    def _works(self, name: str, stage: str = "", *, in_states: Sequence[states.Work] = ()) -> list[int]:
        with self.catalog.read() as view:
            item = self._find(view, name)
            rows = view.work([item.id])[item.id]
        if stage and stage not in {row.stage for row in rows}:
            raise NotFoundError(
                f"{item.name} has no stage {stage!r}; its stages are {', '.join(r.stage for r in rows)}"
            )
        return [
            row.id
            for row in rows
            if (row.stage == stage if stage else row.stage != GATHER)
            and (not in_states or row.state in in_states)
        ]

    def retry(self, name: str, stage: str = "") -> int:
        """Try failed, poisoned and stopped work of an item again; returns how many stages."""
        works = self._works(
            name, stage, in_states=(states.Work.FAILED, states.Work.POISONED, states.Work.STOPPED)
        )
        return self.catalog.write(lambda tx: tx.retry(works, _user()))

    def rerun(self, name: str, stage: str = "", *, why: str = "asked for") -> int:
        """Run a stage (default: the first ones) again even if nothing changed, and all after it that changes by it."""
        with self.catalog.read() as view:
            item = self._find(view, name)
        first = [plan.name for plan in self.definitions[item.pipeline].kinds[item.kind].first]
        works = (
            self._works(name, stage) if stage else [work for one in first for work in self._works(name, one)]
        )
        return self.catalog.write(lambda tx: tx.revise(works, why, force=True))

    def stop(self, name: str, stage: str = "", *, why: str = "") -> int:
        """Stop work of an item; what runs is ended."""
        stoppable = (states.Work.WAITING, states.Work.READY, states.Work.RUNNING)
        works = self._works(name, stage, in_states=stoppable)
        self.catalog.write(lambda tx: tx.stop(works, _user(), why))
        return len(works)

    def hold(self, name: str, stage: str = "", *, why: str = "") -> int:
        """Hold work of an item that has not begun."""
        works = self._works(
            name, stage, in_states=(states.Work.WAITING, states.Work.READY, states.Work.FAILED)
        )
        return self.catalog.write(lambda tx: tx.hold(works, why, _user()))

    def release(self, name: str, stage: str = "", *, accept: bool = False, why: str = "") -> int:
        """Release held work; with `accept`, what a rule held is done as it is.

        An item or group that waits to be complete (stage ``@gather``) is taken as it is with `accept`.

        Raises
        ------
        StateError
            If the stage is a publication: that goes on by `publish`.
        """
        if stage == GATHER and accept:
            return self.close_item(name, why=why)
        works = self._works(name, stage, in_states=(states.Work.HELD,))
        service = self._services(name)
        published = [work for work in works if service.get(work) == "publish"]
        if published and stage:
            raise StateError(f"{name} {stage} is a publication that waits for a person: `towpath publish {name}`")
        others = [work for work in works if work not in published]
        return self.catalog.write(lambda tx: tx.release(others, _user(), why, accept=accept))

    def _services(self, name: str) -> dict[int, str]:
        """The handler of each of the item's pieces of work that the daemon does itself."""
        with self.catalog.read() as view:
            item = self._find(view, name)
            rows = view.work([item.id])[item.id]
        stages = self.definitions[item.pipeline].kinds[item.kind].stages
        return {row.id: stages[row.stage].service for row in rows if row.stage in stages}

    def close_item(self, name: str, *, why: str = "") -> int:
        """Take an item or group that waits for files or members as complete; returns how many became complete by it.

        Raises
        ------
        StateError
            If it does not wait to be complete.
        """
        item = self.find(name)
        definition = self.definitions[item.pipeline]
        kind = definition.kinds[item.kind]
        if not kind.gathered:
            raise StateError(f"{item.name} is complete as soon as it is registered")

        def transact(tx: Transaction) -> int:
            if kind.group is not None:
                return len(group.close(tx, definition, item.id, _user(), why))
            done = register.close(tx, kind, item.id, _user(), why)
            return len(done) + len(group.gather(tx, definition, kind.name, "", done))

        return self.catalog.write(transact)

    def flag(self, name: str, value: str, *, part: Mapping[str, Any] | None = None, comment: str = "") -> int:
        """Put a quality mark on an item or part of it, such as ``{"feed": 3}``."""
        item = self.find(name)
        flag = Flag(item.id, part or {}, value, comment, _user(), clock.now())
        return self.catalog.write(lambda tx: tx.add_flag(flag))

    def adopt(self, name: str, stage: str, *, why: str) -> int:
        """Declare a stage's result good as it is: files changed by someone else, or work that is stale.

        Raises
        ------
        StateError
            If there is nothing to adopt.
        """
        with self.catalog.read() as view:
            item = self._find(view, name)
            changed = [p for p in view.products([item.id], states=(states.Product.CHANGED,), stages=[stage])]
        if changed:
            for product in changed:
                found = content(self.place(product))
                self.catalog.write(lambda tx, p=product, f=found: tx.adopt(p.id, f, _user(), why))  # type: ignore[misc]
            return len(changed)
        explained = self.explain(name, stage)[0]
        if explained.key is None or not explained.differences:
            raise StateError(
                f"{item.name} {stage}: no file was changed and nothing is stale, so there is nothing to adopt"
            )
        self.catalog.write(lambda tx: tx.adopt_stale(explained.work, explained.key or b"", _user(), why))
        return 1

    def apply(self, *, pipeline: str = "", write: bool = True) -> list[Planned]:
        """Bring finished work to the active pipeline files: new stages, left ones, changed parameters and versions."""
        done: list[Planned] = []
        for name, definition in self.definitions.items():
            if pipeline and name != pipeline:
                continue
            done += self._apply(definition, write)
        return done

    def _apply(self, definition: Definition, write: bool) -> list[Planned]:
        with self.catalog.read() as view:
            changes = planning.stale(view, definition)
            routes = {kind.name: view.unrouted(kind) for kind in definition.kinds.values()}
        for kind, (items, gone) in routes.items():
            plan = definition.kinds[kind]
            changes += [
                Planned(f"{kind}/…", "", "apply", f"{len(items)} items get stages that are new in the route")
            ] * bool(items)
            changes += [Planned(f"{kind}/…", "", "apply", f"{len(gone)} stages left the route")] * bool(gone)
            if write and (items or gone):
                self.catalog.write(partial(_reroute, plan=plan, items=items, gone=gone))
        works = [change.work for change in changes if change.work]
        if write and works:
            self.catalog.write(lambda tx: tx.revise(works, "the pipeline file changed"))
        return changes

    # ---- publication
    def publications(self, name: str = "", *, state: str = "") -> list[PublicationRow]:
        """The publication journal, of an item or of all."""
        wanted = (states.Publication(state),) if state else ()
        with self.catalog.read() as view:
            return view.publications(self._find(view, name).id if name else 0, states=wanted, limit=1_000_000)

    def publish(self, name: str, *, retry: bool = False, why: str = "") -> int:
        """Let publications of an item that wait for a person go on; with `retry`, try failed ones again.

        Raises
        ------
        StateError
            If the item has no publication that waits (or, with `retry`, failed).
        """
        wanted = (states.Work.HELD, states.Work.FAILED) if retry else (states.Work.HELD,)
        service = self._services(name)
        works = [work for work in self._works(name, in_states=wanted) if service.get(work) == "publish"]

        def transact(tx: Transaction) -> int:
            for work in works:
                if tx.work_row(work).state is states.Work.HELD:
                    approve(tx, work, _user(), why)
                else:
                    tx.retry([work], _user())
            return len(works)

        if not works:
            hint = "" if retry else "; failed ones go on with --retry"
            raise StateError(f"{name} has no publication that waits for a person{hint}")
        return self.catalog.write(transact)

    # ---- inventory
    def overview(self) -> list[tuple[str, str, str, int, int]]:
        """Live products by (root, pipeline/kind, stage): how many, and bytes."""
        sums: dict[tuple[str, str, str], tuple[int, int]] = {}
        with self.catalog.read() as view:
            products = view.products(states=disk.LIVE)
            names = {item.id: f"{item.pipeline}/{item.kind}" for item in view.items(limit=10_000_000)}
        for product in products:
            key = (product.root, names.get(product.item, ""), product.stage or "(raw)")
            count, size = sums.get(key, (0, 0))
            sums[key] = (count + 1, size + product.size)
        return [(*key, *value) for key, value in sorted(sums.items())]

    def reconcile(
        self,
        root: str = "store",
        *,
        write: bool = False,
        scrub: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> list[Finding]:
        """Compare a root with the catalog both ways: missing, changed, moved by hash, extra. Acts only with `write`."""
        with self.catalog.read() as view:
            if root not in view.roots():
                raise NotFoundError(f"no root {root!r}; roots are {', '.join(view.roots())}")
        findings = [
            one
            for one in disk.check(
                self.catalog, self.storage, write=False, scrub=scrub, progress=progress
            )
            if one.root == root
        ]
        others = disk.survey(self.catalog, self.storage, root, findings=findings)
        if write:
            disk.check(self.catalog, self.storage, write=True, scrub=scrub)
            disk.act_on_moved(self.catalog, others)
        moved = {one.product for one in others if one.what == "moved"}
        return [one for one in findings if one.product not in moved] + others

    def sweep(self, *, older: float = disk.DAY, grace: float = disk.DAY) -> dict[str, int]:
        """Remove orphans, move superseded products that nobody reads to trash, delete what lay in trash for `grace` s."""
        return disk.sweep(self.catalog, self.storage, older=older, grace=grace)

    def remap(self, root: str, place: str | os.PathLike[str], *, write: bool = False) -> dict[str, int]:
        """Say that a root lies elsewhere now: one row. Without `write` only counts what is there.

        Raises
        ------
        NotFoundError
            If there is no such root.
        UsageError
            If the place is no folder.
        """
        target = Path(place).absolute()
        if not target.is_dir():
            raise UsageError(f"{target}: no such folder; move the files first, then say where they are")
        with self.catalog.read() as view:
            if root not in view.roots():
                raise NotFoundError(f"no root {root!r}; roots are {', '.join(view.roots())}")
            products = [
                product
                for product in view.products(states=disk.LIVE, limit=1000)
                if product.root == root
            ]
        there = sum((target / product.path).exists() for product in products)
        if write:
            self._parts.move_root(root, target)
        return {"looked at": len(products), "there": there, "moved": int(write)}


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is, for a screen: what runs now, and what is left, asked for when needed."""

    site: Site
    worker: Any

    def running(self) -> list[tuple[str, str, float | None, str]]:
        """What runs now in this process: item, stage, fraction or None, note."""
        return [
            (held.claimed.item_key, held.stage.name, held.fraction, held.note)
            for held in list(self.worker.process.progress.values())
        ]

    def done(self) -> Mapping[str, int]:
        """Runs that ended so far, by outcome."""
        return {outcome.value: count for outcome, count in self.worker.process.tally.runs.items()}

    def counts(self) -> Mapping[tuple[str, str, str, str], int]:
        """Work by (pipeline, kind, stage, state)."""
        with self.site.catalog.read() as view:
            return view.counts()


def submitted(plan: KindPlan, table: Mapping[str, Any]) -> Item:
    """The item that a table with ``key``, ``attributes``, ``time`` and ``footprint`` describes."""
    times = [clock.seconds(when) for when in table.get("time", ())]
    span = Span(times[0], times[-1]) if times else None
    box = Box(*table["footprint"]) if table.get("footprint") else None
    return Item(plan.pipeline, plan.name, str(table["key"]), dict(table.get("attributes", {})), span, box)


def _submit(
    tx: Transaction, plan: KindPlan, items: Sequence[Item], raw: Sequence[Sequence[Product]], priority: int
) -> list[int]:
    known = tx.add_items(plan, items, priority=priority)
    files = [replace(product, item=item) for item, products in zip(known, raw, strict=True) for product in products]
    if files:
        tx.add_raw(files)
    return known


def _reroute(tx: Transaction, plan: KindPlan, items: Sequence[int], gone: Sequence[int]) -> None:
    tx.add_route(plan, items)
    tx.retire(gone, "left the route")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _state(text: str) -> states.Work | None:
    if not text:
        return None
    try:
        return states.Work(text)
    except ValueError:
        raise UsageError(f"no state {text!r}; states are {', '.join(states.Work)}") from None
