"""A site on disk with one item to publish, whose clock is told, and a process that publishes it as a daemon does."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from towpath.adapters.catalog.postgres import PostgresCatalog
from towpath.adapters.catalog.sqlite import SqliteCatalog, migrate
from towpath.adapters.storage.local import LocalStorage
from towpath.adapters.transfers.local import LocalTransfer
from towpath.base import hashing
from towpath.base.ids import slug
from towpath.base.model import Item, Product
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Box, Span
from towpath.base.states import Outcome, Work
from towpath.base.states import Publication as State
from towpath.contracts.catalog import Catalog, Claimed, PublicationRow
from towpath.contracts.definition import Definition, InputPlan, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report
from towpath.flow.publish import Publisher

LEASE = 60.0
BYTES = {"grid": b"g" * 3000, "plot": b"p" * 500}


def stage(name: str, depth: int, **more: Any) -> StagePlan:
    params = more.pop("params", {})
    return StagePlan(
        pipeline="line",
        kind="survey",
        name=name,
        depth=depth,
        target="",
        version="1",
        params=params,
        fixed=Fixed.of(name, "1", params),
        **more,
    )


def definition(archive_root: str = "archive", **params: Any) -> Definition:
    """A route raw → make → assess → publish; `params` are those of publish."""
    params = {"archive": archive_root, **params}
    make = stage(
        "make",
        0,
        inputs=(InputPlan("data", "one", "raw/file", (("", ""),)),),
        outputs={"grid": "grid/bin", "plot": "image/png"},
        after=("assess",),
    )
    assess = stage(
        "assess",
        1,
        before=("make",),
        after=("publish",),
        inputs=(InputPlan("grid", "one", "grid/bin", (("make", "grid"),)),),
    )
    inputs = tuple(
        InputPlan(f"make.{name}", "one", kind, (("make", name),)) for name, kind in make.outputs.items()
    )
    publish = stage("publish", 2, before=("assess",), inputs=inputs, service="publish", params=params)
    kind = KindPlan("line", "survey", {"make": make, "assess": assess, "publish": publish})
    return Definition(
        "line", "1", hashing.digest(params), {"survey": kind}, {}, licence="CC-BY-4.0", citation="A. Author"
    )


def open_catalog(url: str, now: Callable[[], float]) -> Catalog:
    """The catalog at a URL; one in a database was migrated by whoever made that."""
    if url.startswith("postgresql:"):
        return PostgresCatalog(url, now=now)
    return SqliteCatalog(Path(url.removeprefix("sqlite:///")), now=now)


class World:
    """A site on disk with one item, whose time goes on only when it is told."""

    def __init__(
        self,
        folder: Path,
        *,
        key: str = "S-1",
        archive: Path | None = None,
        owner: str = "",
        url: str = "",
        **params: Any,
    ) -> None:
        self.folder, self.time, self.owner = folder, 1_700_000_000.0, owner
        self.url = url or f"sqlite:///{folder}/catalog.sqlite"
        self.places = {name: folder / name for name in ("store", "incoming")}
        self.places["archive"] = archive or folder / "archive"
        for place in self.places.values():
            place.mkdir(exist_ok=True)
        if not url:
            migrate(folder / "catalog.sqlite")
        self.definition = definition(**params)
        self.open()
        for name, place in self.places.items():
            self.catalog.write(lambda tx, n=name, p=place: tx.set_root(n, str(p)))
        self.catalog.write(lambda tx: tx.set_definition(self.definition))
        self.item = self.add(key)

    def open(self) -> None:
        self.catalog = open_catalog(self.url, lambda: self.time)
        self.catalog.definitions["line"] = self.definition
        self.storage = LocalStorage(self.places)

    @property
    def kind(self) -> KindPlan:
        return self.definition.kinds["survey"]

    @property
    def archive(self) -> Path:
        return self.places["archive"]

    def add(self, key: str) -> int:
        item = Item("line", "survey", key, {"site": "x"}, Span(1e9, 1e9 + 60), Box(17.0, -35.0, 33.0, -22.0))
        number = self.catalog.write(lambda tx: tx.add_items(self.kind, [item]))[0]
        raw = self.places["incoming"] / f"{slug(key)}.csv"
        raw.write_bytes(b"raw " + key.encode())
        self.add_raw(number, raw)
        return number

    def add_raw(self, item: int, raw: Path) -> None:
        content = hashing.content(raw)
        product = Product(
            item,
            "",
            "data",
            "",
            "raw/file",
            "incoming",
            raw.name,
            content.size,
            content.mtime_ns,
            content.sha256,
        )
        self.catalog.write(lambda tx: tx.add_raw([product]))

    # ---- stages before publish
    def claim(self, name: str) -> Claimed | None:
        plan = self.kind.stages[name]
        rows = self.catalog.write(lambda tx: tx.claim(self.kind, plan, 1, lease=LEASE, owner=1))
        return rows[0] if rows else None

    def complete(self, name: str, claimed: Claimed, report: Report) -> None:
        plan = self.kind.stages[name]
        self.catalog.write(lambda tx: tx.complete(self.kind, plan, [(claimed, report)]))

    def make(self, contents: Mapping[str, bytes | Mapping[str, bytes]] = BYTES, **more: Any) -> Path:
        """Run `make` with these outputs (bytes, or a tree of them), then `assess`; returns the products' folder."""
        claimed = self.claim("make")
        assert claimed is not None
        place = self.places["store"] / "line/survey/make" / f"{slug(claimed.item_key)}.{claimed.token}"
        place.mkdir(parents=True)
        outputs = []
        for name, content in contents.items():
            path = place / f"{name}.bin"
            write(path, content)
            outputs.append(Output(name, str(path), hashing.content(path)))
        report = Report(
            claimed.work, claimed.token, Outcome.DONE, self.time, 1.5, outputs=tuple(outputs), **more
        )
        self.complete("make", claimed, report)
        self.assess()
        return place

    def assess(self, result: str = "pass") -> None:
        claimed = self.claim("assess")
        if claimed is not None:
            verdict = {"result": result, "rules": []}
            report = Report(claimed.work, claimed.token, Outcome.DONE, self.time, 0.5, verdict=verdict)
            self.complete("assess", claimed, report)

    def remake(self, contents: Mapping[str, bytes | Mapping[str, bytes]]) -> Path:
        works = [row.id for row in self.work() if row.stage == "make"]
        self.catalog.write(lambda tx: tx.revise(works, "again", force=True))
        return self.make(contents)

    # ---- publish
    def publisher(self, transfer: LocalTransfer | None = None, catalog: Any = None, **more: Any) -> Publisher:
        return Publisher(
            catalog or self.catalog,
            self.storage,
            {"archive": transfer} if transfer else self.transfers,
            definitions=lambda: {"line": self.definition},
            destinations=("bus",),
            **more,
        )

    @property
    def transfers(self) -> dict[str, LocalTransfer]:
        return {"archive": LocalTransfer(self.owner)}

    def publish(self, publisher: Publisher | None = None) -> Report:
        """Claim, carry and complete, as the daemon does."""
        claimed = self.claim("publish")
        assert claimed is not None, "nothing to publish"
        report = (publisher or self.publisher())(self.kind, self.kind.stages["publish"], claimed)
        self.complete("publish", claimed, report)
        return report

    def daemon(self) -> list[str]:
        """The command of another process that claims, carries and completes one publication."""
        (self.folder / "definition").write_bytes(pickle.dumps(self.definition))
        return [sys.executable, __file__, str(self.folder), self.url, str(self.time), self.owner]

    def start(self, env: Mapping[str, str]) -> "subprocess.Popen[str]":
        """Start such a process, with these variables too."""
        return subprocess.Popen(
            self.daemon(),
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def later(self, seconds: float = 1e6) -> None:
        self.time += seconds

    def take_away(self) -> None:
        """The work has cost too many deaths: it is poisoned, until a person retries it."""
        assert self.claim("publish") is None
        assert self.publish_row().state is Work.POISONED
        self.retry()

    def retry(self) -> None:
        works = [row.id for row in self.work() if row.stage == "publish"]
        self.catalog.write(lambda tx: tx.retry(works))

    # ---- looking
    def work(self) -> list[Any]:
        with self.catalog.read() as view:
            return view.work([self.item])[self.item]

    def publish_row(self) -> Any:
        return next(row for row in self.work() if row.stage == "publish")

    def rows(self) -> list[PublicationRow]:
        with self.catalog.read() as view:
            return view.publications()

    def files(self) -> list[str]:
        """Everything in the archive, hidden names too."""
        return sorted(
            path.relative_to(self.archive).as_posix() for path in self.archive.rglob("*") if path.is_file()
        )

    def hidden(self) -> list[str]:
        return [path.name for path in self.archive.rglob(".*")]

    def messages(self) -> list[Mapping[str, Any]]:
        found = []
        while rows := self.catalog.write(
            lambda tx: tx.claim_other(("", "message", "bus"), 1, lease=LEASE, owner=1)
        ):
            found.append(rows[0].payload["body"])
            self.catalog.write(lambda tx, row=rows[0]: tx.finish(row))
        return found

    def assert_whole_or_not_there(self) -> None:
        """What is visible at a place is what its row says, or nothing is there yet."""
        for row in self.rows():
            target = self.archive / row.target
            if target.exists():
                assert hashing.content(target).sha256 == row.sha256
            else:
                assert row.state not in (State.COMMITTED, State.RELEASED)

    def assert_right(self, target: str = "line/survey/S-1", *, hidden: Sequence[str] = ()) -> None:
        """Exactly one right copy, nothing half, everything said."""
        row = self.rows()[-1]
        assert (row.state, row.target) == (State.RELEASED, target)
        assert hashing.content(self.archive / target).sha256 == row.sha256
        assert set(self.hidden()) == set(hidden)
        assert self.publish_row().state is Work.DONE


def write(path: Path, content: bytes | Mapping[str, bytes]) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        for name, part in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(part)


def daemon(folder: Path, url: str, time: float, owner: str) -> None:
    """Claim, carry and complete one publication, and say how it ended."""
    plan = pickle.loads((folder / "definition").read_bytes())
    kind = plan.kinds["survey"]
    stage = kind.stages["publish"]
    catalog = open_catalog(url, lambda: time)
    with catalog.read() as view:
        places = {name: row.place for name, row in view.roots().items()}
    publisher = Publisher(
        catalog, LocalStorage(places), {"archive": LocalTransfer(owner)},
        definitions=lambda: {"line": plan}, destinations=("bus",),
    )  # fmt: skip
    try:
        (claimed,) = catalog.write(lambda tx: tx.claim(kind, stage, 1, lease=LEASE, owner=1))
        print("claimed", flush=True)
        report = publisher(kind, stage, claimed)
        catalog.write(lambda tx: tx.complete(kind, stage, [(claimed, report)]))
    finally:
        catalog.close()
    print(report.outcome.value, report.error or "; ".join(report.reasons), flush=True)


if __name__ == "__main__":
    daemon(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4])
