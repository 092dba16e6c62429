"""Requests that are sent twice are done once: `Idempotency-Key`.

Promises that the key is written down in the same transaction as what was asked for, so that a repeat after a crash is never
done again; and that a repeat of the same request gets the answer of the first. Answers are kept for a day.
"""

import hashlib
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from towpath.api.asking import asked
from towpath.api.errors import Refused
from towpath.app.site import Site
from towpath.contracts.catalog import Transaction
from towpath.contracts.people import AnswerRow

HEADER = "Idempotency-Key"
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST = 200  # characters of a key
_LARGEST = 1_000_000  # bytes of an answer that is kept

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """A route whose changes may be asked for twice."""

    def get_route_handler(self) -> Handler:
        """The handler, behind the look at the key."""
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER, "")
            if not key or request.method in _SAFE:
                return await handler(request)
            return await _once(request, key, handler)

        return once


async def _once(request: Request, key: str, handler: Handler) -> Response:
    if len(key) > _LONGEST or not key.isprintable():
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key",
            f"{HEADER}: found {len(key)} characters; expected up to {_LONGEST} that can be printed",
        )  # fmt: skip
    asker = await asked(request)
    who = f"{asker.person.name}#{asker.person.token}"
    row = AnswerRow(who, key, await _digest(request), 0, secrets.token_bytes(16))
    found = await run_in_threadpool(_answer, asker.access.site, row)
    if found is not None:
        return _again(row, found)

    def reserve(tx: Transaction) -> None:
        other = tx.reserve_answer(row)
        if other is not None and other.body != row.body:
            _again(row, other)

    request.state.asked = replace(asker, guard=reserve)
    response = await handler(request)
    body = bytes(response.body)
    if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR and len(body) <= _LARGEST:
        await run_in_threadpool(_keep, asker.access.site, row, response.status_code, body)
    return response


def _again(row: AnswerRow, found: AnswerRow) -> Response:
    """The answer that the first one got."""
    if found.sha256 != row.sha256:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key", f"{HEADER}: this key was used for another request",
            "take a new key for each thing that is asked for",
        )  # fmt: skip
    if not found.status:
        raise Refused(
            HTTPStatus.CONFLICT, "repeated", "this was asked for already: it is under way, or its answer was lost",
            "look at what it was about; it is not done again under this key",
        )  # fmt: skip
    return Response(found.body, found.status, {"Idempotent-Replayed": "true"}, media_type="application/json")


async def _digest(request: Request) -> bytes:
    """What tells two requests apart; of an upload, its size stands for its bytes."""
    is_upload = request.headers.get("Content-Type", "").startswith("multipart/")
    body = request.headers.get("Content-Length", "").encode() if is_upload else await request.body()
    said = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(said + body).digest()


def _answer(site: Site, row: AnswerRow) -> AnswerRow | None:
    with site.catalog.read() as view:
        return view.answer(row.who, row.key)


def _keep(site: Site, row: AnswerRow, status: int, body: bytes) -> None:
    def transact(tx: Transaction) -> None:
        tx.reserve_answer(row)
        tx.fill_answer(row.who, row.key, status, body)

    site.catalog.write(transact)
