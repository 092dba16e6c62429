"""Assess: the same judgement as at the gate, of what the route has made; and snapshots of what the catalog knows.

Promises a verdict with evidence rule by rule, and that a snapshot holds only what entered its key. Never changes a
product.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from towpath.contracts.judging import Judging
from towpath.contracts.stage import Context, Flags, Input, Record, Stage, Verdicts


class Assess(Judging):
    """Judge what the route has made; a rule that rejects ends the item's way with a sentence for each."""


class Snapshot(Stage):
    """The catalog's facts of the item (record with measures, verdicts, flags) as one JSON product.

    Parameters
    ----------
    type
        The product's type.
    file
        The product's file name.
    """

    consumes: ClassVar[Mapping[str, Input]] = {"record": Record(), "verdicts": Verdicts(), "flags": Flags()}
    produces: ClassVar[Mapping[str, str]] = {"snapshot": "snapshot/json"}

    type: str = "snapshot/json"
    file: str = "snapshot.json"

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Input], Mapping[str, str]]:
        """The product is of the type that the parameters say."""
        return cls.consumes, {"snapshot": params["type"]}

    def run(self, context: Context) -> None:
        """Write the facts, sorted, so that equal facts give equal bytes."""
        item = {"pipeline": context.item.pipeline, "kind": context.item.kind, "key": context.item.key}
        facts = {"item": item, **{name: context.inputs[name] for name in self.consumes}}
        with context.output("snapshot", self.file) as path:
            text = json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False)
            path.write_text(f"{text}\n", encoding="utf-8")
