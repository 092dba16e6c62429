"""Tokens of panels that stand in pages of others: for one record, for ten minutes, with no more than who asked for it may.

Promises that such a token is nothing anywhere else, makes no other token, and ends with the token that it was made with. Keeps
nothing: all that it is good for is in it, signed.
"""

import base64
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from towpath.api.errors import Refused
from towpath.app.site import Site
from towpath.base.errors import NotFoundError
from towpath.base.model import Item
from towpath.contracts.auth import Panel, Permission, Person

if TYPE_CHECKING:
    from towpath.api.asking import Asked

PANEL_PREFIX = "twe_"
LASTS = 600.0  # seconds
_PURPOSE = "panel"
_OF_PANELS = (Permission.VIEW, Permission.READ, Permission.SUBSCRIBE, Permission.SUBMIT, Permission.RUN)
# What is about single items, and the events, which are asked about one by one.
_PLACES = re.compile(r"/api/v1/(me|events|workflows(/.*)?|(items/\d+|runs/[\d.]+|products/\d+)(/.*)?)")


def panel_token(asker: "Asked", pipeline: str, record: str) -> tuple[str, float]:
    """A token for the panel of a record, and for how many seconds it lasts.

    It may see and read what is of the record and, if the asker may, submit and run; nothing that the asker may not.

    Raises
    ------
    NotFoundError
        If the asker may not view the record.
    Refused
        If they are nobody, or have but a panel's token themselves.
    """
    if asker.person.panel is not None:
        raise Refused(
            HTTPStatus.FORBIDDEN, "forbidden", "the token of a panel makes no other one",
            "ask with the token that the first one was asked for with",
        )  # fmt: skip
    about = Item(pipeline, "", "", {"record": record})
    permissions = [one for one in _OF_PANELS if asker.may(one, about)]
    if Permission.VIEW not in permissions or not asker.is_known:
        asker.need_anywhere(Permission.VIEW)
        raise NotFoundError(f"there is no record {record!r}")
    told = json.dumps([asker.person.name, asker.person.token, pipeline, record, permissions])
    text = base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")
    return PANEL_PREFIX + asker.access.site.sign(_PURPOSE, text, lasts=LASTS), LASTS


def holder(site: Site, secret: str) -> Person | None:
    """Who has the token of a panel; None if it is none, or it or the token that it was made with is over."""
    text = site.signed(_PURPOSE, secret.removeprefix(PANEL_PREFIX))
    if text is None:
        return None
    told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    name, token, pipeline, record, permissions = told
    if token and site.holder(token) is None:
        return None
    return Person(name, (), token, panel=Panel(pipeline, record, frozenset(map(Permission, permissions))))


def is_place(path: str) -> bool:
    """Whether a panel's token is taken at this address."""
    return _PLACES.fullmatch(path) is not None
