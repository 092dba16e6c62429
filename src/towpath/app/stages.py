"""Finds the stage behind each table of a route: its class, validated parameters, and what it takes and makes.

Promises that parameters are complete (defaults filled in) and are plain JSON. Never runs a stage.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from towpath.adapters.executors.command import PLACEHOLDER
from towpath.app.plugins import attribute
from towpath.app.problems import Problem, choose, describe, validate
from towpath.app.tables import Key
from towpath.base.errors import TowpathError
from towpath.contracts.judging import MEASURES, Measured
from towpath.contracts.orders import GateSettings, Given
from towpath.contracts.pipeline import (
    BUILTIN,
    AssessTable,
    CertifyTable,
    CodeTable,
    CommandTable,
    DeliverTable,
    FetchSourceTable,
    FetchTable,
    GateTable,
    HandoffTable,
    PublishTable,
    QualifyTable,
    RecordsTable,
    RetrieveTable,
    SnapshotTable,
    StageTable,
)
from towpath.contracts.plugin import Plugin, snake
from towpath.contracts.publication import PublishSettings
from towpath.contracts.stage import Input, Many, One, Record, Stage

TARGETS = {
    "qualify": "towpath.flow.qualify:Qualify",
    "assess": "towpath.flow.assess:Assess",
    "snapshot": "towpath.flow.assess:Snapshot",
    "command": "towpath.adapters.executors.command:Command",
    "fetch": "towpath.adapters.sources.fetch:Fetch",
}
# What may change of an order without the question being another.
_NOT_ASKED = frozenset({"people", "lease", "remind", "timeout", "on_timeout", "inbox", "notify", "opens"})
LOCAL = "towpath.adapters.sources.fetch:LocalFiles"
DEPOSIT = "deposit/"  # before a role: the type of its files


@dataclass(frozen=True, slots=True)
class Made:
    """A stage found. `identity` is what its key calls it; `service` names the daemon's own handler, else ""."""

    table: StageTable
    identity: str
    target: str = ""
    version: str = "1"
    params: Mapping[str, Any] = field(default_factory=dict)
    consumes: Mapping[str, Input] = field(default_factory=dict)
    produces: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    service: str = ""
    unkeyed: frozenset[str] = frozenset()

    @property
    def keyed(self) -> dict[str, Any]:
        """The parameters that enter the key."""
        return {name: value for name, value in self.params.items() if name not in self.unkeyed}


class Finder:
    """Finds stages for one pipeline file, collecting in `problems` what is wrong.

    Parameters
    ----------
    plugin
        What the pipeline brings.
    find
        Gives the plug-in of another pipeline by name.
    sources
        The fetch source of each kind that has one.
    records
        The source of record files of each kind that has one.
    """

    def __init__(
        self,
        plugin: Plugin,
        find: Callable[[str], Plugin],
        sources: Mapping[str, FetchSourceTable],
        records: Mapping[str, RecordsTable],
    ) -> None:
        self.plugin, self.find, self.sources, self.records = plugin, find, sources, records
        self.problems: list[Problem] = []

    def make(self, kind: str, name: str, table: StageTable | None, upstream: Sequence[str]) -> Made | None:
        """The stage `name` of a kind's route; `upstream` are the stages before it, nearest first. None if wrong."""
        key: Key = ("items", kind, "stages", name) if table else ("items", kind, "route")
        if table is None:
            needs_nothing = name in BUILTIN and name not in ("command", "certify", "handoff")
            table = BUILTIN[name].model_validate({"kind": name}) if needs_nothing else CodeTable()
        if isinstance(table, QualifyTable | AssessTable):
            return self._judge(key, table, upstream)
        if isinstance(table, FetchTable):
            return self._fetch(key, kind, table)
        if isinstance(table, PublishTable):
            params = table.model_dump(mode="json", include=set(PublishSettings.model_fields))
            return Made(table, "publish", params=params, service="publish")
        if isinstance(table, CertifyTable):
            params = table.model_dump(mode="json", exclude=set(StageTable.model_fields))
            return Made(table, "certify", params=params, service="certify")
        if isinstance(table, GateTable):
            params = table.model_dump(mode="json", include=set(GateSettings.model_fields))
            return Made(table, "gate", params=params, service="gate", unkeyed=_NOT_ASKED)
        if isinstance(table, HandoffTable):
            return self._handoff(key, table)
        if isinstance(table, RetrieveTable | DeliverTable):
            return self._carried(key, kind, table)
        if isinstance(table, CommandTable):
            return self._command(key, table)
        if isinstance(table, SnapshotTable):
            return self._builtin(key, table, {"type": table.type, "file": table.file})
        assert isinstance(table, CodeTable)
        return self._code(key, name, table)

    def _handoff(self, key: Key, table: HandoffTable) -> Made | None:
        if table.check:
            try:
                attribute(table.check)
            except ImportError as error:
                self._wrong(
                    (*key, "check"), describe(table.check), f"a function that can be imported ({error})"
                )
                return None
        return Made(
            table,
            "handoff",
            params=table.model_dump(mode="json", exclude=set(StageTable.model_fields)),
            consumes={name: _taken(one) for name, one in table.consumes.items()},
            produces={name: one.type for name, one in table.produces.items()},
            optional=frozenset(name for name, one in table.produces.items() if one.optional),
            service="handoff",
            unkeyed=_NOT_ASKED,
        )

    def _carried(self, key: Key, kind: str, table: RetrieveTable | DeliverTable) -> Made | None:
        source = self.records.get(kind)
        if source is None:
            expected = "a source of kind records for these items"
            self._wrong(key, f"{table.kind}, and no repository that the items come from", expected)
            return None
        where = {"repository": source.repository}
        if isinstance(table, DeliverTable):
            params = {**where, "products": list(table.products), "name": table.name}
            return Made(table, "deliver", params=params, service="deliver", unkeyed=frozenset(where))
        return Made(
            table,
            "retrieve",
            params=where,
            consumes={"record": Record()},
            produces={role: f"{DEPOSIT}{role}" for role in source.match},
            optional=frozenset(role for role, one in source.match.items() if one.optional),
            service="retrieve",
            unkeyed=frozenset(where),
        )

    def _wrong(self, key: Key, found: str, expected: str) -> None:
        self.problems.append(Problem(key, found, expected))

    def provider(self, key: Key, name: str) -> str:
        """The import path of a provider of this pipeline, or of ``module:Class``; "" if there is none."""
        if ":" in name:
            try:
                attribute(name)
            except ImportError as error:
                self._wrong(key, describe(name), f"a provider that can be imported ({error})")
                return ""
            return name
        found = self.plugin.provider(name)
        if found is None and name == "local":
            return LOCAL
        if found is None:
            known = ["local", *(getattr(provider, "name", "") for provider in self.plugin.providers)]
            self._wrong(key, describe(name), f"a provider: {choose(name, known)}")
            return ""
        return f"{found.__module__}:{found.__qualname__}"

    # ---- code
    def _code(self, key: Key, name: str, table: CodeTable) -> Made | None:
        found = self._class(key, name, table.uses)
        if found is None:
            return None
        stage, identity = found
        return self._instance(
            key, table, stage, identity, f"{stage.__module__}:{stage.__qualname__}", table.params
        )

    def _class(self, key: Key, name: str, uses: str) -> tuple[type[Stage], str] | None:
        if not uses:
            stage = self.plugin.stage(name)
            if stage is None:
                known = [snake(stage.__name__) for stage in self.plugin.stages]
                expected = f"a stage of pipeline {self.plugin.name} ({choose(name, known)}), or uses"
                self._wrong(key, f"stage {name!r}", expected)
            return (stage, f"{self.plugin.name}.{stage.__name__}") if stage else None
        if ":" in uses:
            return self._imported((*key, "uses"), uses)
        owner, _, wanted = uses.rpartition(".")
        try:
            plugin = self.plugin if owner in ("", self.plugin.name) else self.find(owner)
        except TowpathError as error:
            self._wrong((*key, "uses"), describe(uses), f"a stage of an installed pipeline ({error})")
            return None
        stage = plugin.stage(wanted)
        if stage is None:
            known = [stage.__name__ for stage in plugin.stages]
            self._wrong(
                (*key, "uses"), describe(uses), f"a stage of pipeline {plugin.name}: {choose(wanted, known)}"
            )
        return (stage, f"{plugin.name}.{stage.__name__}") if stage else None

    def _imported(self, key: Key, uses: str) -> tuple[type[Stage], str] | None:
        try:
            found = attribute(uses)
        except ImportError as error:
            self._wrong(key, describe(uses), f"a stage that can be imported ({error})")
            return None
        if isinstance(found, type) and issubclass(found, Stage):
            return found, uses
        self._wrong(key, describe(uses), "a subclass of towpath.Stage")
        return None

    def _builtin(self, key: Key, table: StageTable, params: Mapping[str, Any]) -> Made | None:
        target = TARGETS[table.kind]
        return self._instance(key, table, attribute(target), table.kind, target, params)

    def _instance(
        self,
        key: Key,
        table: StageTable,
        stage: type[Stage],
        identity: str,
        target: str,
        params: Mapping[str, Any],
    ) -> Made | None:
        instance, problems = validate(stage, json.dumps(params))
        if instance is None:
            place = (*key, "params") if isinstance(table, CodeTable) and table.params else key
            self.problems += [Problem((*place, *p.key), p.found, p.expected) for p in problems]
            return None
        full = instance.model_dump(mode="json")
        try:
            consumes, produces = stage.declared(full)
        except (ValueError, ImportError) as error:
            self._wrong(key, "what cannot be", str(error))
            return None
        return Made(
            table,
            identity,
            target,
            stage.version,
            full,
            consumes,
            produces,
            stage.optional_outputs,
            unkeyed=stage.unkeyed,
        )

    # ---- built-in kinds
    def _judge(self, key: Key, table: QualifyTable | AssessTable, upstream: Sequence[str]) -> Made | None:
        measures: dict[str, Measured] = {}
        for number, rule in enumerate(table.rules):
            place = (*key, "rules", number)
            found = self.plugin.measure(rule.measure)
            if found is not None:
                measures[rule.measure] = found
                if rule.unit and rule.unit != found.unit:
                    self._wrong(
                        (*place, "unit"), describe(rule.unit), f"{found.unit!r}, the unit of {rule.measure}"
                    )
            elif rule.measure not in MEASURES and not upstream:
                known = {*MEASURES, *(measure.name for measure in self.plugin.measures)}
                self._wrong((*place, "measure"), describe(rule.measure), choose(rule.measure, known))
        params = {
            "rules": [rule.model_dump(mode="json") for rule in table.rules],
            "measures": {name: {"target": m.target, "version": m.version} for name, m in measures.items()},
            "upstream": list(upstream),
        }
        return self._builtin(key, table, params)

    def _fetch(self, key: Key, kind: str, table: FetchTable) -> Made | None:
        source = self.sources.get(kind)
        name, settings = (table.provider, table.settings) if table.provider else ("", {})
        if source and not name:
            name, settings = source.provider, {**source.settings, **table.settings}
        if not name:
            self._wrong(key, "no provider", "provider here, or a source of kind fetch for these items")
            return None
        target = self.provider((*key, "provider"), name)
        if not target:
            return None
        raw_type = table.type or (source.type if source else "raw/file")
        return self._builtin(key, table, {"provider": target, "settings": settings, "type": raw_type})

    def _command(self, key: Key, table: CommandTable) -> Made | None:
        allowed = {f"input.{name}" for name in table.consumes} | {f"output.{name}" for name in table.produces}
        allowed |= {f"param.{name}" for name in table.params}
        allowed |= {"item.key", "item.kind", "item.pipeline", "scratch", "cores"}
        words: list[tuple[Key, str]] = [
            ((*key, "argv", number), word) for number, word in enumerate(table.argv)
        ]
        words += [((*key, "env", name), word) for name, word in table.env.items()]
        before = len(self.problems)
        for place, word in words:
            unknown = {match[2] for match in PLACEHOLDER.finditer(word) if match[2]} - allowed
            for name in sorted(unknown):
                self._wrong(place, f"{{{name}}}", choose(name, allowed))
        if len(self.problems) > before:
            return None
        own = set(CommandTable.model_fields) - set(StageTable.model_fields)
        params = table.model_dump(mode="json", include=own)
        for name, output in params["produces"].items():
            output["file"] = output["file"] or name
        return self._builtin(key, table, params)


def _taken(one: Given) -> Input:
    return One(one.type, one.optional) if one.form == "one" else Many(one.type, 0 if one.optional else 1)
