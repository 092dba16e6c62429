"""Requests that are sent twice are done once: `Idempotency-Key`.

Promises that the key is written down in the same transaction as what was asked for, so that a repeat after a crash is never
done again; and that a repeat of the same request gets the answer of the first. Answers are kept for a day.
"""

import hashlib
import secrets
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from towpath.api.asking import Asked, asked, refuse_early
from towpath.api.errors import Refused
from towpath.api.limits import UPLOADS
from towpath.app.site import Site
from towpath.contracts.catalog import Transaction
from towpath.contracts.people import AnswerRow

HEADER = "Idempotency-Key"
_SAFE = ("GET", "HEAD", "OPTIONS")
_LONGEST = 200  # characters of a key
_LARGEST = 1_000_000  # bytes of an answer that is kept

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _SaidBefore(Exception):
    """Somebody else was first, under the same key: nothing is to be done but to answer as they were answered."""

    def __init__(self, found: AnswerRow) -> None:
        super().__init__()
        self.found = found


class Route(APIRoute):
    """A route whose changes may be asked for twice."""

    def get_route_handler(self) -> Handler:
        """The handler, behind the look at the key."""
        handler = super().get_route_handler()

        async def once(request: Request) -> Response:
            if request.method in _SAFE:
                return await handler(request)
            await refuse_early(request, self.dependencies)
            key = request.headers.get(HEADER, "")
            return await _once(request, key, handler) if key else await handler(request)

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
    with _alone(asker.access.under_way, row):
        return await _first(request, replace(asker, guard=_reserving(row)), row, handler)


def _reserving(row: AnswerRow) -> Callable[[Transaction], None]:
    def reserve(tx: Transaction) -> None:
        other = tx.reserve_answer(row)
        if other is not None and other.body != row.body:
            raise _SaidBefore(other)

    return reserve


@contextmanager
def _alone(under_way: set[tuple[str, str]], row: AnswerRow) -> Iterator[None]:
    """Nobody else does the same in this process meanwhile; what is done elsewhere is found when it is written down."""
    name = (row.who, row.key)
    if name in under_way:
        raise _repeated()
    under_way.add(name)
    try:
        yield
    finally:
        under_way.discard(name)


async def _first(request: Request, asker: Asked, row: AnswerRow, handler: Handler) -> Response:
    request.state.asked = asker
    try:
        response = await handler(request)
    except _SaidBefore as error:
        return _again(row, error.found)
    if _is_kept(response):
        await run_in_threadpool(_keep, asker.access.site, row, response)
    return response


def _is_kept(response: Response) -> bool:
    """Whether an answer is one to give again: no defect, not too large, and nothing that is told once (`no-store`)."""
    is_well = response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    is_secret = "no-store" in response.headers.get("Cache-Control", "")
    return is_well and not is_secret and len(bytes(response.body)) <= _LARGEST


def _again(row: AnswerRow, found: AnswerRow) -> Response:
    """The answer that the first one got."""
    if found.sha256 != row.sha256:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency_key", f"{HEADER}: this key was used for another request",
            "take a new key for each thing that is asked for",
        )  # fmt: skip
    if not found.status:
        raise _repeated()
    return Response(found.body, found.status, {"Idempotent-Replayed": "true"}, media_type="application/json")


def _repeated() -> Refused:
    return Refused(
        HTTPStatus.CONFLICT, "repeated", "this was asked for already: it is under way, or its answer was lost",
        "look at what it was about; it is not done again under this key",
    )  # fmt: skip


async def _digest(request: Request) -> bytes:
    """What tells two requests apart; of an upload, its size stands for its bytes."""
    is_upload = request.headers.get("Content-Type", "").lower().startswith(UPLOADS)
    body = request.headers.get("Content-Length", "").encode() if is_upload else await request.body()
    said = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(said + body).digest()


def _answer(site: Site, row: AnswerRow) -> AnswerRow | None:
    with site.catalog.read() as view:
        return view.answer(row.who, row.key)


def _keep(site: Site, row: AnswerRow, response: Response) -> None:
    def transact(tx: Transaction) -> None:
        other = tx.reserve_answer(row)
        if other is None or other.body == row.body:
            tx.fill_answer(row.who, row.key, response.status_code, bytes(response.body))

    site.catalog.write(transact)
