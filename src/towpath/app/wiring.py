"""Wiring: which implementation stands behind each contract on this site. The only place that names adapters.

Opens a site's parts in order (settings, catalog, roots, pipelines) and, for a run, its process, executor and services.
"""

import gc
import logging
import math
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from towpath.adapters.executors.inline import InlineExecutor
from towpath.adapters.executors.local import LocalExecutor
from towpath.adapters.executors.logs import collect_log
from towpath.adapters.executors.staging import take_in
from towpath.adapters.notify.folder import Folder
from towpath.adapters.repositories import folder as record_folder
from towpath.adapters.storage.local import LocalStorage
from towpath.adapters.transfers.local import LocalTransfer
from towpath.app import definitions as pipeline_files
from towpath.app import outboxes
from towpath.app import settings as site_files
from towpath.app.arrivals import Arrivals
from towpath.app.catalogs import open_catalog
from towpath.app.outboxes import FolderOutbox, MailOutbox, Outbox
from towpath.app.plugins import attribute
from towpath.app.records import ContentOf, Records
from towpath.app.repositories import Repositories
from towpath.app.retention import QUEUE as RETENTION
from towpath.app.retention import Retention
from towpath.app.secrets import Resolver
from towpath.app.session import Session, bury, machine
from towpath.app.settings import Settings
from towpath.app.worker import Worker
from towpath.base.errors import SiteError
from towpath.base.flushing import flush
from towpath.base.signing import Signer
from towpath.contracts import repository
from towpath.contracts.catalog import Claimed, LoadedCatalog, Transaction
from towpath.contracts.definition import GATHER, Definition, KindPlan, StagePlan
from towpath.contracts.executor import Credentials, Executor, Output
from towpath.contracts.notify import Sink
from towpath.contracts.plugin import Plugin
from towpath.contracts.secrets import Maker, Secrets
from towpath.contracts.transfer import Transfer
from towpath.flow import group, handoff, register
from towpath.flow.carry import Carrier, sweep
from towpath.flow.certify import Certifier
from towpath.flow.handoff.receive import Check
from towpath.flow.notify import Notifier
from towpath.flow.outbox import couriers
from towpath.flow.process import Chore, Process
from towpath.flow.publish import Publisher
from towpath.flow.warrant import Reaper

log = logging.getLogger(__name__)

_COLLECT = 50_000  # containers made, and not ended, between two looks of the garbage collector
INBOX = "inbox"  # the root of drop boxes
SECRETS: Mapping[str, Maker] = {"vault": lambda given: _vault(given)}  # readers of secrets that are built in
REPOSITORIES: Mapping[str, repository.Maker] = {
    "folder": record_folder.make,
    "invenio": lambda given: _invenio(given),
}
STATE = ".towpath"  # the folder of the site's own files: logs, sessions, workers


@dataclass(frozen=True, slots=True)
class Running:
    """What runs while a site runs."""

    loop: Worker
    process: Process
    executor: Executor


class Parts:
    """An open site: settings, catalog, storage, definitions."""

    def __init__(self, settings: Settings, catalog: LoadedCatalog, environ: Mapping[str, str]) -> None:
        self.settings, self.catalog = settings, catalog
        self.folder = settings.folder
        self.secrets = Resolver(settings.secrets, SECRETS, environ, settings.folder)
        self.state = settings.folder / STATE
        self.logs = self.state / "logs"
        self.definitions: dict[str, Definition] = {}
        self.origins: dict[str, Mapping[str, Any]] = {}
        self._watchers: dict[str, pipeline_files.Watcher] = {}
        self._signer: Signer | None = None
        self._told: set[str] = set()
        logging.getLogger("towpath").setLevel(settings.site.log_level.upper())
        self._set_roots()
        self.retention = Retention(
            catalog, lambda: self.storage, self.logs, settings.retention, self.transfers
        )
        self.boxes = handoff.Boxes(catalog, lambda: self.places)
        self._content_of: dict[str, ContentOf | None] = {}
        self.records = Records(
            catalog,
            Repositories(settings.repositories, REPOSITORIES, self.secrets, settings.folder, settings.table),
            definitions=lambda: self.definitions,
            content_of=self.content_of,
        )
        self._load()

    def close(self) -> None:
        """Close the catalog, and connections to repositories."""
        self.records.repositories.close()
        self.catalog.close()

    def content_of(self, pipeline: str) -> ContentOf | None:
        """What tells from the first bytes of a file what it is; None if the pipeline's plug-in brings nothing."""
        if pipeline not in self._content_of:
            brought = site_files.request(self.settings, pipeline).plugin.content_of
            self._content_of[pipeline] = attribute(brought) if isinstance(brought, str) else brought
        return self._content_of[pipeline]

    # ---- roots
    def _set_roots(self) -> None:
        """Bring the catalog's roots to the site file's; a root that was remapped since is where it was remapped to."""
        with self.catalog.read() as view:
            known = {name: row.place for name, row in view.roots().items()}
            noted = view.noted("root")
        wanted = {name: f"{place}/" for name, place in self.settings.roots.items()}
        differ = [name for name, place in wanted.items() if known.get(name) != place]
        moved = {
            name: str(noted[name]["place"])
            for name in differ
            if name in noted and noted[name].get("instead_of") == wanted[name]
        }
        self._add_roots({name: wanted[name] for name in differ if name not in moved})
        self.places: dict[str, str] = {**known, **wanted, **moved}
        self.storage = LocalStorage(self.places)

    def _add_roots(self, places: Mapping[str, str]) -> None:
        """Make the folders of roots that the catalog does not have there, and then tell it of them.

        Only once: a disk that is away must be missed, not taken for an empty one.
        """
        for place in places.values():
            _make_folder(Path(place))
        if places:
            self.catalog.write(lambda tx: [tx.set_root(*root) for root in places.items()])

    def move_root(self, name: str, place: Path) -> None:
        """Say that a root lies elsewhere now, for as long as the settings go on naming the place that it left."""
        left = self.settings.roots.get(name)

        def transact(tx: Transaction) -> None:
            tx.set_root(name, str(place))
            tx.set_slot(
                tx.slot("root", name), {"place": f"{place}/", "instead_of": f"{left}/" if left else ""}
            )

        self.catalog.write(transact)
        self.places[name] = f"{place}/"

    @property
    def signer(self) -> Signer:
        """What this site signs with: a key that is drawn once and kept in its catalog; it is told to nobody."""
        if self._signer is None:
            self._signer = Signer(bytes.fromhex(self.catalog.write(_own_key)))
        return self._signer

    def free_bytes(self, root: str) -> int:
        """The bytes that are free on the disk of a root."""
        status = os.statvfs(self.places[root])
        return status.f_bavail * status.f_frsize

    def room(self) -> float:
        """The bytes that are free on the store's disk above what must stay free; infinite where nothing asks for any."""
        is_asked = self.settings.retention.free or any(
            stage.resources.disk
            for definition in self.definitions.values()
            for kind in definition.kinds.values()
            for stage in kind.stages.values()
        )
        return self.free_bytes("store") - self.settings.retention.free if is_asked else math.inf

    def no_room(self) -> str:
        """Why no run is begun for want of room on the store's disk; "" if there is enough."""
        wanted = self.settings.retention.free
        if not wanted:
            return ""
        free = self.free_bytes("store")
        if free >= wanted:
            return ""
        return f"the store's disk has {free / 1e9:.2f} GB free, less than the {wanted / 1e9:.2f} GB of retention.free"

    # ---- pipelines
    def _load(self) -> None:
        for name, entry in self.settings.pipelines.items():
            if entry.enabled:
                wanted = site_files.request(self.settings, name)
                loaded = pipeline_files.load(wanted)
                self._watchers[name] = pipeline_files.Watcher(wanted, loaded)
                self._activate(loaded)

    def _refuse_gpu(self, definition: Definition) -> None:
        """A stage that wants a GPU on a site that has none would wait for ever."""
        wanting = [
            f"{kind.name}.{stage.name}"
            for kind in definition.kinds.values()
            for stage in kind.stages.values()
            if stage.resources.gpu
        ]
        if wanting and not self.settings.site.gpus:
            raise SiteError(
                f"{definition.pipeline}: {', '.join(wanting)} want a GPU; set site.gpus, or gpu = false"
            )

    def _refuse_repositories(self, definition: Definition) -> None:
        """A source that looks at a repository which the site has not would never find anything."""
        for plan in definition.sources.values():
            if plan.kind == "records":
                try:
                    self.records.repositories.check(str(plan.settings["repository"]))
                except SiteError as error:
                    raise SiteError(
                        f"{definition.pipeline}: sources.{plan.name}.repository: {error}"
                    ) from None

    def _refuse_inboxes(self, definition: Definition) -> None:
        for stage in _handoffs(definition):
            if (name := str(stage.params["inbox"])) not in {*self.places, INBOX}:
                known = ", ".join(sorted(self.places))
                raise SiteError(
                    f"{definition.pipeline}: {stage.kind}.{stage.name}: inbox: no root {name!r}; roots are {known}"
                )

    def _give_inbox(self, definition: Definition) -> None:
        """A site with hand-offs has a root for their drop boxes, `inbox` unless it says otherwise."""
        wanted = any(stage.params["inbox"] == INBOX for stage in _handoffs(definition))
        if wanted and INBOX not in self.places:
            place = f"{self.folder / INBOX}/"
            self._add_roots({INBOX: place})
            self.places[INBOX] = place

    def _refuse(self, definition: Definition) -> None:
        """Refuse a definition that wants what the site has not. Raises `SiteError`."""
        self._refuse_gpu(definition)
        self._refuse_repositories(definition)
        self._refuse_inboxes(definition)

    def _activate(self, loaded: pipeline_files.Loaded) -> None:
        definition = loaded.definition
        self._refuse(definition)
        self._give_inbox(definition)
        with self.catalog.read() as view:
            active = view.definition(definition.pipeline)
        if active is not None and active[1] == definition.digest:
            number = active[0]
        else:
            number = self.catalog.write(lambda tx: tx.set_definition(definition))
        definition = replace(definition, number=number)
        self.definitions = {**self.definitions, definition.pipeline: definition}
        self.catalog.definitions[definition.pipeline] = definition
        self.origins[definition.pipeline] = loaded.origins

    def reload(self, *, force: bool = False) -> dict[str, str]:
        """Look whether pipeline files changed; returns by pipeline "" (swapped in) or the error that kept the old one.

        With `force` secrets are read again too; otherwise that is done about once a minute, where they are used.
        """
        told: dict[str, str] = {}
        if force:
            self.secrets.forget()
        for name, watcher in self._watchers.items():
            former = watcher.current
            change = watcher.reload(force=force)
            if change is None:
                continue
            told[name] = str(change.error or "")
            if change.loaded is not None:
                try:
                    self._refuse(change.loaded.definition)
                except SiteError as error:
                    watcher.current, told[name] = former, str(error)
                else:
                    self._activate(change.loaded)
            if told[name]:
                self._tell_refused(name, told[name])
        return told

    def _look_around(self) -> None:
        """What a site that runs looks after about once a second."""
        self.reload()
        self.retention.appoint()
        self._look_into_boxes()

    def _look_into_boxes(self) -> None:
        if any(True for definition in self.definitions.values() for _ in _handoffs(definition)):
            self.boxes.look()

    def _tell_refused(self, name: str, error: str) -> None:
        log.error("pipeline file refused, the old one stays: %s", error)
        self.catalog.write(lambda tx: tx.event("definition refused", pipeline=name, error=error))

    def plugins(self) -> dict[str, Plugin]:
        """The plug-ins of the site's pipelines, by name."""
        return {name: site_files.request(self.settings, name).plugin for name in self._watchers}

    # ---- running
    def arrivals(self) -> Arrivals:
        """What looks at the site's sources."""
        return Arrivals(
            self.catalog,
            self.storage,
            self.records,
            definitions=lambda: self.definitions,
            places=lambda: self.places,
        )

    @contextmanager
    def running(self, only: Sequence[int] | None = None) -> Iterator[Running]:
        """The process loop of this site, with its executor, services and session; all ended on leaving."""
        chores = self._chores()  # first: a secret that is not there must leave nothing half open
        self.retention.open()
        self._look_into_boxes()
        executor = self._executor()
        session = Session(self.catalog, self.state / "sessions", attributable=executor.attributable)
        arrivals = self.arrivals()
        desk = self._desk()
        carrier = self._carrier()
        notifier = self._notifier()

        reaper = Reaper(self.records.warrants)

        def tend() -> bool:
            is_behind = [reaper.tend(), self._regroup(), notifier.tell()]
            return any(is_behind)

        process = Process(
            self.catalog,
            executor,
            self.storage,
            owner=session.number,
            definitions=lambda: self.definitions,
            places=lambda: self.places,
            logs=self.logs,
            collect_log=collect_log,
            services={
                "publish": self._publisher(),
                "certify": Certifier(self.catalog),
                "gate": desk,
                "handoff": desk,
                "retrieve": carrier.retrieve,
                "deliver": carrier.deliver,
            },
            chores=chores,
            hooks=(gather, handoff.accepted),
            durable=self.settings.site.durability == "power",
            room=self.room,
            credentials=self._credentials(),
            on_short=self.retention.hurry,
            only=only,
        )
        loop = Worker(
            self.catalog,
            process,
            arrivals,
            session.host,
            definitions=lambda: self.definitions,
            reload=self._look_around,
            tend=tend,
            chores=lambda: [queue for queue in chores() if queue[1] == "message"],
            no_room=lambda: self.no_room() or process.short,
            only=only,
        )
        try:
            with _rare_collections():
                yield Running(loop, process, executor)
            self.retention.appoint()
        finally:
            self.retention.close()
            executor.close()
            process.close()
            reaper.close()
            session.close()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Use the site without running its work: nobody puts another catalog in place beneath this process."""
        session = Session(self.catalog, self.state / "sessions", attributable=False, works=False)
        try:
            bury(self.catalog, session.host)
            yield
        finally:
            session.close()

    def _credentials(self) -> Callable[[int, int], Credentials] | None:
        """What a run is told, so that it may read its inputs and write its outputs through the site's server."""
        url = self.settings.server.url.rstrip("/")
        if not url:
            return None
        signer = self.signer
        return lambda work, token: Credentials(url, signer.run_token(work, token))

    def _executor(self) -> Executor:
        name, workers = self.settings.site.executor, self.settings.site.workers
        paths = tuple(
            str(self.folder / entry.path) for entry in self.settings.pipelines.values() if entry.plugin
        )
        # Only a machine itself can tell which of its processes live, so each keeps and sweeps logs in a folder of its own.
        logs = self.state / "workers" / f"{machine()}-{socket.gethostname()}"
        if name == "local":
            return LocalExecutor(
                logs,
                workers,
                gpus=self.settings.site.gpus,
                sys_path=paths,
                without=self.secrets.variables(),
            )
        if name == "inline":
            return InlineExecutor(logs)
        raise SiteError(f"site.executor: found {name!r}; expected local or inline")

    def transfers(self) -> dict[str, Transfer]:
        """How bytes reach each root."""
        return dict.fromkeys(self.places, LocalTransfer(self.catalog.write(_own_mark)))

    def _take_in(
        self, files: Mapping[str, Path], hashes: Mapping[str, str], place: str, token: int, lone: bool
    ) -> list[Output]:
        below = self.places["store"] if self.settings.site.durability == "power" else ""
        return take_in(files, hashes, place, token, lone, flush_below=below)

    def _publisher(self) -> Publisher:
        return Publisher(
            self.catalog,
            self.storage,
            self.transfers(),
            definitions=lambda: self.definitions,
            destinations=self._destinations(),
        )

    def _desk(self) -> handoff.Desk:
        return handoff.Desk(
            self.catalog,
            definitions=lambda: self.definitions,
            places=lambda: self.places,
            take=self._take_in,
            destinations=self._destinations(),
        )

    def _carrier(self) -> Carrier:
        scratch = self.state / "carried"
        sweep(scratch)
        return Carrier(
            self.catalog,
            repositories=self.records.repositories,
            warrant=self.records.warrants.of,
            definitions=lambda: self.definitions,
            places=lambda: self.places,
            take=self._take_in,
            scratch=scratch,
        )

    def _destinations(self) -> tuple[str, ...]:
        """Who is told of publications and orders that do not say whom to tell: programs, and not people by mail."""
        return tuple(name for name, table in self.settings.outbox.items() if table.kind != "mail")

    def _notifier(self) -> Notifier:
        return Notifier(
            self.catalog,
            [outboxes.rule(name, table) for name, table in self.settings.notify.items()],
            definitions=lambda: self.definitions,
            url=self.settings.server.url,
        )

    def _sink(self, name: str, table: Outbox) -> Sink:
        """What sends the messages to a destination. Raises `SiteError` if its secret cannot be read."""
        if isinstance(table, FolderOutbox):
            return Folder(self.folder / table.path)
        if isinstance(table, MailOutbox):
            password = self.secrets.held(f"outbox.{name}.password", table.password)
            password()
            from towpath.adapters.notify.mail import Mail  # optional: for sites that send mail

            return Mail(
                table.host,
                sender=table.sender,
                to=table.to,
                port=table.port,
                user=table.user,
                password=password,
                tls=table.tls,
                ca=str(self.folder / table.ca) if table.ca else "",
                timeout=table.timeout,
            )
        secret = self.secrets.held(f"outbox.{name}.secret", table.secret)
        secret()
        from towpath.adapters.notify.webhook import Webhook  # optional: for sites that have one

        return Webhook(table.url, secret=secret, timeout=table.timeout)

    def _chores(self) -> Callable[[], Mapping[tuple[str, str, str], Chore]]:
        sinks = {name: self._sink(name, table) for name, table in self.settings.outbox.items()}
        messages = couriers(self.catalog, sinks)
        is_kept = self.settings.retention.every > 0
        minded = {handoff.CLOCK: handoff.Minder(self.catalog, lambda: self.places, check_of)}

        def chores() -> Mapping[tuple[str, str, str], Chore]:
            gathers = {
                (kind.pipeline, kind.name, GATHER): self._time_out(definition, kind)
                for definition in self.definitions.values()
                for kind in definition.kinds.values()
                if kind.gathered
            }
            return {**messages, **gathers, **minded, **({RETENTION: self.retention} if is_kept else {})}

        return chores

    def _regroup(self) -> bool:
        """Group those who waited because a place was kept for another, who is under way no more; whether there was anything."""
        some = False
        for definition in list(self.definitions.values()):
            with self.catalog.read() as view:
                waiting = group.waiting(view, definition)
            for kind, partition in waiting:
                work = partial(group.go_on, definition=definition, kind=kind, partition=partition)
                try:
                    some = bool(self.catalog.write(work)) or some
                except (LookupError, ValueError) as error:  # what a changed definition asks of its members
                    text = f"{kind.pipeline}/{kind.name} {partition}: not grouped: {error}"
                    if text not in self._told:  # once, not every second
                        log.warning("%s", text)
                    self._told.add(text)
        return some

    def _time_out(self, definition: Definition, kind: KindPlan) -> Chore:
        """What is done when an item is not complete in time: a group's, or a folder source's."""
        plan = next((plan for plan in definition.sources.values() if plan.item == kind.name), None)

        def transact(tx: Transaction, claimed: Claimed) -> None:
            if kind.group is not None:
                group.time_out(tx, definition, claimed)
            elif plan is not None:
                done = register.time_out(tx, definition, plan, claimed)
                group.gather(tx, definition, kind.name, "", done)

        return lambda claimed: self.catalog.write(lambda tx: transact(tx, claimed))


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector look less often.

    The rows of many small runs, none of them in a circle, made it look through the whole process again and again.
    """
    former = gc.get_threshold()
    gc.set_threshold(_COLLECT, *former[1:])
    try:
        yield
    finally:
        gc.set_threshold(*former)


def gather(
    tx: Transaction, definition: Definition, kind: KindPlan, stage: StagePlan, items: Sequence[int]
) -> None:
    """Give items that have passed a stage to the groups that take them, in the completing transaction."""
    if items and definition.groups_of(kind.name, stage.name):
        group.gather(tx, definition, kind.name, stage.name, items)


def _handoffs(definition: Definition) -> Iterator[StagePlan]:
    for kind in definition.kinds.values():
        yield from (stage for stage in kind.stages.values() if stage.service == "handoff")


def check_of(name: str) -> Check | None:
    """The check of deliveries that a pipeline brings; None for ""."""
    found: Check | None = attribute(name) if name else None
    return found


def _own_mark(tx: Transaction) -> str:
    """What tells this site from others; a copy of the catalog has it too."""
    return _drawn(tx, "mark", 8)


def _own_key(tx: Transaction) -> str:
    return _drawn(tx, "key", 32)


def _drawn(tx: Transaction, name: str, size: int) -> str:
    """So many random bytes as hexadecimal text, drawn once."""
    slot = tx.slot("site", name)
    if name not in slot.data:
        slot = replace(slot, data={name: secrets.token_hex(size)})
        tx.set_slot(slot, slot.data)
    return str(slot.data[name])


def _vault(settings: Mapping[str, Any]) -> Secrets:
    from towpath.adapters.secrets import vault  # optional: for sites that have one

    return vault.make(settings)


def _invenio(settings: Mapping[str, Any]) -> repository.Repository:
    try:
        from towpath.adapters.repositories import invenio  # optional: needs httpx
    except ImportError as error:
        raise SiteError(f'kind = "invenio" needs {error.name}: pip install "towpath[invenio]"') from None
    return invenio.make(settings)


def _make_folder(folder: Path) -> None:
    """Make a folder, where it is not, with those above it; that all of them are there outlives a power cut.

    One that is there may have been made by somebody who was killed before flushing it.
    """
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    if os.access(folder.parent, os.R_OK | os.W_OK):
        flush(folder.parent)


# ---- opening
def open_parts(path: Path, overrides: Sequence[str], environ: Mapping[str, str]) -> Parts:
    """Open the site at a folder or site file; its catalog is made or migrated first."""
    settings = site_files.load(path, environ, overrides)
    catalog = open_catalog(settings)
    try:
        return Parts(settings, catalog, environ)
    except BaseException:
        catalog.close()
        raise
