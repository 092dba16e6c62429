"""After a restore: what lies in the store and is newer than the catalog is taken in, or put aside. By a person's choice.

Promises that nothing is deleted, that only what is whole and named as a run names it is taken in, and that what is put
aside keeps its path below `.quarantine`. Reading names is a pure function.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from towpath.base import clock, ids
from towpath.base.errors import StateError, StorageError
from towpath.base.model import Item
from towpath.contracts.catalog import Catalog, Transaction, View
from towpath.contracts.definition import Definition, KindPlan, StagePlan
from towpath.contracts.executor import Output
from towpath.contracts.storage import QUARANTINE, Storage

LARGEST = 1_000_000  # a number in a name that is larger is no token
_FEW = 1000

Hook = Callable[[Transaction, Definition, KindPlan, StagePlan, Sequence[int]], None]


@dataclass(frozen=True, slots=True)
class Newer:
    """A place in the store without a row: `path` in the store, and whose attempt it is; `problem` says why it stays."""

    path: str
    pipeline: str = ""
    kind: str = ""
    stage: str = ""
    item: int = 0
    work: int = 0
    token: int = 0
    lone: bool = False
    problem: str = ""


def splits(name: str) -> Iterator[tuple[str, int, str]]:
    """The ways to read a name as (item, token, file): `key.3.out.csv`, `key.3`; a key may have dots and numbers too."""
    parts = name.split(".")
    for at in range(1, len(parts)):
        if parts[at].isdecimal() and parts[at].isascii() and int(parts[at]) <= LARGEST:
            yield ".".join(parts[:at]), int(parts[at]), ".".join(parts[at + 1 :])


def highest(names: Iterable[str]) -> int:
    """The highest number in names of places (or logs) that may be a token."""
    return max((token for name in names for _, token, _ in splits(name.lstrip("."))), default=0)


# ---- whose it is
def look(view: View, definitions: Mapping[str, Definition], paths: Iterable[str]) -> list[Newer]:
    """Each path of the store that no row names, with the work whose attempt it is as far as that can be told."""
    folders = _folders(definitions)
    items = {
        (item.pipeline, item.kind, ids.slug(item.key)): item.id
        for item in _items(view, {(plan.pipeline, plan.kind) for plan in folders.values()})
    }
    found = [_read(path, folders, items) for path in paths]
    works = {
        (row.item, row.stage): row
        for rows in view.work(sorted({one.item for one in found if one.item})).values()
        for row in rows
    }
    return [
        replace(one, work=works[one.item, one.stage].id) if (one.item, one.stage) in works else one
        for one in found
    ]


def _folders(definitions: Mapping[str, Definition]) -> dict[str, StagePlan]:
    return {
        definition.layout.format(pipeline=stage.pipeline, kind=stage.kind, stage=stage.name): stage
        for definition in definitions.values()
        for kind in definition.kinds.values()
        for stage in kind.stages.values()
    }


def _items(view: View, kinds: Iterable[tuple[str, str]]) -> Iterator[Item]:
    for pipeline, kind in sorted(kinds):
        after = 0
        while page := view.items(pipeline=pipeline, kind=kind, after=after, limit=_FEW * 10):
            yield from page
            after = page[-1].id


def _read(path: str, folders: Mapping[str, StagePlan], items: Mapping[tuple[str, str, str], int]) -> Newer:
    folder, _, name = path.rpartition("/")
    stage = folders.get(folder)
    if stage is None:
        return Newer(path, problem="no stage of the site's pipelines writes here")
    named = Newer(path, stage.pipeline, stage.kind, stage.name, lone=len(stage.outputs) == 1)
    if name.startswith("."):
        return replace(named, problem="it was not finished")
    for slug, token, file in reversed(list(splits(name))):
        item = items.get((stage.pipeline, stage.kind, slug))
        if item is not None and bool(file) == named.lone:
            return replace(named, item=item, token=token)
    return replace(named, problem="its item is not in the catalog")


# ---- taking in
def adopt(
    catalog: Catalog,
    storage: Storage,
    definitions: Mapping[str, Definition],
    found: Sequence[Newer],
    *,
    who: str,
    why: str,
    hook: Hook,
) -> list[Newer]:
    """Take in what can be, the first stages first, until no more can; returns what stays, each with its problem."""
    outputs: dict[str, list[Output]] = {}  # by path, so that nothing is hashed twice
    left = sorted(found, key=lambda one: (_depth(definitions, one), -one.token, one.path))
    while True:
        stays = []
        for one in left:
            problem = one.problem or _seal(catalog, storage, definitions, one, outputs)
            if not problem:
                problem = _adopt(catalog, definitions[one.pipeline], one, outputs[one.path], (who, why), hook)
            if problem:
                stays.append(replace(one, problem=problem))
        if len(stays) == len(left):
            return stays
        left = [replace(one, problem="") if one.item else one for one in stays]


def _depth(definitions: Mapping[str, Definition], one: Newer) -> int:
    return definitions[one.pipeline].stage(one.kind, one.stage).depth if one.item else 0


def _seal(
    catalog: Catalog,
    storage: Storage,
    definitions: Mapping[str, Definition],
    one: Newer,
    known: dict[str, list[Output]],
) -> str:
    """Hash what a place holds, once; returns why that cannot be."""
    if not one.work:
        return f"the item has no work {one.stage}"
    if one.path not in known:
        try:
            known[one.path] = _outputs(
                catalog, storage, definitions[one.pipeline].stage(one.kind, one.stage), one
            )
        except (OSError, ValueError, StorageError) as error:
            return str(error)
    return ""


def _adopt(
    catalog: Catalog,
    definition: Definition,
    one: Newer,
    outputs: Sequence[Output],
    why: tuple[str, str],
    hook: Hook,
) -> str:
    """Take one in; returns why not, "" if it was."""
    kind = definition.kinds[one.kind]
    stage = kind.stages[one.stage]

    def transact(tx: Transaction) -> None:
        tx.adopt_found(one.work, one.token, outputs, *why)
        hook(tx, definition, kind, stage, [one.item])

    try:
        catalog.write(transact)
    except StateError as error:
        return str(error)
    return ""


def _outputs(catalog: Catalog, storage: Storage, stage: StagePlan, one: Newer) -> list[Output]:
    """What the place holds, by output: of a folder each file is what a file of that name was before."""
    path = storage.path("store", one.path)
    if one.lone:
        (name,) = stage.outputs
        return [Output(name, str(path), storage.content("store", one.path))]
    with catalog.read() as view:
        before = {
            Path(product.path).name: product.output
            for product in view.products(stages=[stage.name], limit=_FEW)
            if product.path.startswith(f"{one.path.rpartition('/')[0]}/")
        }
    found = []
    for file in sorted(path.iterdir()):
        if file.name not in before:
            raise ValueError(f"which output is {file.name}? no such file was made by {stage.name} before")
        found.append(
            Output(before[file.name], str(file), storage.content("store", f"{one.path}/{file.name}"))
        )
    return found


# ---- putting aside
def put_aside(catalog: Catalog, place: Path, paths: Sequence[str]) -> Path:
    """Move paths below the root to `.quarantine`, each under its own path in a folder of this moment; returns it."""
    target = place / QUARANTINE / clock.text(clock.now()).replace(":", "")
    for path in paths:
        new = target / path
        new.parent.mkdir(parents=True, exist_ok=True)
        (place / path).rename(new)
        told = str(new.relative_to(place))
        catalog.write(lambda tx, p=path, t=told: tx.event("put aside", path=p, to=t))  # type: ignore[misc]
    return target
