"""Finds who makes each input of each stage: earlier stages of the route, raw files, or what the members have made.

Promises that an input has makers, nearest first, or the file is refused; where two are equally near, the file says
which. Looks at declarations only.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence

from towpath.app.problems import Problem, choose, describe
from towpath.app.stages import DEPOSIT, Made
from towpath.app.tables import Key
from towpath.contracts import stage as contract
from towpath.contracts.definition import InputPlan
from towpath.contracts.pipeline import (
    CertifyTable,
    DeliverTable,
    FetchSourceTable,
    GateTable,
    PipelineFile,
    PublishTable,
    RecordsTable,
    RetrieveTable,
)
from towpath.contracts.route import Route

_FACTS = {contract.Flags: "flags", contract.Verdicts: "verdicts", contract.Record: "record"}
RAW = "file"  # the output that raw files are
_TIMES = ("time.begin", "time.mid", "time.end")

Producer = tuple[str, str]  # stage and output; ("", "") is raw files


class Makers:
    """Who makes what in one pipeline file.

    Parameters
    ----------
    file
        The pipeline file.
    routes
        The route of each kind, without what is switched off.
    made
        The stages of each kind by name, all of them.
    problems
        Where what is wrong is collected.
    """

    def __init__(
        self,
        file: PipelineFile,
        routes: Mapping[str, Route],
        made: Mapping[str, Mapping[str, Made]],
        problems: list[Problem],
    ) -> None:
        self.file, self.routes, self.made, self.problems = file, routes, made, problems

    def _wrong(self, key: Key, found: str, expected: str) -> None:
        self.problems.append(Problem(key, found, expected))

    def inputs(self, kind: str, name: str) -> Iterator[InputPlan]:
        """The inputs of a stage, each with its makers; one that has none is told and left out."""
        route, made = self.routes[kind], self.made[kind][name]
        key: Key = ("items", kind, "stages", name)
        key = key if name in self.file.items[kind].stages else ("items", kind, "route")
        for unknown in sorted(set(made.table.inputs) - set(made.consumes)):
            self._wrong((*key, "inputs", unknown), "an unknown input", choose(unknown, made.consumes))
        if isinstance(made.table, PublishTable):
            yield from self._published(key, kind, route, name, made.table)
        elif isinstance(made.table, DeliverTable):
            yield from self._delivered(key, kind, route.upstream(name), made.table)
        elif isinstance(made.table, GateTable):
            yield from self._shown(kind, route.upstream(name))
        elif isinstance(made.table, CertifyTable):
            yield from self._certified((*key, "product"), kind, route.upstream(name), made.table.product)
        for wanted, form in made.consumes.items():
            plan = self._input(key, kind, route, name, wanted, form)
            if plan is not None:
                yield plan

    def _input(
        self, key: Key, kind: str, route: Route, stage: str, wanted: str, form: contract.Input
    ) -> InputPlan | None:
        if isinstance(form, contract.Calibration):
            if form.at not in _TIMES:
                self._wrong(key, f"input {wanted!r} with at = {form.at!r}", choose(form.at, _TIMES))
            if not 0 <= form.within < math.inf:
                self._wrong(key, f"input {wanted!r} with within = {form.within}", "seconds, 0 or more")
            return InputPlan(
                wanted,
                "calibration",
                form.kind,
                optional=form.optional,
                at=form.at,
                selector=form.selector,
                within=form.within,
                apart=self._apart(kind, route, stage, form.kind),
            )
        if isinstance(form, contract.One | contract.Many):
            makers = self._makers(key, kind, route, stage, wanted, form)
            if makers is None:
                return None
            producers, members = makers
            if isinstance(form, contract.One):
                return InputPlan(wanted, "one", form.type, producers, members, form.optional)
            return InputPlan(wanted, "many", form.type, producers, members, form.least == 0, form.least)
        return InputPlan(wanted, _FACTS[type(form)])

    def _apart(self, kind: str, route: Route, stage: str, calibration: str) -> tuple[Producer, ...]:
        """What a route certifies as calibrations of a kind, but not before this stage: its own item's are not given to it."""
        found: list[Producer] = []
        for name in route.names:
            table = self.made[kind][name].table
            if (
                not isinstance(table, CertifyTable)
                or table.calibration != calibration
                or name in route.upstream(stage)
            ):
                continue
            maker, _, output = table.product.partition(".")
            if maker in route.names:
                found += [(maker, one) for one in self.made[kind][maker].produces if output in ("", one)]
            elif table.product == RAW:
                found.append(("", RAW))
        return tuple(found)

    def _makers(
        self, key: Key, kind: str, route: Route, stage: str, wanted: str, form: contract.One | contract.Many
    ) -> tuple[tuple[Producer, ...], bool] | None:
        """Who makes an input, and whether they are the members' stages. None if nobody, which is told."""
        given = self.file.items[kind].stages.get(stage)
        said = given.inputs.get(wanted, "") if given else ""
        upstream, passed = route.upstream(stage), self._passed(kind)
        if said:
            return self._said((*key, "inputs", wanted), kind, upstream, said, form.type)
        own = self._offers(kind, route, upstream, form)
        raw: tuple[Producer, ...] = (("", ""),) if form.type in self._raw_types(kind) else ()
        if own:
            chosen = self._chosen(key, wanted, form, own, route)
            is_sure = any(output not in self.made[kind][stage].optional for stage, output in own)
            if not is_sure and _is_role(form):
                self._wrong(key, f"input {wanted!r} of a role that may be empty", "an input that is optional")
            return chosen + (() if is_sure else raw), False
        if raw:
            return raw, False
        of, stages = passed
        if of and isinstance(form, contract.Many):
            theirs = self._offers(of, self.routes[of], stages, form)
            if not theirs and form.type in self._raw_types(of):
                theirs = [("", "")]
            if theirs:
                return tuple(theirs), True
        if form.least == 0 if isinstance(form, contract.Many) else form.optional:
            return (), False
        self._nobody(key, kind, upstream, wanted, form)
        return None

    def _nobody(
        self, key: Key, kind: str, upstream: Sequence[str], wanted: str, form: contract.One | contract.Many
    ) -> None:
        of, stages = self._passed(kind)
        made = [type_ for stage in upstream for type_ in self.made[kind][stage].produces.values()]
        made += self._raw_types(kind)
        theirs = [type_ for stage in stages for type_ in self.made[of][stage].produces.values()]
        theirs += self._raw_types(of) if of else []
        if form.type in theirs:
            self._wrong(key, f"input {wanted!r} with One({form.type!r}) of members", f"Many({form.type!r})")
            return
        place = (
            f"one of the types made before: {choose(form.type, {*made, *theirs})}"
            if made or theirs
            else ("a type that is made before; none is")
        )
        self._wrong(key, f"input {wanted!r} of type {form.type!r}, which nothing before makes", place)

    def _passed(self, kind: str) -> tuple[str, tuple[str, ...]]:
        """The kind of a group's members and the stages that they have passed, nearest first."""
        group = self.file.items[kind].group
        if group is None:
            return "", ()
        return group.of, (group.at, *self.routes[group.of].upstream(group.at)) if group.at else ()

    def _offers(
        self, kind: str, route: Route, stages: Collection[str], form: contract.One | contract.Many
    ) -> list[Producer]:
        """Outputs of the type asked for, nearest first; for One without those that a nearer one hides."""
        made = self.made[kind]
        offers = [
            (stage, output)
            for stage in reversed(route.names)
            if stage in stages
            for output, type_ in made[stage].produces.items()
            if type_ == form.type
        ]
        if isinstance(form, contract.Many):
            return offers
        sure = [stage for stage, output in offers if output not in made[stage].optional]
        return [offer for offer in offers if not any(offer[0] in route.upstream(stage) for stage in sure)]

    def _chosen(
        self, key: Key, wanted: str, form: contract.Input, offers: list[Producer], route: Route
    ) -> tuple[Producer, ...]:
        """The makers of an input: where several are equally near, the one that bears the input's name."""
        if isinstance(form, contract.Many):
            return tuple(offers)
        first, rest = offers[0], offers[1:]
        if all(stage in route.upstream(first[0]) for stage, _ in rest):
            return tuple(offers)
        for by in (1, 0):  # the output's name, else the stage's
            alike = [offer for offer in offers if offer[by] == wanted]
            if len(alike) == 1:
                return tuple(alike)
        found = " and ".join(f"{stage}.{output}" for stage, output in offers)
        expected = f'inputs = {{ {wanted} = "{first[0]}.{first[1]}" }} or another of them'
        self._wrong(key, f"several makers of input {wanted!r}: {found}", expected)
        return ()

    def _said(
        self, key: Key, kind: str, upstream: Sequence[str], said: str, type_: str
    ) -> tuple[tuple[Producer, ...], bool] | None:
        of, stages = self._passed(kind)
        owner, names_ = (kind, upstream) if said.partition(".")[0] in upstream or not of else (of, stages)
        producers = self._named(key, owner, names_, said, type_)
        return (producers, owner != kind) if producers else None

    def _named(
        self, key: Key, kind: str, stages: Sequence[str], said: str, type_: str = ""
    ) -> tuple[Producer, ...]:
        """The outputs that ``"stage"`` or ``"stage.output"`` names, of a type if one is given; none is told."""
        stage, _, output = said.partition(".")
        if stage not in stages:
            self._wrong(key, describe(said), f"an earlier stage: {choose(stage, stages)}")
            return ()
        made = self.made[kind][stage]
        if output and output not in made.produces:
            self._wrong(key, describe(said), f"an output of {stage}: {choose(output, made.produces)}")
            return ()
        outputs = {output: made.produces[output]} if output else made.produces
        found = tuple((stage, name) for name, made_type in outputs.items() if not type_ or made_type == type_)
        if not found:
            types = " and ".join(sorted(set(made.produces.values()))) or "nothing"
            self._wrong(key, f"{describe(said)}, which makes {types}", f"a maker of {type_ or 'something'}")
        return found

    def _published(
        self, key: Key, kind: str, route: Route, name: str, table: PublishTable
    ) -> Iterator[InputPlan]:
        upstream = route.upstream(name)
        for number, stage in enumerate(table.requires):
            if stage not in upstream:
                self._wrong(
                    (*key, "requires", number),
                    describe(stage),
                    f"an earlier stage: {choose(stage, upstream)}",
                )
        chosen: list[Producer] = []
        for number, said in enumerate(table.products):
            chosen += self._named((*key, "products", number), kind, upstream, said)
        if not table.products:
            made = self.made[kind]
            chosen = [(stage, output) for stage in reversed(upstream) for output in made[stage].produces]
            if not chosen:
                self._wrong(key, "nothing to publish", "a stage before it that makes a product")
        yield from (self._of(kind, stage, output) for stage, output in dict.fromkeys(chosen))

    def _delivered(
        self, key: Key, kind: str, upstream: Sequence[str], table: DeliverTable
    ) -> Iterator[InputPlan]:
        """What is put on a record: what is named, or all that was made of what was retrieved."""
        chosen: list[Producer] = []
        for number, said in enumerate(table.products):
            chosen += self._named((*key, "products", number), kind, upstream, said)
        if not table.products:
            made = self.made[kind]
            chosen = [
                (stage, output)
                for stage in reversed(upstream)
                if not isinstance(made[stage].table, RetrieveTable)
                for output in made[stage].produces
            ]
            if not chosen:
                self._wrong(key, "nothing to deliver", "a stage before it that makes a product")
        yield from (self._of(kind, stage, output) for stage, output in dict.fromkeys(chosen))

    def _shown(self, kind: str, upstream: Sequence[str]) -> Iterator[InputPlan]:
        """What whoever decides at a gate is shown, and decides for: all that the stages before it made, and judged."""
        for stage in upstream:
            yield from (self._of(kind, stage, output) for output in self.made[kind][stage].produces)
        yield InputPlan("verdicts", "verdicts")

    def _certified(self, key: Key, kind: str, stages: Sequence[str], said: str) -> Iterator[InputPlan]:
        """What a stage `certify` takes: an output of an earlier stage, or the item's one raw file."""
        types = dict.fromkeys(self._raw_types(kind))
        if said != RAW or RAW in stages:
            yield from (self._of(kind, *one) for one in self._named(key, kind, stages, said))
        elif len(types) == 1:
            yield InputPlan(RAW, "one", next(iter(types)), (("", ""),))
        else:
            found = "raw files of the types " + " and ".join(map(repr, types)) if types else "no raw files"
            self._wrong(key, f"{said!r}, and {found}", 'one type of raw files, or "stage.output"')

    def _of(self, kind: str, stage: str, output: str) -> InputPlan:
        """All of one output of a stage, as an input called ``stage.output``."""
        made = self.made[kind][stage]
        is_optional = output in made.optional
        return InputPlan(
            f"{stage}.{output}", "many", made.produces[output], ((stage, output),), optional=is_optional,
            least=0 if is_optional else 1,
        )  # fmt: skip

    def _raw_types(self, kind: str) -> list[str]:
        """The types of the raw files of a kind; what is fetched is made by the stage `fetch`."""
        sources = self.file.sources.values()
        return [
            s.type for s in sources if s.item == kind and not isinstance(s, FetchSourceTable | RecordsTable)
        ]


def _is_role(form: contract.One | contract.Many) -> bool:
    """Whether files of a role are asked for that must be there: a run without would wait for ever."""
    is_needed = form.least > 0 if isinstance(form, contract.Many) else not form.optional
    return is_needed and form.type.startswith(DEPOSIT)
