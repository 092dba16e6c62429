"""The service "publish": carries claimed work through the journal, step by step, each step a row in a transaction.

Promises that a published place is whole or not there, is never overwritten, and that a kill at any instant leaves a
state from which the next attempt goes on. Never holds a transaction while bytes move, and never acts without its token.
"""

import errno
import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from towpath.base import clock, faults
from towpath.base.errors import IntegrityError, NotFoundError, StateError, StorageError
from towpath.base.model import Product
from towpath.base.states import Outcome, Work
from towpath.base.states import Product as ProductState
from towpath.base.states import Publication as State
from towpath.contracts.catalog import Catalog, Claimed, PublicationRow, Transaction, View
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.documents import Bundle
from towpath.contracts.executor import Report
from towpath.contracts.lineage import ancestry
from towpath.contracts.publication import PublishSettings, names, settings
from towpath.contracts.storage import Storage
from towpath.contracts.transfer import Transfer
from towpath.flow.publish.decide import (
    STANDING,
    UNPLACED,
    Action,
    Found,
    Objection,
    choose,
    next_step,
    objections,
    version_of,
)
from towpath.flow.publish.people import approved
from towpath.flow.publish.plan import Plan, Sources, look_at, make
from towpath.flow.publish.rows import Lost, fence, rows_of

T = TypeVar("T")

log = logging.getLogger(__name__)

WAITING = "waiting for publish: `towpath publish`"
_LOOK = 2.0  # seconds between two looks, during a copy, whether the work is still ours


@dataclass(slots=True)
class _Attempt:
    """What one attempt knows, in memory only."""

    kind: KindPlan
    stage: StagePlan
    claimed: Claimed
    settings: PublishSettings
    transfer: Transfer
    root: Path
    row: PublicationRow | None = None
    placed: bool = False
    stamp: Hashable | None = None
    lost: PublicationRow | None = None
    refreshed: tuple[tuple[int, int], ...] = ()
    known: dict[Hashable, bytes] = field(default_factory=dict)
    total: int = 0
    passed: int = 0
    looked: float = 0.0


class _Ended(Exception):
    """The attempt ends here, with this outcome."""

    def __init__(self, outcome: Outcome, reason: str, **more: Any) -> None:
        self.outcome, self.reason, self.more = outcome, reason, more
        super().__init__(reason)


class Publisher:
    """The service "publish": carries one claimed piece of work through the journal.

    Parameters
    ----------
    catalog, storage
        Where the journal is, and where the products are.
    transfers
        How bytes reach each archive, by the name of its root.
    definitions
        The active definitions by pipeline.
    destinations
        Who is told of a publication, unless the pipeline file says.
    progress
        Gets the claimed work, a fraction in [0, 1] and what is being done.
    """

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        transfers: Mapping[str, Transfer],
        *,
        definitions: Callable[[], Mapping[str, Definition]],
        destinations: Sequence[str] = (),
        progress: Callable[[Claimed, float, str], None] | None = None,
    ) -> None:
        self._catalog, self._storage, self._transfers = catalog, storage, transfers
        self._definitions, self._destinations = definitions, tuple(destinations)
        self._progress = progress
        self._steps: Mapping[Action, Callable[[_Attempt, Plan, PublicationRow], PublicationRow]] = {
            Action.COPY: self._copy,
            Action.VERIFY: self._verified,
            Action.CHECK: self._check,
            Action.PLACE: self._place,
            Action.COMMIT: lambda attempt, _plan, row: self._commit(attempt, row),
            Action.CONFLICT: self._conflict,
            Action.ROLL_BACK: self._roll_back,
            Action.RELEASE: lambda attempt, _plan, row: self._release(attempt, row),
        }

    def __call__(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Carry the publication as far as it goes; returns the report of the run."""
        began = clock.now()
        attempt = self._attempt(kind, stage, claimed)
        more: dict[str, Any] = {}
        try:
            outcome = self._publish(attempt)
        except Lost as lost:
            self._sweep_own(attempt)
            outcome, more = Outcome.STOPPED, {"reasons": (str(lost),)}
        except _Ended as ended:
            outcome, more = self._give_up(attempt, ended)
        except IntegrityError as error:
            outcome, more = self._give_up(attempt, self._blame(attempt, error))
        except StorageError as error:
            outcome, more = self._give_up(attempt, _Ended(Outcome.FAILED, str(error)))
        except OSError as error:
            outcome, more = self._give_up(attempt, self._blame(attempt, error))
        report = Report(claimed.work, claimed.token, outcome, began, clock.now() - began, **more)
        return replace(report, refreshed=attempt.refreshed)

    def _attempt(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> _Attempt:
        chosen = settings(stage.params)
        with self._catalog.read() as view:
            roots = view.roots()
        if chosen.archive not in roots or chosen.archive not in self._transfers:
            raise NotFoundError(
                f"no archive {chosen.archive!r}; roots are {sorted(roots)}; add it to [roots]"
            )
        place = Path(roots[chosen.archive].place)
        return _Attempt(kind, stage, claimed, chosen, self._transfers[chosen.archive], place)

    def _publish(self, attempt: _Attempt) -> Outcome:
        self._settle(attempt)
        former = self._published(attempt)
        stands = former is not None and self._stands(attempt, former)
        if former is not None and stands and former.state is State.RELEASED:
            return Outcome.UNCHANGED
        if former is not None and stands:
            self._release(attempt, former)
            return Outcome.DONE
        attempt.lost = former
        plan = self._plan(attempt)
        row = self._open(attempt, plan)
        self._object(attempt, plan)
        attempt.total = 2 * plan.size
        action = next_step(row, self._found(attempt, row))
        while action is not Action.FINISH:
            attempt.row = row = self._steps[action](attempt, plan, row)
            action = next_step(row, self._found(attempt, row))
        return Outcome.DONE

    # ---- what earlier attempts left
    def _own_rows(self, attempt: _Attempt) -> list[PublicationRow]:
        with self._catalog.read() as view:
            return rows_of(view, attempt.claimed)

    def _settle(self, attempt: _Attempt) -> None:
        """Finish what was killed while it was placed: the temporary goes first, so that no late worker can place it."""
        for row in self._own_rows(attempt):
            if row.state is State.PLACING:
                attempt.row = row
                self._reach(attempt)
                self._sweep(attempt, row)
                target = self._look(attempt, self._target(row))
                match next_step(row, Found(target=target)):
                    case Action.COMMIT:
                        self._commit(attempt, row)
                    case Action.CONFLICT:
                        self._move(attempt, row, State.CONFLICT, error=_other_content(row))
                    case _:
                        self._move(attempt, row, State.INTENDED)
                attempt.row = None

    def _published(self, attempt: _Attempt) -> PublicationRow | None:
        """The journal row that already holds these products at the place they would get, if there is one."""
        products = choose(attempt.settings, attempt.claimed)
        rows = self._own_rows(attempt)
        with self._catalog.read() as view:
            item = view.item(attempt.claimed.item)
        for row in reversed(rows):
            if row.state in STANDING and row.archive == attempt.settings.archive:
                named = names(attempt.settings, item, products, version_of(rows, row.id))
                if (row.target, dict(row.files)) == (named.target, dict(named.files)):
                    return row
        return None

    def _stands(self, attempt: _Attempt, row: PublicationRow) -> bool:
        """Whether there still is something at the place of a publication; what it is, a scrub tells."""
        self._reach(attempt)
        return attempt.transfer.stamp(self._target(row)) is not None

    # ---- the plan
    def _plan(self, attempt: _Attempt) -> Plan:
        """What is to be published; to the place of the one that was lost from there, if it is the same still."""
        products = choose(attempt.settings, attempt.claimed)
        sources = look_at(self._storage, products)
        attempt.refreshed = sources.refreshed
        if sources.wrong:
            raise _changed(sources)
        bundle = self._bundle(attempt, products)
        named = names(attempt.settings, bundle.item, products, bundle.version)
        plan = make(
            self._storage,
            replace(bundle, files=named.files),
            named,
            documents=attempt.settings.documents,
        )
        if isinstance(plan, Sources):
            raise _changed(plan)
        if attempt.lost is not None and plan.sha256 != attempt.lost.sha256:
            attempt.lost = None
            return self._plan(attempt)
        return plan

    def _bundle(self, attempt: _Attempt, products: tuple[Product, ...]) -> Bundle:
        definition = self._definitions()[attempt.stage.pipeline]
        with self._catalog.read() as view:
            return Bundle(
                view.item(attempt.claimed.item),
                version_of(rows_of(view, attempt.claimed), attempt.lost.id if attempt.lost else None),
                {},
                products,
                ancestry(view, products),
                pipeline_version=definition.version,
                definition=definition.digest.hex(),
                licence=attempt.settings.licence.name or definition.licence,
                citation=definition.citation,
                doi=definition.doi,
            )

    # ---- the journal
    def _open(self, attempt: _Attempt, plan: Plan) -> PublicationRow:
        """The journal row of this plan, `intended`; rows that were begun for other products have failed."""
        rows, token = self._own_rows(attempt), attempt.claimed.token
        former = next((row.id for row in reversed(rows) if row.state in STANDING), 0)
        new = _new_row(attempt, plan, former)
        same = (new.sha256, new.target)
        stale = [row for row in rows if row.state in UNPLACED and (row.sha256, row.target) != same]
        for row in stale:
            self._sweep(attempt, row)

        def write(tx: Transaction) -> tuple[PublicationRow, bool]:
            for row in stale:
                tx.move_publication(row, State.FAILED, error="another took its place", token=token)
            if attempt.lost is not None:
                tx.move_publication(attempt.lost, State.WITHDRAWN, error="gone from its place", token=token)
            try:
                row = tx.open_publication(attempt.claimed, new)
                if row.state is not State.INTENDED:
                    row = tx.move_publication(row, State.INTENDED, token=token)
            except StateError as error:
                raise _Ended(Outcome.FAILED, f"conflict: {error}") from error
            return row, attempt.settings.publish == "auto" or approved(tx, row)

        faults.point("publish.intent")
        attempt.row, may_go_on = self._write(attempt, write)
        if attempt.row.target != new.target:
            raise _Ended(Outcome.FAILED, f"these bytes were meant for {attempt.row.target}")
        if attempt.claimed.token > 1:
            self._sweep(attempt, attempt.row)
        if not may_go_on:
            raise _Ended(Outcome.HELD, WAITING)
        return attempt.row

    def _object(self, attempt: _Attempt, plan: Plan) -> None:
        """Ask once before bytes move; what counts is asked again when the products are placed."""
        with self._catalog.read() as view:
            found = self._objections(view, attempt, plan)
        if found:
            raise _objected(found)

    @staticmethod
    def _objections(view: View, attempt: _Attempt, plan: Plan) -> list[Objection]:
        lineage = ancestry(view, [view.product(product.id) for product in plan.products])
        return objections(view, attempt.settings, attempt.kind, plan.item, lineage, plan.licence)

    def _copy(self, attempt: _Attempt, plan: Plan, row: PublicationRow) -> PublicationRow:
        target, transfer = self._target(row), attempt.transfer
        temporary = transfer.temporary(target, row.id, attempt.claimed.token)
        faults.point("publish.copy")
        self._reach(attempt)
        transfer.prepare(attempt.root, temporary.parent)
        if row.folder:
            transfer.begin(temporary)
        for product in plan.products:
            source = self._storage.path(product.root, product.path)
            place = temporary / plan.names.files[product.id] if row.folder else temporary
            with _unlike_others(row, place):
                transfer.copy(source, place, self._passing(attempt, "copy"))
        for name, content in plan.documents.items():
            transfer.write(temporary / name, content)
        faults.point("publish.copied")
        return self._move(attempt, row, State.COPIED)

    def _verified(self, attempt: _Attempt, _plan: Plan, row: PublicationRow) -> PublicationRow:
        faults.point("publish.verify")
        return self._move(attempt, row, State.VERIFIED)

    def _check(self, attempt: _Attempt, plan: Plan, row: PublicationRow) -> PublicationRow:
        """Everything that must hold is asked again in the transaction that makes it `placing`."""

        def write(tx: Transaction) -> PublicationRow | list[Objection]:
            found = self._objections(tx, attempt, plan)
            return found or tx.move_publication(row, State.PLACING, token=attempt.claimed.token)

        faults.point("publish.check")
        done = self._write(attempt, write)
        if isinstance(done, list):
            raise _objected(done)
        return done

    def _place(self, attempt: _Attempt, _plan: Plan, row: PublicationRow) -> PublicationRow:
        target = self._target(row)
        temporary = attempt.transfer.temporary(target, row.id, attempt.claimed.token)
        faults.point("publish.rename")
        before = attempt.stamp = attempt.transfer.stamp(temporary)
        attempt.placed = attempt.transfer.place(temporary, target)
        after = attempt.transfer.stamp(target) if attempt.placed else None
        if before in attempt.known and after is not None and attempt.transfer.is_same(before, after):
            attempt.known[after] = attempt.known[before]
        faults.point("publish.renamed")
        return row

    def _conflict(self, attempt: _Attempt, _plan: Plan, row: PublicationRow) -> PublicationRow:
        """Other content stands at the target. If we have just put it there, it changed on the way: take it back."""
        target = self._target(row)
        temporary = attempt.transfer.temporary(target, row.id, attempt.claimed.token)
        ours = attempt.placed and attempt.stamp is not None
        if not (ours and attempt.transfer.take_back(target, temporary, attempt.stamp)):
            raise _Ended(Outcome.FAILED, _other_content(row), conflict=True)
        raise IntegrityError(f"{row.archive}:{row.target} changed while it was placed and was taken back")

    def _roll_back(self, _attempt: _Attempt, _plan: Plan, row: PublicationRow) -> PublicationRow:
        """What this very attempt copied is not what it should be: it must begin anew."""
        raise IntegrityError(f"the copy for {row.archive}:{row.target} differs from what the catalog says")

    def _commit(self, attempt: _Attempt, row: PublicationRow) -> PublicationRow:
        """It stands in its place: say so, supersede the former one and tell the destinations, all in one."""
        chosen, token, target = attempt.settings, attempt.claimed.token, self._target(row)
        if not attempt.placed:  # by another, or by one that was killed before it came to flushing
            attempt.transfer.flush(attempt.root, target)
        attempt.transfer.remove(attempt.transfer.temporary(target, row.id, token))

        def write(tx: Transaction) -> PublicationRow:
            rows = rows_of(tx, attempt.claimed)
            done = tx.move_publication(row, State.COMMITTED, token=token)
            former = [one for one in rows if one.state in STANDING and one.id < row.id]
            for one in former:
                tx.move_publication(one, State.SUPERSEDED, token=token)
            body = _message(tx, done, version_of(rows, row.id), former)
            for destination in self._destinations if chosen.notify is None else chosen.notify:
                tx.post(destination, body["item"], body)
            return done

        faults.point("publish.commit")
        done = self._write(attempt, write)
        faults.point("publish.committed")
        return done

    def _release(self, attempt: _Attempt, row: PublicationRow) -> PublicationRow:
        """The source may go. In mode move the catalog first says, for good, where the bytes are now."""
        with self._catalog.read() as view:
            products = [view.product(number) for number, _ in row.files] if row.mode == "move" else []
        moving = [one for one in products if one.root != row.archive and one.state is ProductState.CURRENT]
        places, sources = dict(row.files), [self._storage.path(one.root, one.path) for one in moving]

        def write(tx: Transaction) -> tuple[PublicationRow, bool]:
            for one in moving:
                path = f"{row.target}/{places[one.id]}" if row.folder else row.target
                tx.move_product(one.id, path, root=row.archive)
            released = tx.move_publication(row, State.RELEASED, token=attempt.claimed.token)
            return released, _is_read(tx, attempt)

        faults.point("publish.release")
        done, is_read = self._write(attempt, write)
        if moving:
            self._catalog.flush()
            for source in sources if not is_read else ():
                self._drop(source)
        return done

    def _drop(self, source: Path) -> None:
        """Remove a moved source. No row speaks of it any more: what stays here is swept later."""
        faults.point("publish.drop")
        try:
            self._storage.remove(source)
        except StorageError as error:
            log.warning("moved source stays", extra={"path": str(source), "reason": str(error)})

    # ---- the archive
    def _reach(self, attempt: _Attempt) -> None:
        """Be sure that the archive is there: on the bare folder of a disk that is away nothing is looked for or put.

        Raises
        ------
        FileNotFoundError
            If its root is not there, or is empty though something was published into it.
        """
        attempt.transfer.prepare(attempt.root, attempt.root)
        if attempt.transfer.is_empty(attempt.root) and self._was_filled(attempt.settings.archive):
            said = "the archive is empty, though something was published into it; is its disk mounted?"
            raise FileNotFoundError(errno.ENOENT, said, str(attempt.root))

    def _was_filled(self, archive: str) -> bool:
        with self._catalog.read() as view:
            after = 0
            while page := view.publications(states=STANDING, after=after):
                if any(row.archive == archive for row in page):
                    return True
                after = page[-1].id
        return False

    def _target(self, row: PublicationRow) -> Path:
        return self._storage.path(row.archive, row.target)

    def _found(self, attempt: _Attempt, row: PublicationRow) -> Found:
        """Look only at what the state makes worth a look."""
        if row.state not in (State.COPIED, State.VERIFIED, State.PLACING):
            return Found()
        target = self._target(row)
        temporary = attempt.transfer.temporary(target, row.id, attempt.claimed.token)
        there = self._look(attempt, target) if row.state is State.PLACING else None
        return Found(self._look(attempt, temporary) if there is None else None, there)

    def _look(self, attempt: _Attempt, path: Path) -> bytes | None:
        """The sha256 of what is at `path`, read back once: what was read and has not been written since is known."""
        stamp = attempt.transfer.stamp(path)
        if stamp is None:
            return None
        if stamp not in attempt.known:
            content = attempt.transfer.content(path, self._passing(attempt, "verify"))
            if content is None:
                return None
            attempt.known[stamp] = content.sha256
        return attempt.known[stamp]

    def _sweep(self, attempt: _Attempt, row: PublicationRow) -> None:
        for path in attempt.transfer.leftovers(self._target(row), row.id, attempt.claimed.token):
            attempt.transfer.remove(path)

    def _sweep_own(self, attempt: _Attempt) -> None:
        """Take away the temporary of an attempt that lost its work; the row is no longer its to touch."""
        if attempt.row is None:
            return
        try:
            target = self._target(attempt.row)
            attempt.transfer.remove(attempt.transfer.temporary(target, attempt.row.id, attempt.claimed.token))
        except (OSError, StorageError) as error:
            log.warning("temporary stays until the next attempt", extra={"reason": str(error)})

    def _passing(self, attempt: _Attempt, doing: str) -> Callable[[int], None]:
        def passed(count: int) -> None:
            attempt.passed += count
            if clock.now() - attempt.looked > _LOOK:
                attempt.looked = clock.now()
                with self._catalog.read() as view:
                    fence(view, attempt.claimed)
                if self._progress:
                    self._progress(attempt.claimed, min(attempt.passed / (attempt.total or 1), 1.0), doing)

        return passed

    # ---- the catalog
    def _write(self, attempt: _Attempt, work: Callable[[Transaction], T]) -> T:
        def fenced(tx: Transaction) -> T:
            fence(tx, attempt.claimed)
            return work(tx)

        return self._catalog.write(fenced)

    def _move(
        self, attempt: _Attempt, row: PublicationRow, *states: State, error: str = ""
    ) -> PublicationRow:
        def write(tx: Transaction) -> PublicationRow:
            now = row
            for state in states:
                now = tx.move_publication(now, state, error=error, token=attempt.claimed.token)
            return now

        return self._write(attempt, write)

    # ---- how an attempt ends early
    def _blame(self, attempt: _Attempt, error: OSError | IntegrityError) -> _Ended:
        """Whose fault it was: a source that is gone or differs blocks, an archive in trouble is tried again."""
        text = str(error) if isinstance(error, IntegrityError) else _trouble(error)
        try:
            products = choose(attempt.settings, attempt.claimed)
            sources = look_at(self._storage, products, deep=isinstance(error, IntegrityError))
        except (OSError, StorageError) as other:
            return _Ended(Outcome.TRANSIENT, f"{text}; the source: {other}")
        return _changed(sources) if sources.wrong else _Ended(Outcome.TRANSIENT, text)

    def _give_up(self, attempt: _Attempt, ended: _Ended) -> tuple[Outcome, dict[str, Any]]:
        """Write the reason into the journal and leave no temporary; what cannot be told stays as it is."""
        more = dict(ended.more)
        conflict = more.pop("conflict", False)
        row = attempt.row
        try:
            with self._catalog.read() as view:
                fence(view, attempt.claimed)
            if row is not None and ended.outcome is not Outcome.HELD:
                states = self._ways_out(attempt, row, conflict=conflict)
                if states:
                    self._move(attempt, row, *states, error=ended.reason)
        except Lost as lost:
            return Outcome.STOPPED, {"reasons": (str(lost),)}
        told = {"error": ended.reason} if ended.outcome in (Outcome.FAILED, Outcome.TRANSIENT) else {}
        return ended.outcome, {**more, **(told or {"reasons": (ended.reason,)})}

    def _ways_out(self, attempt: _Attempt, row: PublicationRow, *, conflict: bool) -> tuple[State, ...]:
        """The states through which a row that failed goes; none if the archive does not let us know what is there."""
        gone = True
        try:
            self._reach(attempt)
            self._sweep(attempt, row)
            gone = row.state is not State.PLACING or attempt.transfer.stamp(self._target(row)) is None
        except (OSError, StorageError):
            gone = row.state is not State.PLACING
        if row.state is State.PLACING and conflict:
            return (State.CONFLICT,)
        if row.state is State.PLACING:
            return (State.INTENDED, State.FAILED) if gone else ()
        return (State.FAILED,) if row.state in UNPLACED else ()


# ---- small parts


@contextmanager
def _unlike_others(row: PublicationRow, place: Path) -> Iterator[None]:
    """In a folder that we have just made, a name that is taken is taken by another product."""
    try:
        yield
    except FileExistsError as error:
        if not row.folder:
            raise
        raise StorageError(
            f"not published: the archive takes {place.name} for the name of another product, as where upper and lower "
            "case are the same; change publish.name, or use an archive on another file system"
        ) from error


def _new_row(attempt: _Attempt, plan: Plan, former: int) -> PublicationRow:
    return PublicationRow(
        id=0,
        work=attempt.claimed.work,
        token=attempt.claimed.token,
        item=attempt.claimed.item,
        archive=attempt.settings.archive,
        target=plan.names.target,
        state=State.INTENDED,
        sha256=plan.sha256,
        files=tuple((product.id, plan.names.files[product.id]) for product in plan.products),
        folder=plan.names.folder,
        mode=attempt.settings.mode,
        supersedes=former,
    )


def _message(
    view: View, row: PublicationRow, version: int, former: Sequence[PublicationRow]
) -> dict[str, Any]:
    item = view.item(row.item)
    return {
        "type": "published",
        "item": item.name,
        "pipeline": item.pipeline,
        "kind": item.kind,
        "key": item.key,
        "publication": row.id,
        "archive": row.archive,
        "target": row.target,
        "version": version,
        "folder": row.folder,
        "sha256": row.sha256.hex(),
        "files": [name for _, name in row.files],
        "supersedes": [one.target for one in former],
    }


def _is_read(view: View, attempt: _Attempt) -> bool:
    """Whether other work of the item or its groups runs, and so may read the source."""
    item = attempt.claimed.item
    rows = view.work([item, *view.groups_of([item])])
    return any(
        row.state is Work.RUNNING and row.id != attempt.claimed.work
        for found in rows.values()
        for row in found
    )


def _changed(sources: Sources) -> _Ended:
    changed = tuple((product.id, what) for product, what in sources.wrong)
    return _Ended(Outcome.BLOCKED, str(sources), changed=changed)


def _objected(found: Sequence[Objection]) -> _Ended:
    """All reasons, under the outcome of the first; a wait takes as long as the longest."""
    reason = "; ".join(one.reason for one in found)
    return _Ended(found[0].outcome, reason, after=max(one.after for one in found))


def _other_content(row: PublicationRow) -> str:
    return (
        f"{row.archive}:{row.target} is there already with other content and is never overwritten; "
        "move it away, then `towpath publish --retry`"
    )


def _trouble(error: OSError) -> str:
    place = f": {error.filename2 or error.filename}" if error.filename else ""
    return f"{error.strerror or error}{place}"
