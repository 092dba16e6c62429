"""Carry: files between a repository and the store, the services "retrieve" and "deliver".

Promises that a file enters the store only as the repository stated it when the processing was started, that what was put on a
record is not put there twice, and that it acts with the item's warrant, which no run sees. A repository that is away, or says
"later", is asked again; one that is closed to new files leaves a caveat.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from towpath.base import clock, ids, template
from towpath.base.errors import (
    IntegrityError,
    NotFoundError,
    SiteError,
    StateError,
    StorageError,
    Transient,
    UsageError,
)
from towpath.base.hashing import file_sha256
from towpath.base.model import Item, Measure, Product
from towpath.base.states import Outcome
from towpath.contracts.catalog import Catalog, Claimed
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report
from towpath.contracts.repository import Capability, RecordFile, Repository

Take = Callable[[Mapping[str, Path], Mapping[str, str], str, int, bool], Sequence[Output]]
Warrant = Callable[[int, str, str], Capability]

_LEFT = 86400.0  # seconds
_CHANGED = (
    "it was changed or taken away after the processing was started; start it again with what is there now"
)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a service ended."""

    outcome: Outcome = Outcome.DONE
    outputs: Sequence[Output] = ()
    measures: Sequence[Measure] = ()
    caveats: Sequence[str] = ()
    reasons: Sequence[str] = ()
    error: str = ""
    after: float = 0.0


class Carrier:
    """The services "retrieve" and "deliver".

    Parameters
    ----------
    catalog
        Where items are.
    repositories
        Gives a repository by its name.
    warrant
        Gives what the site acts with on an item's record, from the item's number, the repository and the record.
    definitions, places
        The active definitions by pipeline, and the absolute places of the roots.
    take
        Copies files to a place in the store as the outputs of a run: files and sha256 by output, place, token, whether it is one.
    scratch
        A folder for files under way.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        repositories: Callable[[str], Repository],
        warrant: Warrant,
        definitions: Callable[[], Mapping[str, Definition]],
        places: Callable[[], Mapping[str, str]],
        take: Take,
        scratch: Path,
    ) -> None:
        self._catalog, self._repositories, self._warrant = catalog, repositories, warrant
        self._definitions, self._places, self._take, self._scratch = definitions, places, take, scratch

    def retrieve(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Get the item's files; returns the report of the run."""
        return self._reported(claimed, lambda item: self._retrieve(kind, stage, claimed, item))

    def deliver(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> Report:
        """Put what was made on the item's record; returns the report of the run."""
        return self._reported(claimed, lambda item: self._deliver(stage, claimed, item))

    def _reported(self, claimed: Claimed, act: Callable[[Item], Ending]) -> Report:
        began = clock.now()
        with self._catalog.read() as view:
            item = view.item(claimed.item)
        try:
            ending = act(item)
        except Transient as error:
            ending = Ending(Outcome.TRANSIENT, reasons=(error.reason,), error=error.reason, after=error.after)
        except (IntegrityError, NotFoundError) as error:
            ending = Ending(Outcome.REJECTED, reasons=(str(error),))
        except (UsageError, StorageError, SiteError) as error:
            ending = Ending(Outcome.FAILED, error=str(error))
        except OSError as error:
            text = f"{error.filename or self._scratch}: {error.strerror or error}"
            ending = Ending(Outcome.TRANSIENT, reasons=(text,), error=text)
        return Report(
            claimed.work,
            claimed.token,
            ending.outcome,
            began,
            clock.now() - began,
            tuple(ending.outputs),
            tuple(ending.measures),
            tuple(ending.caveats),
            reasons=tuple(ending.reasons),
            error=ending.error,
            after=ending.after,
        )

    # ---- to the store
    def _retrieve(self, kind: KindPlan, stage: StagePlan, claimed: Claimed, item: Item) -> Ending:
        name, record = str(stage.params["repository"]), str(item.attributes["record"])
        repository, by = self._repositories(name), self._warrant(item.id, name, record)
        wanted = {role: RecordFile(**file) for role, file in item.attributes["files"].items()}
        self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="retrieve-") as folder:
            got: dict[str, Path] = {}
            for role, file in wanted.items():
                target = Path(folder) / role / _file_name(file.key)
                target.parent.mkdir()
                _compare(record, file, _read(repository, record, file.key, target, by))
                got[role] = target
            hashes = {role: file_sha256(path).hex() for role, path in got.items()}
            size = sum(path.stat().st_size for path in got.values())
            outputs = self._take(
                got, hashes, self._place(kind, stage, claimed), claimed.token, len(stage.outputs) == 1
            )
        measures = (Measure("files", len(got)), Measure("bytes", size, "B"))
        # What people called it: the name on disk is another.
        named = [replace(one, part=wanted[one.name].key) for one in outputs]
        return Ending(outputs=named, measures=measures)

    def _place(self, kind: KindPlan, stage: StagePlan, claimed: Claimed) -> str:
        layout = self._definitions()[kind.pipeline].layout
        below = layout.format(pipeline=kind.pipeline, kind=kind.name, stage=stage.name)
        return f"{self._places()['store']}{below}/{ids.slug(claimed.item_key)}"

    # ---- to the record
    def _deliver(self, stage: StagePlan, claimed: Claimed, item: Item) -> Ending:
        name, record = str(stage.params["repository"]), str(item.attributes["record"])
        repository, by = self._repositories(name), self._warrant(item.id, name, record)
        if not repository.record(record, by).is_open:
            text = f"the record {record} is published, and files cannot be added to it: the results stay here"
            return Ending(measures=(Measure("delivered", 0),), caveats=(text,))
        sent, size = 0, 0
        for key, path in self._named(str(stage.params["name"]), claimed, item):
            try:
                repository.write(record, key, path, made_by=item.key, by=by)
            except StateError as error:
                return Ending(measures=(Measure("delivered", sent),), caveats=(str(error),))
            sent, size = sent + 1, size + path.stat().st_size
        return Ending(measures=(Measure("delivered", sent), Measure("bytes", size, "B")))

    def _named(self, pattern: str, claimed: Claimed, item: Item) -> Iterator[tuple[str, Path]]:
        """What is delivered, under which name."""
        for row in claimed.inputs:
            product = row.product
            if product is not None and not product.tree:
                facts = {"item": {"key": item.key}, "stage": product.stage, "output": product.output}
                facts["file"] = made_name(product)
                yield template.render(pattern, facts), Path(self._places()[product.root] + product.path)


def made_name(product: Product) -> str:
    """The name that a stage gave a file, from its place ``KEY.TOKEN/NAME`` or ``KEY.TOKEN.NAME``."""
    above, _, name = product.path.rpartition("/")
    token = f".{product.run[1]}"
    return name if above.endswith(token) else name.partition(f"{token}.")[2] or name


def _file_name(key: str) -> str:
    """A file's name in the store: the depositor's, as far as a file can be called so."""
    name = ids.slug(key.rpartition("/")[2])
    return name if not name.startswith("-") else f"%2D{name[1:]}"


def _read(repository: Repository, record: str, key: str, target: Path, by: Capability) -> RecordFile:
    """Get a file; what came as other bytes than the repository states may come as it should another time."""
    try:
        return repository.read(record, key, target, _pass, by)
    except NotFoundError:
        raise IntegrityError(f"{record}: {key}: {_CHANGED}") from None
    except IntegrityError as error:
        raise Transient(str(error)) from None


def _compare(record: str, stated: RecordFile, found: RecordFile) -> None:
    if stated.checksum and found.checksum and stated.checksum != found.checksum:
        raise IntegrityError(
            f"{record}: {stated.key}: found {found.checksum}, expected {stated.checksum}: {_CHANGED}"
        )
    if -1 not in (stated.size, found.size) and stated.size != found.size:
        raise IntegrityError(
            f"{record}: {stated.key}: found {found.size} bytes, expected {stated.size}: {_CHANGED}"
        )


def _pass(_count: int) -> None:
    """Nobody is told of each piece."""


def sweep(scratch: Path) -> None:
    """Remove what processes left that were killed while they carried: what nobody has touched for a day."""
    for left in scratch.glob("retrieve-*"):
        with contextlib.suppress(FileNotFoundError):
            if clock.now() - left.stat().st_mtime > _LEFT:
                shutil.rmtree(left, ignore_errors=True)
