"""Texts that only this site can have written: signed for one purpose, for a time.

Promises that what was signed for one purpose is nothing for another. Never keeps anything.
"""

import hmac
from dataclasses import dataclass

from towpath.base import clock

RUN_PREFIX = "twr_"
_RUN = "run"


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Signs with the key of a site."""

    key: bytes

    def sign(self, purpose: str, text: str, *, lasts: float | None = None) -> str:
        """A text with its signature; it ends after `lasts` seconds (None: never)."""
        end = "" if lasts is None else f"{clock.now() + lasts:.0f}"
        return f"{text}~{end}~{self._mac(purpose, f'{text}~{end}')}"

    def signed(self, purpose: str, token: str) -> str | None:
        """The text that was signed; None if it was not, or its time is over."""
        text, _, rest = token.partition("~")
        end, _, mac = rest.partition("~")
        expected = self._mac(purpose, f"{text}~{end}")
        if not hmac.compare_digest(mac.encode(errors="replace"), expected.encode()):
            return None
        return None if end and clock.now() > float(end) else text

    def run_token(self, work: int, token: int) -> str:
        """The token of a run; whether it is good is asked of the catalog, which knows whether the run goes on."""
        return RUN_PREFIX + self.sign(_RUN, f"{work}.{token}")

    def run_of(self, secret: str) -> str | None:
        """The name of the run whose token this is; None if it is no run's."""
        return self.signed(_RUN, secret.removeprefix(RUN_PREFIX)) if secret.startswith(RUN_PREFIX) else None

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.digest(self.key, f"{purpose}\n{text}".encode(errors="replace"), "sha256").hex()
