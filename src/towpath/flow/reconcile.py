"""Reconcile: what is on disk against what the catalog says.

Tells three things apart: missing, changed by someone else, and re-made by us (equal by hash). Decisions are pure
functions; what follows from a finding is written by the catalog. Never deletes what is younger than a day, pinned, or
still read by a run.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from towpath.base import clock
from towpath.base.errors import StateError
from towpath.base.hashing import content
from towpath.base.model import Product
from towpath.base.states import Product as State
from towpath.base.states import Publication
from towpath.contracts.catalog import Catalog, Transaction
from towpath.contracts.storage import QUARANTINE, Storage

LIVE = (State.CURRENT, State.MISSING, State.CHANGED)
DAY = 86400.0
_ALL = 1_000_000_000
_STANDING = tuple(
    state
    for state in Publication
    if state not in (Publication.INTENDED, Publication.FAILED, Publication.CONFLICT)
)
_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one product or path.

    `what` is missing, changed, back, touched, moved, extra, newer (than a catalog that was restored; `why` it cannot be
    adopted) or unreadable.
    """

    what: str
    root: str
    path: str
    product: int = 0
    item: int = 0
    stage: str = ""
    to: str = ""
    size: int = 0
    mtime_ns: int = 0
    why: str = ""


def judge(product: Product, stat: tuple[int, int] | None, sha256: Callable[[], bytes]) -> str:
    """What a product is now: "" as said, missing, changed, back, or touched (equal bytes, other time stamp).

    `sha256` is called only where stat and row disagree, or the bytes were bad before.
    """
    if stat is None:
        return "" if product.state is State.MISSING else "missing"
    if stat == (product.size, product.mtime_ns) and product.state is State.CURRENT:
        return ""
    if stat[0] != product.size or sha256() != product.sha256:
        return "" if product.state is State.CHANGED else "changed"
    return "touched" if product.state is State.CURRENT else "back"


def check(
    catalog: Catalog,
    storage: Storage,
    *,
    write: bool = True,
    scrub: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Finding]:
    """Compare every live product with the disk, by stat (`scrub`: by hash), and let the catalog act on what differs."""
    return check_these(catalog, storage, _pages(catalog), write=write, scrub=scrub, progress=progress)


def check_these(
    catalog: Catalog,
    storage: Storage,
    pages: Iterable[Sequence[Product]],
    *,
    write: bool = True,
    scrub: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Finding]:
    """The same for some products, in pages."""
    found: list[Finding] = []
    for page in pages:
        found += [finding for product in page if (finding := _look(product, storage, scrub))]
        if progress:
            progress(len(page))
    if write and found:
        _write(catalog, found)
    return found


def _pages(catalog: Catalog) -> Iterator[list[Product]]:
    after = 0
    while True:
        with catalog.read() as view:
            page = view.products(states=LIVE, after=after, limit=_PAGE)
        if not page:
            return
        yield page
        after = page[-1].id


def _look(product: Product, storage: Storage, scrub: bool) -> Finding | None:
    try:
        stat = storage.stat(product.root, product.path, product.tree)
        if scrub and stat is not None:
            stat = (stat[0], -1)
        what = judge(product, stat, lambda: storage.content(product.root, product.path).sha256)
    except (OSError, ValueError):
        what, stat = "changed", None
        if product.state is State.CHANGED:
            return None
    if not what or (scrub and what == "touched"):
        return None
    mtime = stat[1] if stat else 0
    return Finding(what, product.root, product.path, product.id, product.item, product.stage, mtime_ns=mtime)


def _write(catalog: Catalog, findings: Sequence[Finding]) -> None:
    states = {"missing": State.MISSING, "changed": State.CHANGED, "back": State.CURRENT}
    for start in range(0, len(findings), 256):
        part = findings[start : start + 256]

        def act(tx: Transaction, part: Sequence[Finding] = part) -> None:
            for finding in part:
                product = tx.product(finding.product)
                if product.state not in LIVE or product.path != finding.path:
                    continue  # another took its place while we looked
                if finding.what in states:
                    tx.mark([finding.product], states[finding.what], "found by a check")
                if finding.what in ("touched", "back") and finding.mtime_ns > 0:
                    tx.refresh(finding.product, finding.mtime_ns)

        catalog.write(act)


# ---- what is on disk and in no row
def survey(
    catalog: Catalog, storage: Storage, root: str, *, findings: Sequence[Finding] = ()
) -> list[Finding]:
    """Files and folders below a root that no row names (`extra`), and missing products found elsewhere (`moved`)."""
    with catalog.read() as view:
        place = Path(view.roots()[root].place)
        live = [product for product in view.products(states=LIVE) if product.root == root]
        other = [
            product
            for product in view.products(states=(State.SUPERSEDED, State.TRASH))
            if product.root == root
        ]
        published = [
            row for row in view.publications(limit=_ALL) if row.archive == root and row.state in _STANDING
        ]
    known = {product.path: product.tree for product in (*live, *other)}
    known |= {row.target: row.folder for row in published}
    gone = {finding.product for finding in findings if finding.what == "missing"}
    missing: dict[int, list[Product]] = {}
    for product in live:
        if product.state is State.MISSING or product.id in gone:
            missing.setdefault(product.size, []).append(product)
    extra = []
    for path in unknown(place, known):
        relative = path.relative_to(place).as_posix()
        extra.append(
            _moved(path, relative, root, missing)
            or Finding("extra", root, relative, size=path.lstat().st_size)
        )
    return extra


def _moved(path: Path, relative: str, root: str, missing: Mapping[int, list[Product]]) -> Finding | None:
    """The finding that this path is a missing product, if size and hash say so; each is found once."""
    try:
        alike = missing.get(_size(path))
        sha256 = content(path).sha256 if alike else b""
    except (OSError, ValueError):
        return None
    product = next((one for one in alike or () if one.sha256 == sha256), None)
    if alike is None or product is None:
        return None
    alike.remove(product)
    return Finding("moved", root, product.path, product.id, product.item, product.stage, relative)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.lstat().st_size


def _all_products(catalog: Catalog, states: Sequence[State]) -> list[Product]:
    with catalog.read() as view:
        return view.products(states=states)


def unknown(place: Path, known: Mapping[str, bool]) -> Iterator[Path]:
    """The files below `place` (and whole folders) that no known path (path → is a tree) accounts for."""
    folders = {parent for path in known for parent in _parents(path)}
    yield from _unknown_in(str(place), "", known, folders)


def _unknown_in(place: str, prefix: str, known: Mapping[str, bool], folders: set[str]) -> Iterator[Path]:
    try:
        entries = sorted(os.scandir(f"{place}/{prefix}" if prefix else place), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        relative = f"{prefix}/{entry.name}" if prefix else entry.name
        if relative in known or relative == QUARANTINE:
            continue
        if entry.is_dir(follow_symlinks=False) and (relative in folders or not _is_place(entry.name)):
            yield from _unknown_in(place, relative, known, folders)
        else:
            yield Path(entry.path)


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _is_place(name: str) -> bool:
    """Whether a folder's name has a token in it, so that it is one place and not a level of the layout."""
    return name.startswith(".") or any(part.isdigit() for part in name.split(".")[1:])


def act_on_moved(catalog: Catalog, findings: Sequence[Finding]) -> int:
    """Write that missing products are where they were found."""
    moved = [finding for finding in findings if finding.what == "moved"]
    for finding in moved:
        catalog.write(lambda tx, f=finding: tx.move_product(f.product, f.to))  # type: ignore[misc]
    return len(moved)


# ---- sweeping
def orphans(
    catalog: Catalog, storage: Storage, *, older: float = DAY, now: float | None = None
) -> list[Path]:
    """Staging folders and places in the store that no row names, whose token is not running and that are old enough."""
    limit = (time.time() if now is None else now) - older
    with catalog.read() as view:
        place = Path(view.roots()["store"].place)
        running = view.running_tokens()
    found = []
    products = [product for product in _all_products(catalog, tuple(State)) if product.root == "store"]
    known = {product.path: product.tree for product in products if product.state is not State.DELETED}
    for path in unknown(place, known):
        if path.lstat().st_mtime < limit and not _in_work(path.name, running):
            found.append(path)
    return found


def _in_work(name: str, running: set[tuple[str, int]]) -> bool:
    slug = name.lstrip(".")
    return any(slug.startswith(f"{key}.{token}") for key, token in running)


def sweep(
    catalog: Catalog, storage: Storage, *, grace: float = DAY, older: float = DAY, now: float | None = None
) -> dict[str, int]:
    """Remove orphans; move superseded products that nobody reads to trash; delete what was in trash for `grace` seconds.

    Returns how many of each.

    Raises
    ------
    StateError
        If the catalog was restored from a backup and it is open what becomes of what is newer on disk.
    """
    with catalog.read() as view:
        when = view.restored()
    if when is not None:
        raise StateError(
            f"the catalog was restored at {clock.text(when)}, and what is newer on disk has no row in it; first "
            "decide: `towpath inventory reconcile --newer adopt` (or quarantine), with --write"
        )
    swept = orphans(catalog, storage, older=older, now=now)
    for path in swept:
        storage.remove(path)
    moment = time.time() if now is None else now
    with catalog.read() as view:
        to_trash = view.sweepable(moment - older)
        to_delete = [product for product, left in view.trash() if left <= moment - grace]
    for product in to_trash:
        catalog.write(lambda tx, p=product: tx.mark([p.id], State.TRASH, "superseded"))  # type: ignore[misc]
    for product in to_delete:
        storage.remove(storage.path(product.root, product.path))
        catalog.write(lambda tx, p=product: tx.mark([p.id], State.DELETED, "swept"))  # type: ignore[misc]
    return {"orphans": len(swept), "trash": len(to_trash), "deleted": len(to_delete)}
