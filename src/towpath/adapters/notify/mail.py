"""Messages as mail: plain text by SMTP, enciphered where that is asked.

Promises that nothing in a message can add a header or a recipient, that a repeat has the same Message-ID, and that the
password is part of no error. What a server says of trying again is heard: 4xx may work later, 5xx never will.
"""

import base64
import hashlib
import json
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, Literal

from towpath.base import clock
from towpath.base.errors import SiteError, Transient

Tls = Literal["none", "starttls", "implicit"]
_PORTS: Mapping[str, int] = {"none": 25, "starttls": 587, "implicit": 465}
_LONGEST_SUBJECT = 200  # characters


class Mail:
    """Addresses that get a mail for each message (contracts.notify.Sink).

    Parameters
    ----------
    host, port
        The SMTP server; port 0 is the usual one for `tls`.
    sender, to
        Addresses.
    user, password
        To log in with; no login if `user` is "". The password is asked for at each use.
    tls
        ``none``, ``starttls`` (the server must offer it) or ``implicit``.
    ca
        A file of certificates to trust instead of the system's.
    timeout
        Seconds to wait for the server.
    """

    def __init__(
        self,
        host: str,
        *,
        sender: str,
        to: Sequence[str],
        port: int = 0,
        user: str = "",
        password: Callable[[], str] = str,
        tls: Tls = "starttls",
        ca: str = "",
        timeout: float = 30.0,
    ) -> None:
        self.host, self.port, self.sender, self.to = host, port or _PORTS[tls], sender, tuple(to)
        self._user, self._password, self._tls, self._ca, self._timeout = user, password, tls, ca, timeout

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        """Mail one message.

        Raises
        ------
        Transient
            If it may work later.
        SiteError
            If the server refuses it, or any of the addresses, for good.
        """
        message = self._message(subject, key, body)
        password = self._password() if self._user else ""
        try:
            refused = self._sent(message, password)
        except smtplib.SMTPRecipientsRefused as error:
            raise self._refused_recipients(error.recipients) from None
        except smtplib.SMTPResponseException as error:
            raise self._refused(error, password) from None
        except smtplib.SMTPNotSupportedError as error:
            raise SiteError(f"{self._where()} cannot do what the settings ask: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise SiteError(
                f"{self._where()}: its certificate is not trusted: {error.verify_message}"
            ) from None
        except (OSError, smtplib.SMTPException) as error:  # also a server that hangs up
            raise Transient(f"{self._where()}: {str(error) or type(error).__name__}") from None
        if refused:
            raise self._refused_recipients(refused)

    def _sent(self, message: EmailMessage, password: str) -> dict[str, tuple[int, bytes]]:
        """Hand the message over; returns the addresses that were refused while others were taken."""
        with self._connected() as server:
            if self._tls == "starttls":
                server.starttls(context=self._context())
            if self._user:
                server.login(self._user, password)
            return server.send_message(message, self.sender, self.to)

    def _connected(self) -> smtplib.SMTP:
        if self._tls == "implicit":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=self._timeout, context=self._context())
        return smtplib.SMTP(self.host, self.port, timeout=self._timeout)

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca or None)
        except FileNotFoundError:
            raise SiteError(f"{self._ca}: there is no such file of certificates") from None

    # ---- what is written
    def _message(self, subject: str, key: str, body: Mapping[str, Any]) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        domain = self.sender.rpartition("@")[2]
        message["Subject"] = _line(str(body.get("title") or f"{body.get('type', 'message')}: {subject}"))
        message["From"] = self.sender
        message["To"] = ", ".join(self.to)
        message["Date"] = format_datetime(clock.moment(clock.now()))
        message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Towpath-Key"] = _line(key)
        message.set_content(_text(body).encode(errors="replace").decode(), cte="quoted-printable")
        return message

    # ---- what went wrong
    def _refused(self, error: smtplib.SMTPResponseException, password: str) -> Transient | SiteError:
        said = error.smtp_error
        text = f"{self._where()} answered {error.smtp_code}: {_said(said)}"
        for one in (password, base64.b64encode(password.encode()).decode()):
            text = text.replace(one, "***") if one else text
        if not 500 <= error.smtp_code < 600:
            return Transient(text)
        what = "user and password" if isinstance(error, smtplib.SMTPAuthenticationError) else "the settings"
        return SiteError(f"{text}; check {what}, then retry the message")

    def _refused_recipients(self, refused: Mapping[str, tuple[int, bytes]]) -> Transient | SiteError:
        told = "; ".join(
            f"{address}: {code} {_said(said)}" for address, (code, said) in sorted(refused.items())
        )
        if any(code < 500 for code, _ in refused.values()):
            return Transient(f"{self._where()} does not take mail for {told}")
        return SiteError(
            f"{self._where()} refuses mail for {told}; correct the address, then retry the message"
        )

    def _where(self) -> str:
        return f"smtp://{self.host}:{self.port}"


def _said(answer: bytes | str) -> str:
    text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())[:300]


def _line(text: str) -> str:
    """A text as one line of a header: what does not print, line ends above all, becomes a space."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= _LONGEST_SUBJECT else f"{line[: _LONGEST_SUBJECT - 1]}…"


def _text(body: Mapping[str, Any]) -> str:
    """What a person reads: the text of a message, or its facts one by one."""
    if "text" in body:
        parts = [str(body.get("title", "")), str(body["text"])]
        if body.get("rule"):
            parts.append(f"-- \nThe rule {body['rule']} of this site says that you are told of this.")
        return "\n\n".join(part for part in parts if part) + "\n"
    facts = {name: value for name, value in body.items() if value not in (None, "", [], {})}
    return "".join(
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n"
        for name, value in facts.items()
    )
