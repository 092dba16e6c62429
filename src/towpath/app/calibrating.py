"""Calibrations of a site: which are in force, whether their bytes are there, who stands on them; withdrawing one.

Promises that what it says of the bytes is so now: it looks at the disk. Acts only when told to withdraw.
"""

from dataclasses import dataclass

from towpath.app.acting import Acting
from towpath.base import states
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.contracts.catalog import Transaction
from towpath.flow import reconcile as disk

STATES = ("certified", "superseded", "decertified")


@dataclass(frozen=True, slots=True)
class CalibrationStatus:
    """A calibration as it stands: valid over [begin, end), seconds since the epoch.

    `bytes_are` is current, missing or changed as the disk says now (superseded, trash or deleted where the product is no
    longer in use); `used_by` counts the pieces of work that stand on it.
    """

    number: int
    kind: str
    selector: str
    begin: float
    end: float
    quality: float
    state: str
    item: str
    root: str
    path: str
    bytes_are: str
    used_by: int = 0
    by: str = ""
    why: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether it is in force and its bytes are not there as the catalog says."""
        return self.state == "certified" and self.bytes_are in ("missing", "changed")


class Calibrating(Acting):
    """The verbs of calibrations."""

    def calibrations(
        self, kind: str = "", *, selector: str | None = None, state: str = "certified"
    ) -> list[CalibrationStatus]:
        """The calibrations of a kind (default: all), by number, with what a look at the disk says of their bytes.

        Parameters
        ----------
        kind, selector
            Only these.
        state
            ``certified``, ``superseded``, ``decertified``, or "" for all.

        Raises
        ------
        UsageError
            If there is no such state.
        """
        if state and state not in STATES:
            raise UsageError(f"no state {state!r} of calibrations; states are {', '.join(STATES)}")
        with self.catalog.read() as view:
            rows = view.calibrations(kind, selector=selector, states=(state,) if state else STATES)
            uses = view.calibration_uses([row.product.id for row in rows])
            items = {number: view.item(number).name for number in {row.product.item for row in rows}}
        live = {row.product.id: row.product for row in rows if row.product.state in disk.LIVE}
        found = disk.check_these(self.catalog, self.storage, list(live.values()), write=False)
        now = {one.product: "current" if one.what in ("back", "touched") else one.what for one in found}
        return [
            CalibrationStatus(
                row.id,
                row.kind,
                row.selector,
                row.begin,
                row.end,
                row.quality,
                row.state,
                items[row.product.item],
                row.product.root,
                row.product.path,
                now.get(row.product.id, row.product.state.value),
                uses.get(row.id, 0),
                row.by,
                row.why,
            )
            for row in rows
        ]

    def certify(
        self,
        product: int,
        kind: str,
        selector: str,
        begin: float,
        end: float,
        *,
        quality: float = 0.0,
        why: str = "",
    ) -> CalibrationStatus:
        """Certify a product by hand for a selector and an interval [begin, end), seconds since the epoch.

        Raises
        ------
        NotFoundError
            If there is no such product.
        StateError
            If its bytes are no longer in use, or it would overlap another calibration that is not superseded.
        UsageError
            If the interval is empty.
        """
        if not begin < end:
            raise UsageError("interval: found an end that is not after the begin; expected begin < end")

        def transact(tx: Transaction) -> int:
            found = tx.product(product)
            if found.state is not states.Product.CURRENT:
                raise StateError(
                    f"product {product} is {found.state.value}; only a current one can be certified"
                )
            return tx.certify(product, kind, selector, begin, end, quality=quality, by=self.who, why=why)

        number = self._write(transact)
        return next(one for one in self.calibrations(state="") if one.number == number)

    def decertify(self, number: int, *, why: str) -> CalibrationStatus:
        """Withdraw a calibration: work that stands on it is to be done again; returns it as it was.

        The stage that certified it does not do so again by itself, only if it is asked for (`rerun`) or its product changes.

        Raises
        ------
        NotFoundError
            If there is none with this number.
        """
        found = [one for one in self.calibrations(state="") if one.number == number]
        if not found:
            raise NotFoundError(
                f"no calibration with number {number}; `towpath calibrations list --all` lists them"
            )
        self._write(lambda tx: tx.decertify(number, self.who, why))
        return found[0]
