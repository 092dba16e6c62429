"""Reconcile: what is on disk against what the catalog says.

Tells three things apart: missing, changed by someone else, and re-made by us (equal by hash). Decisions are pure
functions; what follows from a finding is written by the catalog. Never deletes what is younger than a day, pinned, or
still read by a run.
"""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from towpath.base import clock
from towpath.base.errors import StateError, StorageError
from towpath.base.hashing import content
from towpath.base.model import Product
from towpath.base.states import Product as State
from towpath.base.states import Publication
from towpath.contracts.catalog import Catalog, PublicationRow, Transaction
from towpath.contracts.storage import QUARANTINE, Said, Storage

LIVE = (State.CURRENT, State.MISSING, State.CHANGED)
DAY = 86400.0
_ALL = 1_000_000_000
_STANDING = tuple(
    state
    for state in Publication
    if state not in (Publication.INTENDED, Publication.FAILED, Publication.CONFLICT)
)
_PUBLISHED = (Publication.COMMITTED, Publication.RELEASED, Publication.SUPERSEDED)
_PAGE = 5_000
_STEP = 50  # what is read before where it stopped is remembered
_SCRUB = ("scrub", "")
# <item>.<token> or <item>.<token>.<name>, staged with a dot before it
_PLACE = re.compile(r"\.?.+\.\d+(\..*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one product or path.

    `what` is missing, changed, back, touched, moved, extra, newer (than a catalog that was restored; `why` it cannot be
    adopted) or unreadable. `calibration` names the calibration in force that the product is, if it is one.
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
    calibration: str = ""


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
    found: list[Finding] = []
    after = 0
    while True:
        with catalog.read() as view:
            said = view.said(after=after, limit=_PAGE)
        if not said:
            break
        doubted = {row.product for row in said} if scrub else _doubted(said, storage)
        if doubted:
            with catalog.read() as view:
                page = view.products(states=LIVE, after=after, limit=_PAGE)
            found += _looked([product for product in page if product.id in doubted], storage, scrub)
        if progress:
            progress(len(said))
        after = said[-1].product
    found = _naming_calibrations(catalog, found)
    if write:
        _write(catalog, found)
    return found


def check_these(
    catalog: Catalog, storage: Storage, products: Sequence[Product], *, write: bool = True
) -> list[Finding]:
    """The same for some products."""
    found = _naming_calibrations(catalog, _looked(products, storage, False))
    if write:
        _write(catalog, found)
    return found


def _naming_calibrations(catalog: Catalog, found: Sequence[Finding]) -> list[Finding]:
    """The findings; of products that are certified calibrations they say which."""
    if not found:
        return []
    with catalog.read() as view:
        named = {row.product.id: f"calibration {row.id}, {row.kind}" for row in view.calibrations()}
    return [replace(one, calibration=named.get(one.product, "")) for one in found]


def _doubted(said: Sequence[Said], storage: Storage) -> set[int]:
    """The few that are worth a close look: what is not current, or not on disk as it is said."""
    return storage.unlike(said) | {row.product for row in said if not row.current}


def _looked(products: Iterable[Product], storage: Storage, scrub: bool) -> list[Finding]:
    return [finding for product in products if (finding := _look(product, storage, scrub))]


def _look(
    product: Product, storage: Storage, scrub: bool, progress: Callable[[int], None] | None = None
) -> Finding | None:
    try:
        stat = storage.stat(product.root, product.path, product.tree)
        if scrub and stat is not None:
            stat = (stat[0], -1)
        what = judge(product, stat, lambda: storage.content(product.root, product.path, progress).sha256)
    except (OSError, ValueError):
        what, stat = "changed", None
        if product.state is State.CHANGED:
            return None
    if not what or (scrub and what == "touched"):
        return None
    mtime = stat[1] if stat else 0
    return Finding(what, product.root, product.path, product.id, product.item, product.stage, mtime_ns=mtime)


def _write(catalog: Catalog, findings: Sequence[Finding]) -> None:
    for start in range(0, len(findings), 256):
        part = findings[start : start + 256]

        catalog.write(lambda tx, part=part: _act(tx, part))  # type: ignore[misc]


def _act(tx: Transaction, findings: Sequence[Finding]) -> None:
    """What follows from findings of products: the one door by which the catalog is told."""
    states = {"missing": State.MISSING, "changed": State.CHANGED, "back": State.CURRENT}
    for finding in findings:
        product = tx.product(finding.product)
        if product.state not in LIVE or product.path != finding.path:
            continue  # another took its place while we looked
        if finding.what in states:
            tx.mark([finding.product], states[finding.what], "found by a check")
        if finding.what in ("touched", "back") and finding.mtime_ns > 0:
            tx.refresh(finding.product, finding.mtime_ns)


# ---- reading everything, bit by bit
@dataclass(frozen=True, slots=True)
class Scrub:
    """How far reading everything has come: `after` is the last row looked at, `began` when this round began.

    `part` is what is read now, products or publications; `done` says that nothing is left of this round.
    """

    part: str = "products"
    after: int = 0
    began: float = 0.0
    looked: int = 0
    bytes: int = 0
    found: int = 0
    done: bool = False


class Pace:
    """Holds reading to a rate, bytes per second (0: as fast as it goes)."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._free = clock()  # when the next byte may be read

    def __call__(self, count: int) -> None:
        """So many bytes were read: wait until that fits the rate. Time in which nothing was read is not made up for."""
        if self._rate > 0:
            now = self._clock()
            self._free = max(self._free, now - 0.1) + count / self._rate
            if self._free > now:
                self._sleep(self._free - now)


def scrub(
    catalog: Catalog,
    storage: Storage,
    *,
    pace: Callable[[int], None],
    restart: bool = False,
    until: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Scrub, list[Finding]]:
    """Read every live product and everything published, compare it by hash, and let the catalog act on what differs.

    Where it stopped (`until`, a kill) is remembered in the catalog with what was found, and the next call goes on there.
    `progress` gets how many bytes of this round were read, and of how many.
    """
    state = catalog.write(lambda tx: _begin_scrub(tx, restart))
    findings: list[Finding] = []
    read, total = state.bytes, _all_bytes(catalog) if progress else 0

    def tell(size: int) -> None:
        nonlocal read
        read += size
        if progress:
            progress(read, max(total, read))

    while not state.done and not until():
        state, found = _scrub_step(catalog, storage, state, pace, tell)
        findings += found
    return state, findings


def _all_bytes(catalog: Catalog) -> int:
    with catalog.read() as view:
        return sum(one.bytes for one in view.kept() if one.state in LIVE) + view.published()[1]


def _begin_scrub(tx: Transaction, restart: bool) -> Scrub:
    former = Scrub(**tx.slot(*_SCRUB).data)
    return Scrub(began=tx.now()) if restart or former.done or not former.began else former


def _scrub_step(
    catalog: Catalog,
    storage: Storage,
    state: Scrub,
    pace: Callable[[int], None],
    tell: Callable[[int], None],
) -> tuple[Scrub, list[Finding]]:
    """One page: read, then tell the catalog what was found and how far that was, in one transaction."""
    is_products = state.part == "products"
    page: Sequence[Product | PublicationRow]
    with catalog.read() as view:
        if is_products:
            page = view.products(states=LIVE, after=state.after, limit=_STEP)
        else:
            page = view.publications(states=_PUBLISHED, after=state.after, limit=_STEP)
    read = 0
    found: list[Finding] = []
    for row in page:
        finding, size = _read_whole(row, storage, pace)
        read += size
        tell(size)
        found += [finding] if finding else []
    found = _naming_calibrations(catalog, found)
    now = replace(
        state,
        looked=state.looked + len(page),
        bytes=state.bytes + read,
        found=state.found + len(found),
        after=page[-1].id if page else 0,
        part=state.part if page else "publications",
        done=not page and not is_products,
    )

    def act(tx: Transaction) -> None:
        _act(tx, [finding for finding in found if finding.product])
        for finding in found:
            if not finding.product:
                told = {"archive": finding.root, "target": finding.path}
                tx.event(f"published {finding.what}", item=finding.item, **told)
        tx.set_slot(tx.slot(*_SCRUB), asdict(now))

    catalog.write(act)
    return now, found


def _read_whole(
    row: Product | PublicationRow, storage: Storage, pace: Callable[[int], None]
) -> tuple[Finding | None, int]:
    """What is wrong with a product or publication, read whole, and how many bytes were read."""
    read = 0

    def passed(count: int) -> None:
        nonlocal read
        read += count
        pace(count)

    try:
        if isinstance(row, Product):
            return _look(row, storage, True, passed), read
        sha256 = storage.content(row.archive, row.target, passed).sha256
        what = "" if sha256 == row.sha256 else "changed"
    except FileNotFoundError:
        what = "missing"
    except (OSError, StorageError):
        what = "unreadable"
    if isinstance(row, Product):
        return Finding(what, row.root, row.path, row.id, row.item, row.stage), read
    return (Finding(what, row.archive, row.target, item=row.item) if what else None), read


# ---- what is on disk and in no row
def survey(
    catalog: Catalog, storage: Storage, root: str, *, findings: Sequence[Finding] = ()
) -> list[Finding]:
    """Files and folders below a root that no row names (`extra`), and missing products found elsewhere (`moved`)."""
    gone = [finding.product for finding in findings if finding.what == "missing"]
    with catalog.read() as view:
        place = Path(view.roots()[root].place)
        known = view.paths(root)
        lost = {product.id: product for product in view.products(states=(State.MISSING,))}
        lost |= {number: view.product(number) for number in gone}
        published = [
            row for row in view.publications(limit=_ALL) if row.archive == root and row.state in _STANDING
        ]
    known |= {row.target: row.folder for row in published}
    missing: dict[int, list[Product]] = {}
    for product in lost.values():
        if product.root == root:
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
    """Staging folders and places in the store that no row names, whose token is not running and that are old enough.

    Only what bears the name of a place and lies in a folder of products: what people put into the store is theirs.
    The catalog is asked again when the disk was looked at: a run that ended meanwhile has its row by then.
    """
    limit = (time.time() if now is None else now) - older
    place, known, _ = _store(catalog)
    with catalog.read() as view:
        lay = view.paths("store", let_go=True)  # so that bytes are found that a kill left of what was let go
    ours = {parent for path in lay for parent in _parents(path)}
    old = [
        path
        for path in unknown(place, known)
        if _PLACE.fullmatch(path.name)
        and path.parent.relative_to(place).as_posix() in ours
        and _is_older(path, limit)
    ]
    if not old:
        return []
    place, known, running = _store(catalog)
    return [
        path
        for path in old
        if path.relative_to(place).as_posix() not in known and not _in_work(path.name, running)
    ]


def _store(catalog: Catalog) -> tuple[Path, dict[str, bool], set[tuple[str, int]]]:
    """The store's place, what is known below it (other roots too), and what is running, at one moment."""
    with catalog.read() as view:
        places = {name: Path(row.place) for name, row in view.roots().items()}
        store, known = places["store"], view.paths("store")
        inner = [place for place in places.values() if store in place.parents]
        known |= {place.relative_to(store).as_posix(): True for place in inner}
        return store, known, view.running_tokens()


def _is_older(path: Path, limit: float) -> bool:
    try:
        return path.lstat().st_mtime < limit
    except FileNotFoundError:
        return False  # it went while we looked


def _in_work(name: str, running: set[tuple[str, int]]) -> bool:
    slug = name.lstrip(".")
    return any(slug.startswith(f"{key}.{token}") for key, token in running)


def sweep(
    catalog: Catalog, storage: Storage, *, older: float = DAY, go_on: Callable[[], bool] = lambda: True
) -> int:
    """Remove orphans; returns how many.

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
    count = 0
    for path in orphans(catalog, storage, older=older):
        if not go_on():
            break
        storage.remove(path)
        count += 1
    return count
