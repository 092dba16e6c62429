"""Taking stock: roots and the disk against the catalog. Acts only when told to write."""

import os
from collections.abc import Callable
from pathlib import Path

from towpath.app.keeping import refuse_running
from towpath.app.sizes import Sizes, measure
from towpath.app.sources import Sources
from towpath.app.wiring import gather
from towpath.base.errors import NotFoundError, UsageError
from towpath.flow import newer as later
from towpath.flow import reconcile as disk
from towpath.flow.reconcile import Finding


class Stock(Sources):
    """The verbs of the inventory."""

    def overview(self) -> list[tuple[str, str, str, int, int]]:
        """Live products by (root, pipeline/kind, stage): how many, and bytes."""
        sums: dict[tuple[str, str, str], tuple[int, int]] = {}
        with self.catalog.read() as view:
            kept = [one for one in view.kept() if one.state in disk.LIVE]
        for one in kept:
            key = (one.root, f"{one.pipeline}/{one.kind}", one.stage or "(raw)")
            count, size = sums.get(key, (0, 0))
            sums[key] = (count + one.count, size + one.bytes)
        return [(*key, *value) for key, value in sorted(sums.items())]

    def verify(
        self,
        *,
        rate: float = 0.0,
        restart: bool = False,
        until: Callable[[], bool] = lambda: False,
        progress: Callable[[int, int], None] | None = None,
    ) -> tuple[disk.Scrub, list[Finding]]:
        """Read all products and all that is published, compare by hash, and act on what differs as a check does.

        Parameters
        ----------
        rate
            Bytes per second that may be read; 0: as fast as the disk gives them.
        restart
            Begin a new round; otherwise the last one goes on where it stopped.
        until
            Asked after every few products; true ends it for now.
        progress
            Gets how many bytes of this round were read, and of how many.

        Returns
        -------
        tuple
            How far this round is, and what this call found.
        """
        found = disk.scrub(
            self.catalog,
            self.storage,
            pace=disk.Pace(rate),
            restart=restart,
            until=until,
            progress=progress,
        )
        self._spread()
        return found

    def sizes(self) -> Sizes:
        """How large the site is, and what retention would free."""
        return measure(self._parts)

    def reconcile(
        self,
        root: str = "store",
        *,
        write: bool = False,
        scrub: bool = False,
        newer: str = "",
        why: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> list[Finding]:
        """Compare a root with the catalog both ways: missing, changed, moved by hash, extra. Acts only with `write`.

        Parameters
        ----------
        newer
            After a restore, what becomes of what lies in the store and is newer than the catalog: ``adopt`` what a run
            left whole, or put it aside, below `.quarantine` (``quarantine``). "" leaves the choice open.
        why
            The reason, kept with what is adopted.

        Returns
        -------
        list of Finding
            What was found; with `write`, of what is newer only what still waits for a choice.

        Raises
        ------
        NotFoundError
            If there is no such root.
        StateError
            If `newer` is to be done while the site runs.
        """
        if newer not in ("", "adopt", "quarantine"):
            raise UsageError(f"newer: found {newer!r}; expected adopt or quarantine")
        with self.catalog.read() as view:
            if root not in view.roots():
                raise NotFoundError(f"no root {root!r}; roots are {', '.join(view.roots())}")
            is_restored = root == "store" and view.restored() is not None
        findings = [
            one
            for one in disk.check(self.catalog, self.storage, write=False, scrub=scrub, progress=progress)
            if one.root == root
        ]
        others = disk.survey(self.catalog, self.storage, root, findings=findings)
        if write:
            disk.check(self.catalog, self.storage, write=True, scrub=scrub)
            disk.act_on_moved(self.catalog, others)
        if is_restored:
            others = self._after_restore(others, newer, why, write)
        if write:
            self._spread()
        moved = {one.product for one in others if one.what == "moved"}
        return [one for one in findings if one.product not in moved] + others

    def _after_restore(self, others: list[Finding], choice: str, why: str, write: bool) -> list[Finding]:
        """What is extra is newer than the restored catalog; once nothing is left to choose, sweeping may go on."""
        if write and choice:
            with self.catalog.read() as view:
                refuse_running(self.settings, view)  # what runs makes places, too
        if write and choice == "adopt":
            self._parts.arrivals().look()  # raw files that came after the backup are items again
        paths = [one.path for one in others if one.what == "extra"]
        with self.catalog.read() as view:
            found = later.look(view, self.definitions, paths)
        if write and choice == "adopt":
            found = later.adopt(
                self.catalog,
                self.storage,
                self.definitions,
                found,
                who=self.who,
                why=why or "found after a restore",
                hook=gather,
            )
        elif write and choice == "quarantine":
            later.put_aside(self.catalog, Path(self._parts.places["store"]), paths)
            found = []
        if write and not found:
            self.catalog.write(lambda tx: tx.decided())
        sizes = {one.path: one.size for one in others}
        newer = [
            Finding("newer", "store", one.path, 0, one.item, one.stage, size=sizes[one.path], why=one.problem)
            for one in found
        ]
        return [one for one in others if one.what != "extra"] + newer

    def sweep(self, *, older: float | None = None, grace: float | None = None) -> dict[str, int]:
        """Apply the retention of the settings now: orphans, superseded products, trash, temporaries in archives, events, logs.

        Parameters
        ----------
        older
            Instead of the settings: only orphans and superseded products of this age, in seconds.
        grace
            Instead of the settings: how long things lie in the trash before they are deleted, in seconds.

        Returns
        -------
        dict
            How many of each left, and the bytes of the products.
        """
        return self._parts.retention.sweep(older=older, grace=grace)

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
                product for product in view.products(states=disk.LIVE, limit=1000) if product.root == root
            ]
        there = sum((target / product.path).exists() for product in products)
        if write:
            self._parts.move_root(root, target)
        return {"looked at": len(products), "there": there, "moved": int(write)}
