"""Tokens that are not Towpath's: whose they are is asked of the one repository of the site that knows people by them.

Promises that no token of Towpath is ever sent there, that nobody is let in while it cannot be asked, and that who guesses has to
wait. Never keeps a token, but for half a minute its hash.
"""

import logging
import threading
from collections import OrderedDict
from http import HTTPStatus

from starlette.requests import HTTPConnection

from towpath.api.errors import Refused
from towpath.api.panels import PANEL_PREFIX
from towpath.api.throttle import Throttle
from towpath.app.people import PREFIX
from towpath.app.records import digest
from towpath.app.site import Site
from towpath.base.errors import SiteError, Transient
from towpath.base.signing import RUN_PREFIX
from towpath.contracts.auth import Grant, Person

log = logging.getLogger(__name__)

_OURS = (PREFIX, RUN_PREFIX, PANEL_PREFIX)
_LONGEST = 4096  # characters of a token
_LONGEST_NAME = 64
_KEPT = 10_000  # tokens that were somebody's
_WAIT = 5  # seconds after which to try again at least


class Bearers:
    """Who comes with a token of a repository.

    Parameters
    ----------
    site
        Its settings `access.bearers` are what such people are granted; without any nobody is asked.

    Raises
    ------
    SiteError
        If nothing says which of several repositories is asked, or only roles would decide what such people may.
    """

    def __init__(self, site: Site) -> None:
        table = site.settings.access
        self._site, self._of = site, table.bearers_of
        self._grants = tuple(Grant.of(text) for text in table.bearers)
        self._throttle = Throttle()
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        if not self._grants:
            return
        if table.authorizer == "local":
            raise SiteError(
                'access.bearers: found no authorizer; expected authorizer = "records", or whoever has an account in the '
                "repository could do this to the records of all"
            )
        if not self._of and len(known := site.vouchers()) > 1:
            raise SiteError(f"access.bearers_of: found nothing; expected one of {', '.join(known)}")

    def person(self, request: HTTPConnection, secret: str) -> Person | None:
        """Whose token this is; None if it is nobody's. Asks the repository, and so may wait.

        Raises
        ------
        Refused
            503 if the repository cannot be asked now, 429 if too many wrong ones came from this address.
        """
        known = [self._of] if self._of else self._site.vouchers() if self._grants else []
        if not self._grants or len(known) != 1 or not _is_foreign(secret):
            return None
        name = self._asked(request, known[0], secret)
        if not name:
            return None
        return Person(f"{_shown(name)}@{known[0]}", self._grants, bearer=secret, of=known[0])

    def is_in_force(self, person: Person) -> bool:
        """Whether the repository still knows somebody."""
        try:
            return bool(self._site.bearer_of(person.of, person.bearer))
        except (Transient, SiteError):
            return False

    def _asked(self, request: HTTPConnection, repository: str, secret: str) -> str:
        mark = digest(secret)
        is_new = not self._site.is_bearer_known(repository, secret)
        if is_new and mark not in self._good:
            self._throttle.check(request)
        try:
            name = self._site.bearer_of(repository, secret)
        except (Transient, SiteError) as error:
            log.warning("repository cannot be asked whose token this is", extra={"reason": str(error)})
            wait = max(int(getattr(error, "after", 0.0)), _WAIT)
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "later", "the repository cannot be asked now whose token this is",
                "try again later", headers={"Retry-After": str(wait)},
            ) from None  # fmt: skip
        with self._lock:
            self._good.pop(mark, None)
            if name:
                self._good[mark] = None
            while len(self._good) > _KEPT:
                self._good.popitem(last=False)
        if is_new and not name:
            self._throttle.failed(request)
        return name


def _is_foreign(secret: str) -> bool:
    """Whether a text can be the token of another, and has nothing of ours in it."""
    is_text = 0 < len(secret) <= _LONGEST and secret.isascii() and secret.isprintable() and " " not in secret
    return is_text and not any(one in secret for one in _OURS)


def _shown(name: str) -> str:
    """A name of another as it may stand among ours."""
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:_LONGEST_NAME]
