"""What a form must have filled in."""

from http import HTTPStatus

from towpath.api.errors import Refused


def reason(text: str, ask: str = "Say why.") -> str:
    """A text of a form that is needed.

    Raises
    ------
    Refused
        If there is nothing in it; `ask` is what the person is told.
    """
    if not text.strip():
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", ask)
    return text.strip()
