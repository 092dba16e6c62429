"""How often somebody may try to sign in: after a few failures from one address each further one waits longer.

Promises to need little memory whatever comes. Never tells whether a token exists.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import HTTPConnection

from towpath.api.errors import Refused

FREE = 5  # failures
_FIRST, _LONGEST = 1.0, 300.0  # seconds
_ADDRESSES = 10_000


class Throttle:
    """Counts failures by address; `now` is its clock, in seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def check(self, request: HTTPConnection) -> None:
        """Refuse an address that failed too often of late.

        Raises
        ------
        Refused
            429, with the seconds to wait.
        """
        count, last = self._failures.get(_address(request), (0, 0.0))
        if count < FREE:
            return
        wait = last + min(_FIRST * 2.0 ** min(count - FREE, 20), _LONGEST) - self._now()
        if wait > 0:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS, "too_many", f"too many failed attempts; wait {wait:.0f} s",
                headers={"Retry-After": f"{max(wait, 1):.0f}"},
            )  # fmt: skip

    def failed(self, request: HTTPConnection) -> None:
        """An attempt from this address failed."""
        address = _address(request)
        count, last = self._failures.pop(address, (0, 0.0))
        if self._now() - last > _LONGEST:
            count = 0
        self._failures[address] = (count + 1, self._now())
        while len(self._failures) > _ADDRESSES:
            self._failures.popitem(last=False)


def _address(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""
