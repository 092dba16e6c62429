"""What is found of products, and calibrations: missing, changed, back, adopted; certified and withdrawn.

Promises that consumers of a bad product wait and go on when it is good again, and that no two calibrations in force
overlap. What depends on a change is revised in the same transaction.
"""

from collections.abc import Collection, Sequence
from typing import Any

from towpath.adapters.catalog.completing import LOOK_AGAIN
from towpath.adapters.catalog.people import People
from towpath.adapters.catalog.spreading import Revision
from towpath.adapters.catalog.sql import LIVE
from towpath.base import states
from towpath.base.errors import NotFoundError, StateError
from towpath.base.hashing import Content
from towpath.base.model import Product
from towpath.base.states import Product as ProductState

_LEFT = (ProductState.SUPERSEDED, ProductState.TRASH, ProductState.SHED)
_GOOD_OR_BAD = (ProductState.CURRENT, ProductState.MISSING, ProductState.CHANGED)


class Findings(People):
    """Adds what is found of products, and calibrations."""

    # ---- products
    def found(self, product: int, what: str) -> None:
        """A run found an input missing or changed; if a newer one took its place meanwhile, that is of no account.

        What was let go is asked back: the run was to be spared, but what it had made is not there.
        """
        one = self.product(product)
        if one.state in _GOOD_OR_BAD:
            self.mark([product], ProductState(what), "found by a run")
        elif one.state in states.LET_GO:
            self._ask_back([one])

    def _ask_back(self, products: Sequence[Product]) -> None:
        """Work needs what was let go: where the bytes are in the trash still they are kept, else they are made again."""
        shed = [one.id for one in products if one.state is ProductState.SHED]
        spent = [one.id for one in products if one.state is ProductState.SPENT]
        if shed:
            self.mark(shed, ProductState.CURRENT, "it is read again")
        if spent:
            self.mark(spent, ProductState.WANTED, "it is read again")

    def _is_good_again(self, product: int) -> None:
        """A bad product was made again: in place of it, or another that superseded it."""
        self.alone()
        made = self.product(product)
        self._users_of_calibration(made, wait=False)
        self._consumers_go_on(made.item)

    def mark(self, products: Sequence[int], state: ProductState, detail: str = "") -> int:
        """Move products to a state that the table of transitions allows; consumers wait or go on accordingly."""
        self.alone()
        count = 0
        for number in products:
            product = self.product(number)
            if product.state is state:
                continue
            if (product.state, state) not in states.PRODUCT:
                raise StateError(f"{product.path} is {product.state.value}; it cannot become {state.value}")
            self._write_state(product, state, detail)
            self.event(state.value, item=product.item, stage=product.stage, path=product.path, detail=detail)
            self._after_mark(product, state)
            count += 1
        return count

    def _write_state(self, product: Product, state: ProductState, detail: str) -> None:
        """The new state, since when and why; of what was let go, when and why that was stays."""
        if state in (ProductState.SPENT, ProductState.WANTED):
            self.cursor.execute("UPDATE products SET state = ? WHERE id = ?", (state.value, product.id))
            return
        left = self.now() if state in _LEFT else None
        look = self.now() + LOOK_AGAIN if product.state in states.LET_GO and left is None else None
        self.cursor.execute(
            "UPDATE products SET state = ?, detail = ?, left_at = ?, look = coalesce(?, look) WHERE id = ?",
            (state.value, detail or None, left, look, product.id),
        )

    def _after_mark(self, product: Product, state: ProductState) -> None:
        """A missing product is made again, unless a person made it; of a changed one a person decides."""
        if state is ProductState.WANTED:
            self.revise([product.run[0]], f"{product.path} was let go, and is read again")
            self._consumers_wait(product.item)
        elif state is ProductState.CURRENT and product.state is ProductState.SHED:
            return  # nothing waited for it
        elif state is ProductState.CURRENT:
            self._consumers_go_on(product.item)
            self._users_of_calibration(product, wait=False)
        elif state in _GOOD_OR_BAD:
            if state is ProductState.MISSING and product.stage and not product.manual:
                self.revise([product.run[0]], f"{product.path} is missing")
            self._consumers_wait(product.item)
            self._users_of_calibration(product, wait=True)

    def move_product(self, product: int, path: str, *, root: str = "") -> None:
        """The bytes are found, by hash, at another path of the same root, or were moved to another `root`."""
        old = self.product(product)
        if old.state not in _GOOD_OR_BAD:
            raise StateError(f"{old.path} is {old.state.value}; only a product that is in use can be moved")
        self.cursor.execute(
            "UPDATE products SET root_id = ?, path = ?, state = 'current', detail = NULL WHERE id = ?",
            (self.root_id(root or old.root), path, product),
        )
        self.event("moved", item=old.item, stage=old.stage, was=old.path, path=path)
        if old.state is not ProductState.CURRENT:
            self._after_mark(old, ProductState.CURRENT)

    def adopt(self, product: int, content: Content, who: str, why: str) -> int:
        """Bytes changed by someone else become a new product, `manual`; returns its id."""
        old = self.product(product)
        if old.state is not ProductState.CHANGED:
            raise StateError(f"{old.path} is {old.state.value}; only a changed product can be adopted")
        self._supersede([product])
        row = self.one(
            "INSERT INTO products (item_id, queue_id, output, part, type, root_id, path, size, mtime_ns, sha256, tree, state, "
            "work_id, token, manual, created) SELECT item_id, queue_id, output, part, type, root_id, path, ?, ?, ?, ?, "
            "'current', work_id, token, ?, ? FROM products WHERE id = ? RETURNING id",
            (
                content.size,
                content.mtime_ns,
                content.sha256,
                content.tree,
                True,
                self.now(),
                product,
            ),
        )
        self.event("adopted", item=old.item, stage=old.stage, path=old.path, who=who, why=why)
        self._revise_consumers(old.item, ("one", "many"), f"{old.path} was adopted", stage=old.stage)
        self._consumers_go_on(old.item)
        return int(row[0])

    # ---- calibrations
    def certify(
        self,
        product: int,
        kind: str,
        selector: str,
        begin: float,
        end: float,
        *,
        quality: float = 0.0,
        by: str = "",
        why: str = "",
        replaces: Collection[int] = (),
    ) -> int:
        """Certify a calibration; the same one again gives its number.

        One whose product is no longer in use is superseded by another over its time, and so are those that it `replaces`;
        what used them is kept.

        Raises
        ------
        StateError
            If it would overlap another that is in force, or the product is not current.
        """
        if not begin < end:
            raise StateError(
                f"a calibration is valid over [begin, end): begin {begin} is not before end {end}"
            )
        self.slot(f"calibration:{kind}", selector)
        what = self.product(product)
        if what.state is not ProductState.CURRENT:
            raise StateError(f"{what.path} is {what.state.value}; only a current product can be certified")
        replaced: list[int] = []
        for row in self._overlapping(kind, selector, begin, end):
            if row[3] == product and (row[1], row[2]) == (begin, end):
                return int(row[0])
            if row[4] and row[0] not in replaces:
                raise StateError(
                    f"calibration {kind!r} for {selector!r} over [{begin}, {end}) overlaps number {row[0]} over "
                    f"[{row[1]}, {row[2]}); decertify that one first"
                )
            replaced.append(row[0])
        self.cursor.executemany(
            "UPDATE calibrations SET state = 'superseded' WHERE id = ?", [(number,) for number in replaced]
        )
        number = int(
            self.one(
                "INSERT INTO calibrations (product_id, kind, selector, begins, ends, quality, state, author, why, certified) "
                "VALUES (?, ?, ?, ?, ?, ?, 'certified', ?, ?, ?) RETURNING id",
                (product, kind, selector, begin, end, quality, by, why, self.now()),
            )[0]
        )
        told: dict[str, Any] = {"supersedes": replaced} if replaced else {}
        self.event("certified", item=what.item, calibration=number, kind=kind, who=by, **told)
        self._reconsider_all(self._takers(kind), is_good=True)
        return number

    def _overlapping(self, kind: str, selector: str, begin: float, end: float) -> list[Any]:
        """Those in force: number, begin, end, product, whether the product is in use."""
        return self.rows(
            f"SELECT c.id, c.begins, c.ends, c.product_id, {LIVE.replace('state', 'p.state')} FROM calibrations c "
            "JOIN products p ON p.id = c.product_id WHERE c.kind = ? AND c.selector = ? AND c.state = 'certified' "
            "AND c.begins < ? AND c.ends > ? ORDER BY c.id",
            (kind, selector, end, begin),
        )

    def decertify(self, calibration: int, by: str, why: str, *, superseded: bool = False) -> None:
        """Withdraw a calibration (or say that it was made again); work that used it, or may be using it now, is revised.

        Not revised is a stage of the item that made it which its own item's calibrations are not given to.
        """
        row = self.one(
            "SELECT product_id, kind, selector, state FROM calibrations WHERE id = ?", (calibration,)
        )
        if row is None:
            raise NotFoundError(f"no calibration with number {calibration}")
        self.slot(f"calibration:{row[1]}", row[2])
        state = "superseded" if superseded else "decertified"
        if row[3] in ("decertified", state):
            return
        self.cursor.execute("UPDATE calibrations SET state = ? WHERE id = ?", (state, calibration))
        product = self.product(row[0])
        self.event(state, item=product.item, calibration=calibration, who=by, why=why)
        told = f"calibration {calibration} was withdrawn: {why}"
        works = self._running_takers(row[1], product)
        self._begin(Revision(told, works=works, used=product.id, taken_as=row[1]))
        self._reconsider_all(self._takers(row[1]), is_good=False)

    def _running_takers(self, kind: str, product: Product) -> list[int]:
        """Running work that may have been given a product: what it chose at its claim is written only when it ends."""
        made_by = product.stage, product.output
        return [
            row[0]
            for stage in self._takers(kind)
            for row in self.rows(
                "SELECT id, item_id FROM work WHERE queue_id = ? AND state IN ('ready', 'running') AND state = 'running'",
                (self.intern(stage.queue),),
            )
            if row[1] != product.item
            or any(one.form == "calibration" and made_by not in one.apart for one in stage.inputs)
        ]

    def _users_of_calibration(self, product: Product, *, wait: bool) -> None:
        """A product that is certified went bad or is good again: those who would take it wait or go on."""
        kinds = self.rows(
            "SELECT DISTINCT kind FROM calibrations WHERE product_id = ? AND state = 'certified'",
            (product.id,),
        )
        for (kind,) in kinds:
            self._reconsider_all(self._takers(kind), is_good=not wait)
