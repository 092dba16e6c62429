"""Taking stock: roots and the disk against the catalog. Acts only when told to write."""

import os
from collections.abc import Callable
from pathlib import Path

from towpath.app.acting import Acting
from towpath.app.sizes import Sizes, measure
from towpath.base.errors import NotFoundError, UsageError
from towpath.flow import reconcile as disk
from towpath.flow.reconcile import Finding


class Stock(Acting):
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

    def sizes(self) -> Sizes:
        """How large the site is, and what retention would free."""
        return measure(self._parts)

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
            for one in disk.check(self.catalog, self.storage, write=False, scrub=scrub, progress=progress)
            if one.root == root
        ]
        others = disk.survey(self.catalog, self.storage, root, findings=findings)
        if write:
            disk.check(self.catalog, self.storage, write=True, scrub=scrub)
            disk.act_on_moved(self.catalog, others)
        moved = {one.product for one in others if one.what == "moved"}
        return [one for one in findings if one.product not in moved] + others

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
