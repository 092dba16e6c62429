"""The server: REST under `/api/v1`, live events, web pages. The only place with `async`.

A pipeline's own routes find here who asks (`Asker`), what they may (`Permission`), and how they are answered.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towpath.api.asking import Asked, Asker, needs
    from towpath.api.errors import Refused
    from towpath.api.followed import events_of, item_events, item_log
    from towpath.api.once import Route
    from towpath.api.panels import panel_token
    from towpath.api.routes.products import find_product
    from towpath.api.shapes import Asked as Sent
    from towpath.api.telling import moment
    from towpath.app.records import Begun
    from towpath.base.model import WorkRow
    from towpath.contracts.auth import Permission
    from towpath.contracts.records import Matched, Seen, Workflow
    from towpath.contracts.repository import Access, Caller

__all__ = [
    "Access",
    "Asked",
    "Asker",
    "Begun",
    "Caller",
    "Matched",
    "Permission",
    "Refused",
    "Route",
    "Seen",
    "Sent",
    "WorkRow",
    "Workflow",
    "events_of",
    "find_product",
    "item_events",
    "item_log",
    "moment",
    "needs",
    "panel_token",
]

_OF = {
    "Access": "towpath.contracts.repository",
    "Asked": "towpath.api.asking",
    "Asker": "towpath.api.asking",
    "Begun": "towpath.app.records",
    "Caller": "towpath.contracts.repository",
    "Matched": "towpath.contracts.records",
    "Permission": "towpath.contracts.auth",
    "Refused": "towpath.api.errors",
    "Route": "towpath.api.once",
    "Seen": "towpath.contracts.records",
    "Sent": "towpath.api.shapes",
    "WorkRow": "towpath.base.model",
    "Workflow": "towpath.contracts.records",
    "events_of": "towpath.api.followed",
    "find_product": "towpath.api.routes.products",
    "item_events": "towpath.api.followed",
    "item_log": "towpath.api.followed",
    "moment": "towpath.api.telling",
    "needs": "towpath.api.asking",
    "panel_token": "towpath.api.panels",
}


def __getattr__(name: str) -> Any:
    """The public names are loaded when they are asked for: the server's libraries are optional."""
    if name not in _OF:
        raise AttributeError(f"module 'towpath.api' has no attribute {name!r}")
    # optional: needs the server's libraries
    return getattr(import_module(_OF[name]), "Asked" if name == "Sent" else name)
