"""Resolves a validated pipeline file into a definition: who makes what each stage reads, and what follows what.

Promises that every input has its makers, every name its thing and no kind of item comes from itself; all that is wrong
is told at once. Never reads a file.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from towpath.adapters.sources.pattern import Pattern
from towpath.app.problems import Problem, choose, describe
from towpath.app.stages import Finder, Made
from towpath.app.tables import Key
from towpath.base import hashing
from towpath.base.errors import DefinitionError
from towpath.base.provenance import Fixed
from towpath.base.template import names
from towpath.contracts import stage as contract
from towpath.contracts.definition import Definition, GroupPlan, InputPlan, KindPlan, SourcePlan, StagePlan
from towpath.contracts.executor import Resources
from towpath.contracts.pipeline import (
    CertifyTable,
    FetchSourceTable,
    FolderTable,
    ItemTable,
    PipelineFile,
    Plugin,
    PublishTable,
)
from towpath.contracts.route import Route, parse

_FACTS = {contract.Flags: "flags", contract.Verdicts: "verdicts", contract.Record: "record"}
_TIMES = ("time.begin", "time.mid", "time.end")
_OWN_SETTINGS = {"kind", "item", "type", "complete", "timeout", "on_timeout", "join_within", "late"}
_STAGE_SETTINGS = ("reaches", "rejects", "keep", "attempts", "backoff", "priority", "verify")

Producer = tuple[str, str]  # stage and output; ("", "") is raw files


def resolve(
    file: PipelineFile, content: Mapping[str, Any], plugin: Plugin, find: Callable[[str], Plugin]
) -> tuple[Definition | None, list[Problem]]:
    """The definition of a pipeline file, or everything that is wrong with it.

    Parameters
    ----------
    file
        The file, validated.
    content
        Its merged content, which is kept and decides the digest.
    plugin
        What the pipeline brings.
    find
        Gives the plug-in of another pipeline by name.
    """
    resolver = _Resolver(file, plugin, find)
    definition = resolver.definition(content)
    return (None if resolver.problems else definition), resolver.problems


class _Resolver:
    """One resolution: routes first, then stages, then inputs and groups, then sources."""

    def __init__(self, file: PipelineFile, plugin: Plugin, find: Callable[[str], Plugin]) -> None:
        self.file = file
        fetches = {s.item: s for s in file.sources.values() if isinstance(s, FetchSourceTable)}
        self.finder = Finder(plugin, find, fetches)
        self.problems = self.finder.problems
        self.routes = {kind: route for kind, item in file.items.items() if (route := self._route(kind, item))}
        self.made = {kind: self._stages(kind, route) for kind, route in self.routes.items()}

    def _wrong(self, key: Key, found: str, expected: str) -> None:
        self.problems.append(Problem(key, found, expected))

    def definition(self, content: Mapping[str, Any]) -> Definition:
        table = self.file.pipeline
        self._group_cycles()
        sources = {name: self._source(name) for name in self.file.sources}
        kinds = {kind: self._kind(kind, item) for kind, item in self.file.items.items() if kind in self.routes}
        versions = {f"{kind}.{n}": [m.identity, m.version] for kind, all_ in self.made.items() for n, m in all_.items()}
        return Definition(
            pipeline=table.name,
            version=table.version,
            digest=hashing.digest({"content": content, "stages": versions}),
            kinds=kinds,
            sources=sources,
            content=content,
            licence=table.licence,
            citation=table.citation,
            doi=table.doi,
            layout=self.file.store.layout,
        )

    # ---- routes and stages
    def _route(self, kind: str, item: ItemTable) -> Route | None:
        route = parse(item.route)
        optional = {stage.name for stage in route.stages if stage.optional}
        off = {name for name, table in item.stages.items() if not table.enabled}
        for name in item.stages:
            if name not in route.names:
                self._wrong(("items", kind, "stages", name), "a stage that is not in the route", item.route)
        for name in sorted(off - optional):
            if name in route.names:
                self._wrong(
                    ("items", kind, "stages", name, "enabled"), "false", f"true, or {name + '?'!r} in the route"
                )
        try:
            return route.without(off & optional)
        except DefinitionError:
            self._wrong(("items", kind, "route"), "only stages that are switched off", "at least one that is not")
            return None

    def _stages(self, kind: str, route: Route) -> dict[str, Made]:
        tables = self.file.items[kind].stages
        found = {name: self.finder.make(kind, name, tables.get(name), route.upstream(name)) for name in route.names}
        return {name: made for name, made in found.items() if made is not None}

    def _kind(self, kind: str, item: ItemTable) -> KindPlan:
        route = self.routes[kind]
        group = self._group(kind, item) if item.group else None
        stages = {
            step.name: self._stage(kind, depth, route, self.made[kind][step.name])
            for depth, step in enumerate(route.stages)
            if step.name in self.made[kind]
        }
        return KindPlan(
            pipeline=self.file.pipeline.name,
            name=kind,
            stages=stages,
            group=group,
            gathered=bool(group) or any(s.complete != 1 or s.timeout for s in self._folders(kind)),
            route=route.text,
            reaches=item.reaches,
            priority=item.priority,
            time=item.time,
            footprint=item.footprint,
        )

    def _stage(self, kind: str, depth: int, route: Route, made: Made) -> StagePlan:
        step, table = route.stages[depth], made.table
        inputs = tuple(self._inputs(kind, step.name, route, made))
        group = self.file.items[kind].group
        resources = table.resources
        return StagePlan(
            pipeline=self.file.pipeline.name,
            kind=kind,
            name=step.name,
            depth=depth,
            target=made.target,
            version=made.version,
            params=made.params,
            fixed=Fixed.of(made.identity, made.version, made.params, self.file.pipeline.environment),
            inputs=inputs,
            outputs=dict(made.produces),
            optional_outputs=made.optional,
            before=step.before,
            after=step.after,
            member_stage=group.at if group and any(plan.members for plan in inputs) else "",
            resources=Resources(resources.cores, resources.memory, resources.time, resources.gpu),
            service=made.service,
            **{name: getattr(table, name) for name in _STAGE_SETTINGS},
        )

    # ---- inputs
    def _inputs(self, kind: str, name: str, route: Route, made: Made) -> Iterator[InputPlan]:
        key: Key = ("items", kind, "stages", name)
        for unknown in sorted(set(made.table.inputs) - set(made.consumes)):
            self._wrong((*key, "inputs", unknown), "an unknown input", choose(unknown, made.consumes))
        if isinstance(made.table, PublishTable):
            yield from self._published(key, kind, route, name, made.table)
        elif isinstance(made.table, CertifyTable):
            producer = self._named((*key, "product"), kind, route.upstream(name), made.table.product)
            yield from (self._of(kind, *one) for one in producer)
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
            return InputPlan(
                wanted, "calibration", form.kind, optional=form.optional, at=form.at, selector=form.selector
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
        if all(stage in self.made[kind] for stage in upstream):
            self._nobody(key, kind, upstream, wanted, form)
        return None

    def _nobody(
        self, key: Key, kind: str, upstream: Sequence[str], wanted: str, form: contract.One | contract.Many
    ) -> None:
        of, stages = self._passed(kind)
        made = [t for stage in upstream if stage in self.made[kind] for t in self.made[kind][stage].produces.values()]
        made += self._raw_types(kind)
        theirs = [t for stage in stages if stage in self.made[of] for t in self.made[of][stage].produces.values()]
        theirs += self._raw_types(of) if of else []
        if form.type in theirs:
            self._wrong(key, f"input {wanted!r} with One({form.type!r}) of members", f"Many({form.type!r})")
            return
        place = f"one of the types made before: {choose(form.type, {*made, *theirs})}" if made or theirs else (
            "a type that is made before; none is"
        )
        self._wrong(key, f"input {wanted!r} of type {form.type!r}, which nothing before makes", place)

    def _passed(self, kind: str) -> tuple[str, tuple[str, ...]]:
        """The kind of a group's members and the stages that they have passed, nearest first."""
        group = self.file.items[kind].group
        if group is None or group.of not in self.routes:
            return "", ()
        route = self.routes[group.of]
        at = group.at
        return group.of, (at, *route.upstream(at)) if at in route.names else ()

    def _offers(
        self, kind: str, route: Route, stages: Collection[str], form: contract.One | contract.Many
    ) -> list[Producer]:
        """Outputs of the type asked for, nearest first; for One without those that a nearer one hides."""
        made = self.made[kind]
        offers = [
            (stage, output)
            for stage in reversed(route.names)
            if stage in stages and stage in made
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
        alike = [offer for offer in offers if wanted in offer]
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
        made = self.made[kind].get(stage)
        if made is None:
            return ()
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
                self._wrong((*key, "requires", number), describe(stage), f"an earlier stage: {choose(stage, upstream)}")
        chosen: list[Producer] = []
        for number, said in enumerate(table.products):
            chosen += self._named((*key, "products", number), kind, upstream, said)
        if not table.products:
            made = self.made[kind]
            chosen = [(s, output) for s in route.names if s in upstream and s in made for output in made[s].produces]
            if not chosen and all(stage in made for stage in upstream):
                self._wrong(key, "nothing to publish", "a stage before it that makes a product")
        yield from (self._of(kind, stage, output) for stage, output in dict.fromkeys(chosen))

    def _of(self, kind: str, stage: str, output: str) -> InputPlan:
        """All of one output of a stage, as an input called ``stage.output``."""
        made = self.made[kind][stage]
        is_optional = output in made.optional
        return InputPlan(
            f"{stage}.{output}", "many", made.produces[output], ((stage, output),), optional=is_optional,
            least=0 if is_optional else 1,
        )  # fmt: skip

    # ---- groups
    def _group(self, kind: str, item: ItemTable) -> GroupPlan | None:
        group = item.group
        assert group is not None
        key: Key = ("items", kind, "group")
        if group.of not in self.file.items:
            self._wrong((*key, "of"), describe(group.of), f"a kind of item: {choose(group.of, self.file.items)}")
            return None
        if group.at and group.of in self.routes and group.at not in self.routes[group.of].names:
            known = choose(group.at, self.routes[group.of].names)
            self._wrong((*key, "at"), describe(group.at), f"a stage of {group.of}: {known}")
        return GroupPlan(**group.model_dump())

    def _group_cycles(self) -> None:
        of = {kind: item.group.of for kind, item in self.file.items.items() if item.group}
        told: set[str] = set()
        for kind in of:
            chain = [kind]
            while (following := of.get(chain[-1], "")) and following not in chain:
                chain.append(following)
            if following == kind and kind not in told:
                told.update(chain)
                path = " of ".join([*chain, kind])
                self._wrong(("items", kind, "group", "of"), f"a cycle of groups ({path})", "groups of other items")

    # ---- sources
    def _folders(self, kind: str) -> list[FolderTable]:
        return [s for s in self.file.sources.values() if isinstance(s, FolderTable) and s.item == kind]

    def _raw_types(self, kind: str) -> list[str]:
        """The types of the raw files of a kind; what is fetched is made by the stage `fetch`."""
        sources = self.file.sources.values()
        return [s.type for s in sources if s.item == kind and not isinstance(s, FetchSourceTable)]

    def _source(self, name: str) -> SourcePlan:
        source, key = self.file.sources[name], ("sources", name)
        item = self.file.items.get(source.item)
        if item is None:
            known = choose(source.item, self.file.items)
            self._wrong((*key, "item"), describe(source.item), f"a kind of item: {known}")
        elif item.group:
            self._wrong((*key, "item"), f"{source.item!r}, which is a group", "a kind that is not made of others")
        settings = source.model_dump(mode="json", exclude=_OWN_SETTINGS, exclude_none=True)
        if isinstance(source, FolderTable):
            settings["time"] = self._folder(key, source)
        if isinstance(source, FetchSourceTable):
            settings["provider"] = self.finder.provider((*key, "provider"), source.provider)
            self._repeated(key, source)
        shared = {n: getattr(source, n) for n in ("complete", "timeout", "on_timeout", "join_within", "late")
                  if n in type(source).model_fields}  # fmt: skip
        return SourcePlan(
            self.file.pipeline.name, name, source.kind, source.item, settings, source.type, **shared
        )

    def _repeated(self, key: Key, source: FetchSourceTable) -> None:
        keys = [request.key for request in source.requests]
        for number, name in enumerate(keys):
            if name in keys[:number]:
                self._wrong((*key, "requests", number, "key"), f"{name!r} a second time", "each key once")

    def _folder(self, key: Key, source: FolderTable) -> str:
        """Check a folder's patterns and templates; returns the field that is the item's time, "" if there is none."""
        patterns: list[Pattern] = []
        for text in source.pattern:
            try:
                patterns.append(Pattern(text))
            except ValueError as error:
                self._wrong((*key, "pattern"), describe(text), f"a pattern ({error})")
        fields = set.intersection(*(set(p.fields) for p in patterns)) if patterns else set()
        if len(patterns) < len(source.pattern):
            return source.time
        self._template((*key, "key"), source.key, fields)
        if source.part is not None:
            self._template((*key, "part"), source.part, fields)
        time = source.time or next((name for pattern in patterns for name in pattern.times if name in fields), "")
        if source.time and source.time not in fields:
            self._wrong((*key, "time"), describe(source.time), f"a field of the pattern: {choose(source.time, fields)}")
        if source.join_within and not time:
            expected = "a time in the pattern, such as {time:%Y%m%dT%H%M%S}"
            self._wrong((*key, "join_within"), "no time to join by", expected)
        return time

    def _template(self, key: Key, template: str, fields: Collection[str]) -> None:
        try:
            wanted = names(template)
        except ValueError as error:
            self._wrong(key, describe(template), f"a template ({error})")
            return
        for name in wanted:
            if name not in fields:
                self._wrong(key, describe(template), f"fields of the pattern: {choose(name, fields)}")
