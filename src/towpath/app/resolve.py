"""Resolves a validated pipeline file into a definition: routes, stages, groups, sources.

Promises that every name has its thing and no kind of item comes from itself; all that is wrong is told at once. Never
reads a file.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from towpath.adapters.sources.pattern import Pattern
from towpath.app.makers import Makers
from towpath.app.problems import Problem, choose, describe
from towpath.app.stages import Finder, Made
from towpath.app.tables import Key
from towpath.base import hashing
from towpath.base.errors import DefinitionError
from towpath.base.provenance import Fixed
from towpath.base.template import names
from towpath.contracts.definition import Definition, GroupPlan, Keep, KindPlan, SourcePlan, StagePlan
from towpath.contracts.executor import Resources
from towpath.contracts.pipeline import FetchSourceTable, FolderTable, ItemTable, PipelineFile, RecordsTable
from towpath.contracts.plugin import Plugin
from towpath.contracts.records import LONGEST_KEY, LONGEST_NUMBER, LONGEST_RECORD
from towpath.contracts.route import Route, parse

_OWN_SETTINGS = {"kind", "item", "type", "complete", "timeout", "on_timeout", "join_within", "late"}
_STAGE_SETTINGS = ("reaches", "rejects", "attempts", "backoff", "priority", "verify")


def _kept(value: str | float) -> Keep:
    return Keep(value.removeprefix("until ")) if isinstance(value, str) else Keep("age", value)


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
        records = {s.item: s for s in file.sources.values() if isinstance(s, RecordsTable)}
        self.finder = Finder(plugin, find, fetches, records)
        self.problems = self.finder.problems
        self.routes = {kind: route for kind, item in file.items.items() if (route := self._route(kind, item))}
        self.made = {kind: self._stages(kind, route) for kind, route in self.routes.items()}
        self.makers = Makers(file, self.routes, self.made, self.problems)

    def _wrong(self, key: Key, found: str, expected: str) -> None:
        self.problems.append(Problem(key, found, expected))

    def definition(self, content: Mapping[str, Any]) -> Definition | None:
        table = self.file.pipeline
        sources = {name: self._source(name) for name in self.file.sources}
        groups = {kind: self._group(kind, item) for kind, item in self.file.items.items() if item.group}
        self._group_cycles()
        if self.problems:  # what is wrong now would only make inputs look wrong too
            return None
        kinds = {kind: self._kind(kind, item, groups.get(kind)) for kind, item in self.file.items.items()}
        versions = {
            f"{kind}.{n}": [m.identity, m.version]
            for kind, all_ in self.made.items()
            for n, m in all_.items()
        }
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
                    ("items", kind, "stages", name, "enabled"),
                    "false",
                    f"true, or {name + '?'!r} in the route",
                )
        try:
            return route.without(off & optional)
        except DefinitionError:
            self._wrong(
                ("items", kind, "route"), "only stages that are switched off", "at least one that is not"
            )
            return None

    def _stages(self, kind: str, route: Route) -> dict[str, Made]:
        tables = self.file.items[kind].stages
        found = {
            name: self.finder.make(kind, name, tables.get(name), route.upstream(name)) for name in route.names
        }
        return {name: made for name, made in found.items() if made is not None}

    def _kind(self, kind: str, item: ItemTable, group: GroupPlan | None) -> KindPlan:
        route = self.routes[kind]
        stages = {
            step.name: self._stage(kind, depth, route, self.made[kind][step.name])
            for depth, step in enumerate(route.stages)
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
        inputs = tuple(self.makers.inputs(kind, step.name))
        resources = table.resources
        return StagePlan(
            pipeline=self.file.pipeline.name,
            kind=kind,
            name=step.name,
            depth=depth,
            target=made.target,
            version=made.version,
            params=made.params,
            fixed=Fixed.of(made.identity, made.version, made.keyed, self.file.pipeline.environment),
            inputs=inputs,
            outputs=dict(made.produces),
            optional_outputs=made.optional,
            before=step.before,
            after=step.after,
            resources=Resources(
                resources.cores, resources.memory, resources.time, resources.gpu, resources.disk
            ),
            service=made.service,
            keep=self._keep(kind, step.name, made),
            **{name: getattr(table, name) for name in _STAGE_SETTINGS},
        )

    def _keep(self, kind: str, name: str, made: Made) -> dict[str, Keep]:
        """The outputs of a stage that do not always stay, with how long they do."""
        said, key = made.table.keep, ("items", kind, "stages", name, "keep")
        if not made.produces and said != "always":
            self._wrong(key, describe(said), "no such key: the stage makes no products")
            return {}
        of_outputs = said if isinstance(said, dict) else dict.fromkeys(made.produces, said)
        for output in sorted(set(of_outputs) - set(made.produces)):
            self._wrong((*key, output), "an unknown output", choose(output, made.produces))
        return {output: _kept(value) for output, value in of_outputs.items() if value != "always"}

    # ---- groups
    def _group(self, kind: str, item: ItemTable) -> GroupPlan | None:
        group = item.group
        assert group is not None
        key: Key = ("items", kind, "group")
        if group.of not in self.file.items:
            self._wrong(
                (*key, "of"), describe(group.of), f"a kind of item: {choose(group.of, self.file.items)}"
            )
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
                self._wrong(
                    ("items", kind, "group", "of"), f"a cycle of groups ({path})", "groups of other items"
                )

    # ---- sources
    def _folders(self, kind: str) -> list[FolderTable]:
        return [s for s in self.file.sources.values() if isinstance(s, FolderTable) and s.item == kind]

    def _source(self, name: str) -> SourcePlan:
        source, key = self.file.sources[name], ("sources", name)
        item = self.file.items.get(source.item)
        if item is None:
            known = choose(source.item, self.file.items)
            self._wrong((*key, "item"), describe(source.item), f"a kind of item: {known}")
        elif item.group:
            self._wrong(
                (*key, "item"), f"{source.item!r}, which is a group", "a kind that is not made of others"
            )
        settings = source.model_dump(mode="json", exclude=_OWN_SETTINGS, exclude_none=True)
        if isinstance(source, FolderTable):
            settings["time"] = self._folder(key, source)
        if isinstance(source, FetchSourceTable):
            settings["provider"] = self.finder.provider((*key, "provider"), source.provider)
            self._repeated(key, source)
        if isinstance(source, RecordsTable):
            settings["per"] = source.per or next(iter(source.match))
            self._records(key, name, source)
        shared = {n: getattr(source, n) for n in ("complete", "timeout", "on_timeout", "join_within", "late")
                  if n in type(source).model_fields}  # fmt: skip
        raw_type = "" if isinstance(source, RecordsTable) else source.type
        return SourcePlan(
            self.file.pipeline.name, name, source.kind, source.item, settings, raw_type, **shared
        )

    def _records(self, key: Key, name: str, source: RecordsTable) -> None:
        """Check that keys of its items stay short enough, and that these come from nowhere else."""
        room = LONGEST_KEY - LONGEST_RECORD - len("--") - LONGEST_NUMBER
        if len(source.item) > room:
            expected = f"a name of at most {room} characters: a key {{record}}-{{workflow}}-{{n}} has {LONGEST_KEY} at most"
            self._wrong((*key, "item"), f"{source.item!r}, of {len(source.item)} characters", expected)
        others = [
            other for other, one in self.file.sources.items() if one.item == source.item and other != name
        ]
        if others:
            self._wrong(
                (*key, "item"), f"{source.item!r}, which {others[0]!r} gives too", "one source of such items"
            )
        if any(one.content for one in source.match.values()) and not self.finder.plugin.content_of:
            role = next(role for role, one in source.match.items() if one.content)
            expected = "no such key: the pipeline's plug-in cannot tell what files are (content_of)"
            self._wrong((*key, "match", role, "content"), "kinds of content", expected)

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
        time = source.time or next(
            (name for pattern in patterns for name in pattern.times if name in fields), ""
        )
        if source.time and source.time not in fields:
            self._wrong(
                (*key, "time"),
                describe(source.time),
                f"a field of the pattern: {choose(source.time, fields)}",
            )
        if source.join_within and not time:
            expected = "a time in the pattern, such as {time:%Y%m%dT%H%M%S}"
            self._wrong((*key, "join_within"), "no time to join by", expected)
        self._named_by(key, source, fields)
        return time

    def _named_by(self, key: Key, source: FolderTable, fields: Collection[str]) -> None:
        for name in source.named_by:
            if name not in fields:
                expected = f"fields of the pattern: {choose(name, fields)}"
                self._wrong((*key, "named_by", name), describe(name), expected)
        if source.named_by and not source.join_within:
            self._wrong(
                (*key, "named_by"),
                "no join_within",
                "join_within, so that an item has files of several times",
            )
        if source.named_by and source.complete == 1 and not source.timeout:
            expected = "complete other than 1, or a timeout: else an item is complete with its first file"
            self._wrong((*key, "named_by"), "complete = 1", expected)

    def _template(self, key: Key, template: str, fields: Collection[str]) -> None:
        try:
            wanted = names(template)
        except ValueError as error:
            self._wrong(key, describe(template), f"a template ({error})")
            return
        for name in wanted:
            if name not in fields:
                self._wrong(key, describe(template), f"fields of the pattern: {choose(name, fields)}")
