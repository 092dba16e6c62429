"""The one shape of every error that the server answers, and which error has which status.

Promises that an error which nobody expected is logged with a number that the answer names, and tells nothing else.
"""

import json
import logging
import math
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from towpath.base import errors

log = logging.getLogger(__name__)

# The first that fits: subclasses stand before their bases.
_OF: tuple[tuple[type[Exception], HTTPStatus, str], ...] = (
    (errors.DefinitionError, HTTPStatus.UNPROCESSABLE_ENTITY, "definition"),
    (errors.NotFoundError, HTTPStatus.NOT_FOUND, "not_found"),
    (errors.BusyError, HTTPStatus.CONFLICT, "busy"),
    (errors.StateError, HTTPStatus.CONFLICT, "state"),
    (errors.UsageError, HTTPStatus.UNPROCESSABLE_ENTITY, "usage"),
    (errors.IntegrityError, HTTPStatus.CONFLICT, "integrity"),
    (errors.StorageError, HTTPStatus.SERVICE_UNAVAILABLE, "storage"),
    (errors.SiteError, HTTPStatus.SERVICE_UNAVAILABLE, "site"),
    (errors.Transient, HTTPStatus.SERVICE_UNAVAILABLE, "later"),
)
_LATER = 10  # seconds after which what cannot be done now is asked for again, where nothing else is said
_SHOWN = 200  # characters of a wrong value


class Refused(Exception):
    """What was asked is refused.

    Parameters
    ----------
    status
        The status of HTTP.
    code
        What kind of refusal it is, for programs.
    message
        What was found and what was expected, for people.
    hint
        What to do.
    told
        More for programs, such as the state that something is in.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        **told: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.hint, self.told = status, code, message, hint, told
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The error as it is answered."""
        hint = {"hint": self.hint} if self.hint else {}
        return {"error": {"code": self.code, "message": self.message, **hint, **self.told}}


def refused(error: Exception) -> Refused:
    """An error as a refusal: one of ours by its class, any other as a defect with a number."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, RequestValidationError | ValidationError):
        return _wrong(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        code = status.phrase.lower().replace(" ", "_").replace("-", "_")
        return Refused(status, code, str(error.detail), headers=error.headers)
    for kind, status, code in _OF:
        if isinstance(error, kind):
            return _told(error, status, code)
    number = secrets.token_hex(4)
    log.error("defect %s: %s", number, type(error).__name__, exc_info=error)
    return Refused(
        HTTPStatus.INTERNAL_SERVER_ERROR, "defect", f"a defect of Towpath or of a plug-in, number {number}",
        "the server's log has it under this number",
    )  # fmt: skip


def _told(error: Exception, status: HTTPStatus, code: str) -> Refused:
    """An error of ours, with what holds the thing that was asked for, or when to ask again."""
    if isinstance(error, errors.BusyError):
        return Refused(status, code, str(error), where=error.holder)
    if isinstance(error, errors.Transient):
        wait = math.ceil(max(error.after, _LATER))
        return Refused(status, code, str(error), f"ask again in {wait} s", headers={"Retry-After": str(wait)})
    return Refused(status, code, str(error))


_EXPECTED = {"extra_forbidden": "no such name here", "missing": "a value"}


def _wrong(error: RequestValidationError | ValidationError) -> Refused:
    """What is wrong with a request, place by place."""
    where = [
        {
            "place": ".".join(str(part) for part in one["loc"]),
            "found": "nothing" if one["type"] == "missing" else str(one.get("input"))[:_SHOWN],
            "expected": _EXPECTED.get(one["type"]) or one["msg"].removeprefix("Input should be "),
        }
        for one in error.errors()
    ]
    first = where[0] if where else {"place": "request", "found": "this", "expected": "another form"}
    message = f"{first['place']}: found {first['found']}; expected {first['expected']}"
    return Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", message, where=where)


def answer(error: Refused) -> JSONResponse:
    """A refusal as a response."""
    return _Answer(error.document(), error.status, error.headers)


class _Answer(JSONResponse):
    """JSON in which half characters, which a message may quote, are escaped."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(
            errors="backslashreplace"
        )


def add_to(app: FastAPI) -> None:
    """Let an app answer every error in this shape."""

    async def tell(_request: Request, error: Exception) -> JSONResponse:
        return answer(refused(error))

    for kind in (Refused, errors.TowpathError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, tell)
