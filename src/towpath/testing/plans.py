"""Small routes by hand, and a bench that plays the flow's part on a catalog: for tests of catalogs and of the flow.

A bench claims, makes up outputs (a path and a hash, no files) and completes. It decides nothing that the catalog decides.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from towpath.base.hashing import Content, digest
from towpath.base.model import Item, Measure, Product, WorkRow
from towpath.base.provenance import Fixed
from towpath.base.spacetime import Span
from towpath.base.states import Outcome
from towpath.base.states import Work as State
from towpath.contracts.catalog import Claimed, Finished, LoadedCatalog
from towpath.contracts.definition import Definition, GroupPlan, InputPlan, KindPlan, StagePlan
from towpath.contracts.executor import Output, Report

PIPELINE = "t"
STORE = "/store"
LEASE = 600.0
OVER = -1.0  # a lease that has expired when it begins


def sha(text: str) -> bytes:
    """A hash that stands for some content."""
    return hashlib.sha256(text.encode()).digest()


def product_of(stage: str, *, name: str = "", optional: bool = False, output: str = "out") -> InputPlan:
    """An input `One` of what an earlier stage of the route makes (stage "": the raw file)."""
    type_ = f"{PIPELINE}/{stage}" if stage else "raw/file"
    return InputPlan(name or stage or "raw", "one", type_, ((stage, output),), optional=optional)


def products_of_members(stage: str, *, least: int = 1) -> InputPlan:
    """An input `Many` of what a stage of the members made."""
    return InputPlan("members", "many", f"{PIPELINE}/{stage}", ((stage, "out"),), members=True, least=least)


def calibration(
    kind: str = "bias", *, selector: str = "", optional: bool = False, within: float = 0.0, apart: str = ""
) -> InputPlan:
    """An input `Calibration`; `apart` is the stage whose product of the same item is not given."""
    made = ((apart, "out"),) if apart else ()
    return InputPlan(
        "bias", "calibration", kind, selector=selector, optional=optional, within=within, apart=made
    )


def facts(form: str) -> InputPlan:
    """An input of facts: record, flags or verdicts."""
    return InputPlan(form, form)


def kind_plan(
    name: str,
    route: Mapping[str, Sequence[str]],
    *,
    inputs: Mapping[str, Sequence[InputPlan]] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    group: GroupPlan | None = None,
    gathered: bool = False,
    reaches: str = "",
) -> KindPlan:
    """A kind whose `route` names for each stage, in order, the stages right before it.

    A stage makes ``out`` and reads that of each stage before it, unless `inputs` says otherwise.
    """
    stages = {}
    for depth, (stage, before) in enumerate(route.items()):
        own: dict[str, Any] = {"version": "1", "params": {}, **(settings or {}).get(stage, {})}
        given = (inputs or {}).get(stage)
        stages[stage] = StagePlan(
            pipeline=PIPELINE,
            kind=name,
            name=stage,
            depth=depth,
            target="module:Class",
            fixed=Fixed.of(stage, own["version"], own["params"]),
            inputs=tuple([product_of(one) for one in before] if given is None else given),
            outputs=own.pop("outputs", {"out": f"{PIPELINE}/{stage}"}),
            before=tuple(before),
            after=tuple(other for other, earlier in route.items() if stage in earlier),
            **own,
        )
    return KindPlan(PIPELINE, name, stages, group, gathered or group is not None, reaches=reaches)


def kind_of_every_input() -> KindPlan:
    """Items of the stages a → b → c; a takes a raw file, c an input of each other form."""
    given = [product_of("b"), facts("record"), facts("flags"), facts("verdicts"), calibration(optional=True)]
    return kind_plan("item", {"a": (), "b": ("a",), "c": ("b",)}, inputs={"a": [product_of("")], "c": given})


def definition(*kinds: KindPlan, version: str = "1") -> Definition:
    """A definition of these kinds; its digest is of routes, versions and parameters."""
    content = {
        kind.name: {name: [*stage.before, stage.fixed.sha256.hex()] for name, stage in kind.stages.items()}
        for kind in kinds
    }
    return Definition(
        PIPELINE, version, digest([version, content]), {kind.name: kind for kind in kinds}, {}, content
    )


class Bench:
    """One process at work on a catalog, with the definition of these kinds loaded."""

    def __init__(self, catalog: LoadedCatalog, *kinds: KindPlan) -> None:
        self.catalog = catalog
        catalog.write(lambda tx: tx.set_root("store", STORE))
        self.owner = catalog.write(lambda tx: tx.open_session("here", 1, "lock", attributable=False))
        self.load(*kinds)

    def load(self, *kinds: KindPlan, version: str = "1") -> Definition:
        """Load another definition, as a hot reload does."""
        loaded = definition(*kinds, version=version)
        number = self.catalog.write(lambda tx: tx.set_definition(loaded))
        self.definition = self.catalog.definitions[PIPELINE] = replace(loaded, number=number)
        return self.definition

    def kind(self, name: str = "item") -> KindPlan:
        """A kind of the loaded definition."""
        return self.definition.kinds[name]

    # ---- items
    def add(self, *keys: str, kind: str = "item", span: Span | None = None, **attributes: Any) -> list[int]:
        """Register items."""
        items = [Item(PIPELINE, kind, key, attributes, span) for key in keys]
        return self.catalog.write(lambda tx: tx.add_items(self.kind(kind), items))

    def add_group(self, key: str, members: Sequence[int], kind: str = "group", *, close: bool = True) -> int:
        """Register a group with its members; `close` says that it is complete."""

        def write(tx: Any) -> int:
            group: int = tx.add_items(self.kind(kind), [Item(PIPELINE, kind, key)])[0]
            tx.add_members(group, members)
            if close:
                tx.gathered(self.kind(kind), group)
            return group

        return self.catalog.write(write)

    def add_raw(self, item: int, content: str = "raw", *, part: str = "", path: str = "") -> int:
        """Register a raw file of this content."""
        product = Product(
            item, "", "file", part, "raw/file", "store", path or f"in/{item}{part}", 4, 1, sha(content)
        )
        return self.catalog.write(lambda tx: tx.add_raw([product]))[0]

    # ---- work
    def claim(
        self, stage: str, limit: int = 100, *, kind: str = "item", lease: float = LEASE, owner: int = 0
    ) -> list[Claimed]:
        """Claim work of a stage."""
        plan = self.kind(kind)
        taker = owner or self.owner
        return self.catalog.write(
            lambda tx: tx.claim(plan, plan.stages[stage], limit, lease=lease, owner=taker), concurrent=True
        )

    def report(
        self,
        claimed: Claimed,
        outcome: Outcome = Outcome.DONE,
        content: str | Mapping[str, str] | None = None,
        **more: Any,
    ) -> Report:
        """A report of a run that made ``out`` of this content (None: of its own key; a mapping: by output)."""
        made: dict[str, str] = {}
        if outcome in (Outcome.DONE, Outcome.HELD):
            text = (claimed.key or b"").hex() if content is None else content
            made = {"out": text} if isinstance(text, str) else dict(text)
        outputs = tuple(
            Output(
                name,
                f"{STORE}/{claimed.item_key}.{claimed.work}.{claimed.token}.{name}",
                Content(9, 1, sha(text)),
            )
            for name, text in made.items()
        )
        told: dict[str, Any] = {"began": 1000.0, "seconds": 0.5, "outputs": outputs, **more}
        return Report(claimed.work, claimed.token, outcome, **told)

    def complete(
        self, stage: str, reports: Iterable[tuple[Claimed, Report]], *, kind: str = "item"
    ) -> Finished:
        """Complete what was claimed."""
        plan, pairs = self.kind(kind), list(reports)
        return self.catalog.write(lambda tx: tx.complete(plan, plan.stages[stage], pairs), concurrent=True)

    def end(
        self,
        stage: str,
        outcome: Outcome = Outcome.DONE,
        content: str | Mapping[str, str] | None = None,
        *,
        kind: str = "item",
        **more: Any,
    ) -> Finished:
        """Claim all there is of a stage and complete it so; what is unchanged ends `unchanged`."""
        return self.finish(self.claim(stage, kind=kind), stage, outcome, content, kind=kind, **more)

    def finish(
        self,
        claims: Iterable[Claimed],
        stage: str,
        outcome: Outcome = Outcome.DONE,
        content: str | Mapping[str, str] | None = None,
        *,
        kind: str = "item",
        **more: Any,
    ) -> Finished:
        """Complete these claims so; what is unchanged ends `unchanged` where it would be done."""
        pairs = [
            (claimed, Report(claimed.work, claimed.token, Outcome.UNCHANGED))
            if claimed.unchanged and outcome is Outcome.DONE
            else (claimed, self.report(claimed, outcome, content, **more))
            for claimed in claims
        ]
        return self.complete(stage, pairs, kind=kind)

    def drain(self, limit: int = 100) -> int:
        """Do all that is ready, kind by kind and stage by stage, until nothing is; returns how many runs ended."""
        ended = 0
        for _ in range(limit):
            before = ended
            self.spread()
            for kind in self.definition.kinds.values():
                for stage in kind.stages:
                    finished = self.end(stage, kind=kind.name)
                    ended += sum(finished.ended.values())
            if ended == before:
                return ended
        raise AssertionError(f"work did not come to an end in {limit} rounds")

    def spread(self) -> None:
        """Take large changes to their end."""
        while self.catalog.write(lambda tx: tx.spread()):
            pass

    # ---- looking
    def row(self, stage: str, item: int) -> WorkRow:
        """The work row of an item's stage."""
        with self.catalog.read() as view:
            return next(row for row in view.work([item])[item] if row.stage == stage)

    def state(self, stage: str, item: int) -> State:
        """The state of an item's stage."""
        return self.row(stage, item).state

    def states(self, item: int) -> dict[str, str]:
        """The state of each stage of an item."""
        with self.catalog.read() as view:
            return {row.stage: row.state.value for row in view.work([item])[item]}

    def products(self, item: int, *stages: str) -> list[Product]:
        """The current products of an item."""
        with self.catalog.read() as view:
            return view.products([item], stages=stages or None)

    def revise(self, stage: str, item: int, *, force: bool = False) -> int:
        """Say that what a stage depends on changed."""
        work = self.row(stage, item).id
        return self.catalog.write(lambda tx: tx.revise([work], "a test", force=force))

    def key(self, stage: str, item: int, *, kind: str = "item") -> bytes | None:
        """The key that the stage's inputs give now."""
        plan = self.kind(kind)
        with self.catalog.read() as view:
            return view.needs(plan, plan.stages[stage], [item])[item].key


def measured(**values: float) -> tuple[Measure, ...]:
    """Measures of a run."""
    return tuple(Measure(name, value) for name, value in values.items())
