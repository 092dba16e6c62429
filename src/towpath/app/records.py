"""Records: which workflows apply to the files of a repository's records, and starting them.

The one place where a repository, the matcher and the catalog meet: whoever asks (a person, a source that is looked at, a
hook of the repository) gets the same answer. Promises that what is said to be started is in the catalog.
"""

import hashlib
import threading
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from towpath.app.fresh import Fresh, Pace
from towpath.app.repositories import Repositories
from towpath.base.errors import BusyError, NotFoundError, SiteError, TowpathError, Transient, UsageError
from towpath.contracts.catalog import Catalog, Transaction
from towpath.contracts.definition import Definition, KindPlan, SourcePlan
from towpath.contracts.records import HEAD, LONGER_HEAD, Matched, Offer, Seen, Workflow
from towpath.contracts.repository import (
    Access,
    Caller,
    Capability,
    Knows,
    RecordEntry,
    RecordFile,
    Repository,
)
from towpath.flow import warrant
from towpath.flow.match import fit, match
from towpath.flow.start import Asked, Started, start
from towpath.flow.warrant import Warrants

FRESH = 30.0  # seconds for which what somebody may is not asked again
_MOST = 500  # records for which it is asked in that time what one person may
_PAUSE = 2.0  # seconds until a repository that did not answer for somebody is asked again for them
_WHOLE = 900.0  # seconds after which all records are asked for again, and not those alone that changed since
_MARKS = (BOM_UTF16_LE, BOM_UTF16_BE)
_IN_A_ROW = 3  # records that cannot be looked at, until it is the repository that is in trouble
_AT_ONCE = 200  # items that are begun in one transaction
_KEPT = 10_000  # files whose content is remembered

Told = list[Started | BusyError | None]
ContentOf = Callable[[bytes], str]
Among = Collection[str] | None  # names of the repositories that are meant; None: all
Write = Callable[[Callable[[Transaction], Told]], Told]


@dataclass(frozen=True, slots=True)
class Refused:
    """An offer that was not begun: why, and the key of the item that holds its files, if one does."""

    offer: Offer
    why: str
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """What one start did: what was begun with what it was offered for, what was refused, and files nothing is for."""

    started: tuple[tuple[Started, Offer], ...] = ()
    refused: tuple[Refused, ...] = ()
    unmatched: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a source did: items that were begun, files that still change, and what went wrong."""

    begun: int = 0
    unsettled: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a record that were deposited, as they are and as the matcher sees them."""

    entry: RecordEntry
    files: Mapping[str, RecordFile]
    seen: tuple[Seen, ...]


class Records:
    """Workflows on the records of a site's repositories.

    Parameters
    ----------
    catalog
        Where items are.
    repositories
        Gives a repository by its name.
    definitions
        The active definitions by pipeline.
    content_of
        Gives, by pipeline, what tells from a file's first bytes what it is; None if nothing does.
    """

    def __init__(
        self,
        catalog: Catalog,
        repositories: Repositories,
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        content_of: Callable[[str], ContentOf | None],
    ) -> None:
        self._catalog, self.repositories = catalog, repositories
        self._definitions, self._content_of = definitions, content_of
        self.warrants = Warrants(catalog, repositories)
        self._contents: OrderedDict[tuple[str, ...], str] = OrderedDict()
        self.allowed: Fresh[frozenset[Access]] = Fresh(FRESH)
        self.people: Fresh[str] = Fresh(FRESH)
        self.keepers: Fresh[str] = Fresh(FRESH)
        self.pace = Pace(_MOST, FRESH, _PAUSE)
        self._entries: dict[str, list[RecordEntry]] = {}
        self._away: dict[str, Transient] = {}
        self._since: dict[str, tuple[str, float]] = {}  # the latest version seen, and when all were asked for
        self._done: dict[tuple[str, str, str], str] = {}
        self._lock = threading.Lock()

    # ---- what there is
    def workflows(self, pipeline: str = "") -> list[Workflow]:
        """The workflows (of a pipeline), in the order of their files."""
        return [
            Workflow.of(plan)
            for definition in self._definitions().values()
            if pipeline in ("", definition.pipeline)
            for plan in definition.sources.values()
            if plan.kind == "records"
        ]

    def available(self, pipeline: str, files: Sequence[Seen]) -> Matched:
        """What is offered for files of which only this is known."""
        return match(self.workflows(pipeline), files)

    def on(self, pipeline: str, record: str, among: Among = None) -> tuple[Matched, Listing]:
        """What is offered for the files of a record, with what they are.

        Raises
        ------
        NotFoundError
            If no repository of the pipeline (among these) has such a record.
        """
        repository = self.holder(pipeline, record, among)
        listing = self.listing(pipeline, repository, record)
        mine = [one for one in self.workflows(pipeline) if one.repository == repository]
        return match(mine, listing.seen), listing

    def holder(self, pipeline: str, record: str, among: Among = None) -> str:
        """The name of the repository that has a record. Raises `NotFoundError`."""
        for name in _repositories(self.workflows(pipeline), among):
            try:
                self.repositories(name).record(record)
            except NotFoundError:
                continue
            return name
        raise NotFoundError(f"there is no record {record!r}")

    def listing(
        self,
        pipeline: str,
        repository: str,
        record: str,
        by: Capability | None = None,
        entry: RecordEntry | None = None,
    ) -> Listing:
        """The deposited files of a record; each is looked into once."""
        keeper = self.repositories(repository)
        found = {file.key: file for file in keeper.files(record, by) if not file.made_by}
        seen = tuple(self._seen(pipeline, keeper, record, file, by) for file in found.values())
        return Listing(entry or keeper.record(record, by), found, seen)

    def _seen(
        self, pipeline: str, keeper: Repository, record: str, file: RecordFile, by: Capability | None
    ) -> Seen:
        seen = Seen(file.key, file.size, file.checksum, file.media_type)
        look = self._content_of(pipeline)
        if look is None:
            return seen
        name = (pipeline, record, file.key, file.checksum or str(file.size))
        if name not in self._contents:
            head = keeper.head(record, file.key, HEAD, by)
            content = look(head)
            is_text = b"\0" not in head or head.startswith(_MARKS)
            if not content and len(head) == HEAD and is_text and self._is_sought(pipeline, seen):
                content = look(keeper.head(record, file.key, LONGER_HEAD, by))
            with self._lock:
                self._contents[name] = content
                while len(self._contents) > _KEPT:
                    self._contents.popitem(last=False)
        return replace(seen, content=self._contents[name])

    def _is_sought(self, pipeline: str, file: Seen) -> bool:
        """Whether a file would play a role if it were of the content that the role asks for."""
        roles = (role for workflow in self.workflows(pipeline) for role in workflow.roles)
        return any(role.content and fit(role, file).fits for role in roles)

    # ---- who may
    def may(self, repository: str, record: str, caller: Caller) -> frozenset[Access]:
        """What somebody may do with a record; asked of the repository again after `FRESH` seconds.

        Raises
        ------
        Transient
            If the repository cannot be asked now.
        """
        caller = _at(repository, caller)
        name = (repository, record, caller.name, digest(caller.bearer))
        return self.allowed.get(name, lambda: self._may(repository, record, caller))

    def _may(self, repository: str, record: str, caller: Caller) -> frozenset[Access]:
        keeper = self.repositories(repository)
        if keeper.knows is Knows.NAMES:
            return keeper.may(record, caller)
        who = (repository, caller.name, digest(caller.bearer))
        return self.pace.ask(who, lambda: keeper.may(record, caller))

    def who(self, repository: str, bearer: str) -> str:
        """Whose token this is, as the repository says ("": nobody's); asked again after `FRESH` seconds. Raises `Transient`."""
        name = (repository, digest(bearer))
        return self.people.get(name, lambda: self.repositories(repository).who(bearer))

    def keeper(self, pipeline: str, workflow: str, record: str) -> str:
        """The name of the repository that a record is of; "" if the pipeline has none.

        That of the workflow, where there is such a one; else that of the pipeline, or the first that has the record.

        Raises
        ------
        NotFoundError
            If none of several has it.
        """
        definition = self._definitions().get(pipeline)
        plans = [one for one in definition.sources.values() if one.kind == "records"] if definition else []
        mine = [plan for plan in plans if plan.item == workflow] or plans
        names = list(dict.fromkeys(str(plan.settings["repository"]) for plan in mine))
        if len(names) < 2:
            return names[0] if names else ""
        if not (name := self.keepers.get((pipeline, record), lambda: self._holder(pipeline, record))):
            raise NotFoundError(f"there is no record {record!r}")
        return name

    def _holder(self, pipeline: str, record: str) -> str:
        try:
            return self.holder(pipeline, record)
        except NotFoundError:
            return ""

    def that_know(self, knows: Knows) -> list[str]:
        """The names of the repositories of the site's workflows that know people so."""
        names = dict.fromkeys(one.repository for one in self.workflows())
        return [name for name in names if self.repositories(name).knows is knows]

    # ---- starting
    def start(
        self,
        pipeline: str,
        record: str,
        *,
        write: Write,
        who: str,
        workflow: str = "",
        files: Sequence[str] = (),
        force: bool = False,
        once: bool = False,
        caller: Caller | None = None,
        among: Among = None,
        priority: int = 0,
    ) -> Begun:
        """Start a workflow, or all that apply, on files of a record, or on all of them.

        The record is that of the first repository (`among` these) that has it and that the workflow is for.

        Raises
        ------
        NotFoundError
            If there is no such record, file or workflow.
        UsageError
            If the workflow does not apply to the files.
        BusyError
            If one workflow was asked for and its file is in work.
        """
        known = [one for one in self.workflows(pipeline) if workflow in ("", one.name)]
        if not known:
            names = ", ".join(one.name for one in self.workflows(pipeline)) or "none"
            raise NotFoundError(f"found no workflow {workflow!r}; there are {names}")
        repository, by = self._granted(_repositories(known, among), record, caller)
        grants = _Grants(by, lambda: self._grant(repository, record, caller))
        try:
            listing = self.listing(pipeline, repository, record, by)
            if missing := [name for name in files if name not in listing.files]:
                raise NotFoundError(f"{record} has no file {', '.join(missing)}")
            seen = [one for one in listing.seen if not files or one.key in files]
            matched = match([one for one in known if one.repository == repository], seen)
            if workflow and not matched.offers:
                whys = (
                    "; ".join(f"{key}: {why}" for key, why in matched.unmatched.items()) or "it has no files"
                )
                raise UsageError(f"{workflow} does not apply to files of {record}: {whys}")
            chosen = _Chosen(who, force, once, priority)
            begun = self._begin(matched, listing, repository, chosen, write, grants)
            if workflow and len(begun.refused) == len(matched.offers) == 1:
                raise BusyError(begun.refused[0].why, begun.refused[0].holder)
            return begun
        finally:
            self._give_back(repository, grants.unused)

    def _begin(
        self,
        matched: Matched,
        listing: Listing,
        repository: str,
        chosen: "_Chosen",
        write: Write,
        grants: "_Grants | None" = None,
    ) -> Begun:
        """Begin what is offered, in as few transactions as workflows apply (and `_AT_ONCE` items in each)."""
        record = listing.entry.id
        started: list[tuple[Started, Offer]] = []
        refused: list[Refused] = []
        for offers in _parts(matched.offers):
            workflow = offers[0].workflow
            kind = self._definitions()[workflow.pipeline].kinds[workflow.name]
            asked = [chosen.of(offer, listing) for offer in offers]
            try:
                capabilities = [grants.next() for _ in offers] if grants else []
                told = write(partial(_start, kind, record, asked, chosen, repository, capabilities))
            except (Transient, SiteError, UsageError) as error:
                if not started or grants is None:  # a look comes again, and finds what is left
                    raise
                refused += [Refused(offer, str(error)) for offer in offers]  # what was begun is to be told
                continue
            for number, (offer, one) in enumerate(zip(offers, told, strict=True)):
                if isinstance(one, Started):
                    started.append((one, offer))
                    if grants:
                        grants.used(capabilities[number])
                elif one is not None:
                    refused.append(Refused(offer, str(one), one.holder))
        return Begun(tuple(started), tuple(refused), matched.unmatched)

    def _granted(self, names: Iterable[str], record: str, caller: Caller | None) -> tuple[str, Capability]:
        """The repository that has the record, and what the site may act with there."""
        for name in names:
            try:
                return name, self._grant(name, record, caller)
            except NotFoundError:
                continue
        raise NotFoundError(f"there is no record {record!r}")

    def _grant(self, repository: str, record: str, caller: Caller | None) -> Capability:
        caller = None if caller is None else _at(repository, caller)
        if caller is not None and caller.bearer:
            try:
                return self.warrants.ask(repository, record, caller)
            except (SiteError, UsageError):
                pass  # they may change it, but not hand that on: the site's own account may
        return self.warrants.ask(repository, record, None)

    def _give_back(self, repository: str, unused: Iterable[Capability]) -> None:
        for one in unused:
            if one.secret:
                try:
                    self.repositories(repository).revoke(one)
                except (Transient, SiteError, UsageError):
                    continue  # its time ends it

    # ---- what a source brings
    def look(
        self, plan: SourcePlan, write: Write, *, is_paused: Callable[[], bool] = lambda: False
    ) -> Looked:
        """Start what a source maps to files that are new or have changed.

        Raises
        ------
        Transient, SiteError
            If the repository cannot be asked, or refuses: for one record after another, and not for one that is wrong.
        """
        workflow = Workflow.of(plan)
        count, unsettled, in_a_row = 0, 0, 0
        problems: list[str] = []
        for entry in self._records(workflow.repository) if workflow.automatic else ():
            if is_paused():
                self._since.pop(workflow.repository, None)  # the others are asked for once more
                break
            unsettled += entry.unsettled
            name = (plan.pipeline, plan.name, entry.id)
            if entry.version and self._done.get(name) == entry.version:
                continue
            try:
                begun = self.look_at(plan, entry.id, write)
            except TowpathError as error:
                problems.append(f"sources.{plan.name}: record {entry.id}: {error}")
                in_a_row += not isinstance(error, UsageError)
                if in_a_row == _IN_A_ROW:
                    self._since.pop(workflow.repository, None)
                    raise
            else:
                count, in_a_row = count + len(begun.started), 0
                self._done[name] = entry.version
        return Looked(count, unsettled, tuple(problems))

    def look_at(self, plan: SourcePlan, record: str, write: Write) -> Begun:
        """The same for one record."""
        workflow = Workflow.of(plan)
        listing = self.listing(plan.pipeline, workflow.repository, record)
        matched = match([workflow], listing.seen)
        # What is in work is what the file was before: the new bytes do not wait for it.
        chosen = _Chosen(f"source {plan.name}", force=True, once=True)
        return self._begin(matched, listing, workflow.repository, chosen, write)

    def look_anew(self) -> None:
        """A round of looks begins: each repository is asked once in it for the records that there are."""
        self._entries.clear()
        self._away.clear()

    def _records(self, repository: str) -> list[RecordEntry]:
        if repository in self._away:
            raise self._away[repository]
        if repository not in self._entries:
            since, asked = self._since.get(repository, ("", 0.0))
            if time.monotonic() - asked > _WHOLE:
                since, asked = "", time.monotonic()
            try:
                found = self._entries[repository] = list(self.repositories(repository).records(since))
            except Transient as error:
                self._away[repository] = error
                raise
            self._since[repository] = max([since, *(entry.version for entry in found)]), asked
        return self._entries[repository]


def _repositories(workflows: Iterable[Workflow], among: Among) -> list[str]:
    """The names of the repositories that workflows are for."""
    names = dict.fromkeys(one.repository for one in workflows)
    return [name for name in names if among is None or name in among]


def digest(bearer: str) -> bytes:
    """What a bearer is remembered by."""
    return hashlib.sha256(bearer.encode(errors="surrogateescape")).digest()


def _at(repository: str, caller: Caller) -> Caller:
    """A caller as a repository is to see them: without what they brought for another one."""
    return caller if caller.of in ("", repository) else Caller(caller.name)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """How offers are begun: in whose name, and what holds for all of them."""

    who: str
    force: bool = False
    once: bool = False
    priority: int = 0

    def of(self, offer: Offer, listing: Listing) -> Asked:
        """An offer as it is asked for."""
        files = {role: listing.files[key] for role, key in offer.files.items()}
        return Asked(files, offer.workflow.per, offer.why, self.force, self.once)


class _Grants:
    """Capabilities for the items of one start, made when they are needed; `unused` are those that no item has."""

    def __init__(self, first: Capability, make: Callable[[], Capability]) -> None:
        self._make = make
        self._waiting = [first]
        self.unused = [first]

    def next(self) -> Capability:
        """One that is in nobody's use; one without a secret serves all."""
        if self._waiting:
            made = self._waiting.pop()
            if not made.secret:
                self._waiting.append(made)
            return made
        made = self._make()
        self.unused.append(made)
        return made

    def used(self, one: Capability) -> None:
        """An item has it now."""
        if one in self.unused:
            self.unused.remove(one)


def _start(
    kind: KindPlan,
    record: str,
    asked: Sequence[Asked],
    chosen: _Chosen,
    repository: str,
    capabilities: Sequence[Capability],
    tx: Transaction,
) -> Told:
    told = start(tx, kind, record, asked, chosen.who, priority=chosen.priority)
    for number, capability in enumerate(capabilities):
        begun = told[number]
        if isinstance(begun, Started):
            warrant.note(tx, begun.item, repository, capability)
    return told


def _parts(offers: Iterable[Offer]) -> Iterator[list[Offer]]:
    """Offers of one workflow each, in parts."""
    for _, group in groupby(offers, key=lambda offer: offer.workflow.name):
        same = list(group)
        for first in range(0, len(same), _AT_ONCE):
            yield same[first : first + _AT_ONCE]
