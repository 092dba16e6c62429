"""Examples in the document of the interface: one for each shape, all of one small site, so that they fit together.

Promises that each is what the shape takes; a test checks it. Reads no site.
"""

from typing import Any

_WHEN, _LATER = "2026-03-01T12:00:00.000Z", "2026-03-01T12:00:07.600Z"
_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

_SPAN = {"begin": "2026-02-01T00:00:00.000Z", "end": "2026-02-02T00:00:00.000Z"}
_FOOTPRINT = {"west": 16.2, "south": 45.7, "east": 18.4, "north": 47.1}
_ITEM = {
    "id": 12,
    "name": "gam/survey/balaton",
    "pipeline": "gam",
    "kind": "survey",
    "key": "balaton",
    "attributes": {"provider": "national-survey"},
    "span": _SPAN,
    "footprint": _FOOTPRINT,
    "registered": _WHEN,
    "states": {"fetch": "done", "reduce": "done", "grid": "failed"},
}
_STAGE = {
    "work": 93,
    "stage": "grid",
    "state": "failed",
    "attempts": 3,
    "began": _WHEN,
    "run": "93.4",
    "seconds": 7.6,
}
_MEASURE = {"name": "random_rmse", "value": 0.84, "unit": "mGal"}
_STEP = {
    "name": "project",
    "seconds": 0.4,
    "before": {"n": 2568},
    "after": {"n": 2560},
    "checks": {"finite": None},
}
_RUN = {
    "name": "93.4",
    "work": 93,
    "token": 4,
    "item": 12,
    "stage": "grid",
    "outcome": "failed",
    "began": _WHEN,
    "seconds": 7.6,
    "key": _HASH,
    "measures": [_MEASURE],
    "steps": [_STEP],
    "error": "ValueError: found 3 stations; expected at least 10",
    "worker": "host:4711",
}
_PRODUCT = {
    "id": 501,
    "item": 12,
    "stage": "reduce",
    "output": "blocks",
    "part": "",
    "type": "gravity/blocks",
    "root": "store",
    "path": "gam/survey/reduce/balaton.2.blocks.zarr",
    "size": 79044,
    "sha256": _HASH,
    "tree": True,
    "state": "current",
    "run": "92.2",
    "created": _LATER,
}
_RULE = {
    "rule": "coverage inside the hull",
    "measure": "coverage",
    "value": 0.98,
    "op": ">=",
    "limit": 0.4,
    "result": "pass",
}
_VERDICT = {"stage": "assess", "result": "pass", "time": _LATER, "rules": [_RULE]}
_FLAG = {
    "id": 3,
    "part": {"feed": 3, "band": 1},
    "value": "bad",
    "comment": "spikes",
    "author": "anna",
    "time": _WHEN,
}
_MILESTONE = {"name": "Gridded", "time": _LATER}
_PUBLICATION = {
    "id": 8,
    "item": 12,
    "work": 95,
    "archive": "archive",
    "target": "gam/balaton",
    "state": "released",
    "sha256": _HASH,
    "mode": "copy",
    "folder": True,
    "updated": _LATER,
}
_ORDER = {
    "id": 5,
    "name": "order-5",
    "kind": "gate",
    "item": 12,
    "item_name": "gam/survey/balaton",
    "stage": "release",
    "title": "Does balaton go out?",
    "state": "open",
    "opened": _WHEN,
    "changed": _WHEN,
}
_DELIVERY = {
    "id": 1,
    "state": "verified",
    "who": "anna",
    "time": _LATER,
    "manifest": {"order": 5, "token": 1, "files": []},
}
_ORDER_DETAILS = {
    **_ORDER,
    "kind": "handoff",
    "body": {"instructions": "Give the time of the P arrival."},
    "box": "/data/site/inbox/order-5",
    "inputs": ["/data/site/store/picks/record/candidates/r1.1.csv"],
    "deliveries": [_DELIVERY],
}
_EVENT = {
    "seq": 4711,
    "time": _WHEN,
    "type": "failed",
    "item": 12,
    "stage": "grid",
    "run": "93.4",
    "pipeline": "gam",
    "data": {"error": "ValueError: found 3 stations; expected at least 10"},
}
_TOKEN = {
    "id": 2,
    "name": "anna",
    "grants": ["operator@gam"],
    "created": _WHEN,
    "expires": "2026-06-01T12:00:00.000Z",
    "by": "root",
}
_NOTICE = {
    "id": 7,
    "title": "gam/survey/balaton grid failed",
    "body": "ValueError",
    "item": 12,
    "event": 4711,
    "time": _WHEN,
}
_DEFINITION = {
    "pipeline": "gam",
    "number": 3,
    "sha256": _HASH,
    "kinds": {"survey": ["fetch", "qualify", "reduce", "grid"]},
    "sources": ["surveys"],
}
_SUBMISSION = {
    "key": "balaton",
    "attributes": {"provider": "national-survey"},
    "time": "2026-02-01",
    "footprint": [16.2, 45.7, 18.4, 47.1],
}
_ACTION = {"action": "retry", "stage": "grid", "expect": "failed", "why": "the stations are there now"}

EXAMPLES: dict[str, Any] = {
    "Problem": {"code": "not_found", "message": "no item with number 99"},
    "Span": _SPAN,
    "Footprint": _FOOTPRINT,
    "ItemShape": _ITEM,
    "StageShape": _STAGE,
    "MeasureShape": _MEASURE,
    "StepShape": _STEP,
    "RunShape": _RUN,
    "RunDetails": {
        **_RUN,
        "inputs": [
            {"name": "blocks", "product": 501, "item": "gam/survey/balaton", "sha256": _HASH, "value": None}
        ],
        "components": {"stage": "grid", "version": "3", "params": {"spacing": 1000.0}},
        "software": {"towpath": "0.1.0", "verde": "1.9.0"},
    },
    "ProductShape": _PRODUCT,
    "RuleShape": _RULE,
    "VerdictShape": _VERDICT,
    "FlagShape": _FLAG,
    "MilestoneShape": _MILESTONE,
    "PublicationShape": _PUBLICATION,
    "OrderShape": _ORDER,
    "DeliveryShape": _DELIVERY,
    "OrderDetails": _ORDER_DETAILS,
    "ItemDetails": {
        **_ITEM,
        "route": [_STAGE],
        "milestones": [_MILESTONE],
        "runs": [_RUN],
        "products": [_PRODUCT],
        "verdicts": [_VERDICT],
        "flags": [_FLAG],
        "orders": [_ORDER],
        "publications": [_PUBLICATION],
    },
    "ExplanationShape": {
        "item": "gam/survey/balaton",
        "stage": "grid",
        "state": "failed",
        "reasons": [
            {
                "code": "failed",
                "text": "its run 93.4 failed: ValueError: found 3 stations; expected at least 10",
                "do": "mend what is named, then `towpath retry balaton grid`",
                "facts": {"run": "93.4"},
            }
        ],
    },
    "CountShape": {"pipeline": "gam", "kind": "survey", "stage": "grid", "state": "failed", "count": 1},
    "ItemCount": {"count": 1, "is_more": False},
    "Submission": _SUBMISSION,
    "Submissions": {"kind": "gam/survey", "items": [_SUBMISSION], "priority": 0},
    "Submitted": {"ids": [12]},
    "Action": _ACTION,
    "Done": {"touched": 1, "states": {"fetch": "done", "reduce": "done", "grid": "ready"}},
    "Choice": {"state": "failed", "stage": "grid", "pipeline": "gam"},
    "BulkAction": {"action": "retry", "choice": {"state": "failed", "pipeline": "gam"}, "preview": True},
    "BulkDone": {"items": 1, "touched": 1, "preview": True, "names": ["gam/survey/balaton"], "refused": {}},
    "Why": {"why": "all is well"},
    "Because": {"why": "the calibrator was flagged"},
    "NewFlag": {"value": "bad", "part": {"feed": 3, "band": 1}, "comment": "spikes"},
    "Assignment": {"who": "anna", "why": "knows the region"},
    "Examined": {"state": "rejected", "reasons": ["line 3, phase: found 'Q'; expected P or S"]},
    "CalibrationShape": {
        "number": 4,
        "kind": "bandpass",
        "selector": "dec+16",
        "begin": "2026-03-01T00:00:00.000Z",
        "end": "2026-03-02T00:00:00.000Z",
        "quality": 0.97,
        "state": "certified",
        "item": "dsa110/group/2026-03-01",
        "root": "store",
        "path": "dsa110/group/solve/2026-03-01.1.bandpass.cal",
        "bytes_are": "current",
        "used_by": 12,
        "by": "certify",
    },
    "Certification": {
        "product": 501,
        "kind": "bandpass",
        "selector": "dec+16",
        "begin": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
        "why": "solved by hand",
    },
    "SourceShape": {
        "pipeline": "gam",
        "name": "surveys",
        "kind": "fetch",
        "item": "survey",
        "is_paused": False,
    },
    "DefinitionShape": _DEFINITION,
    "DefinitionDetails": {
        **_DEFINITION,
        "routes": {"survey": [{"stage": "fetch", "version": "1", "params": {}}]},
        "origins": {"items.survey.route": "pipeline.toml:12"},
        "history": [{"number": 3, "sha256": _HASH, "loaded": _WHEN, "active": True}],
    },
    "EventShape": _EVENT,
    "System": {
        "version": "0.1.0",
        "site": "observatory",
        "schema_revision": "0010",
        "counts": [{"pipeline": "gam", "kind": "survey", "stage": "grid", "state": "failed", "count": 1}],
        "sessions": [{"session": 1, "host": "host", "pid": 4711, "lock": "", "attributable": True}],
        "publications": {"released": 8},
        "bad_products": 0,
    },
    "Health": {"status": "ok"},
    "TicketFor": {"path": "/api/v1/events"},
    "Ticket": {"url": "/api/v1/events?ticket=...", "expires_in": 60},
    "TokenShape": _TOKEN,
    "NewToken": {"name": "anna", "grants": ["operator@gam"], "lasts": 7776000},
    "MadeToken": {**_TOKEN, "secret": "twp_..."},
    "Me": {
        "name": "anna",
        "how": "bearer",
        "grants": ["operator@gam"],
        "permissions": {"": [], "gam": ["view", "read", "run"]},
    },
    "NoticeShape": _NOTICE,
    "Notices": {"items": [_NOTICE], "unread": 1},
    "Seen": {"ids": [7]},
    "InputShape": {
        "name": "blocks",
        "product": 501,
        "type": "gravity/blocks",
        "file": "balaton.2.blocks.zarr",
        "size": 79044,
        "sha256": _HASH,
        "tree": True,
    },
    "TakenShape": {"output": "grid", "size": 59800, "sha256": _HASH},
}


def add_to(document: dict[str, Any]) -> dict[str, Any]:
    """The document of the interface with an example of each shape."""
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        if name in EXAMPLES:
            schema["examples"] = [EXAMPLES[name]]
        elif name.startswith("Page_") and (inner := name.removeprefix("Page_").rstrip("_")) in EXAMPLES:
            schema["examples"] = [{"items": [EXAMPLES[inner]], "next": None}]
    return document
