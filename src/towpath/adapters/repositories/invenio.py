"""InvenioRDM as a repository, by its REST API: drafts and published records, files in three steps, access links.

Promises that bytes are verified in both directions, that an upload whose answer was lost is not done twice, that only what
the same processing put there is replaced, and that nobody is let in by an answer that is not the repository's own. No bearer
is kept: those of callers are forwarded once, that of the site is read anew at each use.

Paths and fields are those of the InvenioRDM documentation (REST API: drafts and records, access links, user records);
other models have other base paths, such as ``/api/experiments``.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from towpath.adapters.repositories.asking import Answer, Key, Server, is_bearer
from towpath.adapters.repositories.names import check_key, check_record, is_key, is_record, no_file, no_record
from towpath.adapters.repositories.told import (
    ALGORITHMS,
    MARK,
    Sums,
    entry_of,
    file_of,
    instant,
    is_complete,
    table_at,
    tables_at,
)
from towpath.base import hashing
from towpath.base.errors import (
    DefinitionError,
    IntegrityError,
    NotFoundError,
    SiteError,
    StateError,
    StorageError,
    TowpathError,
    Transient,
)
from towpath.contracts.repository import Access, Caller, Capability, Knows, RecordEntry, RecordFile

STATES = ("auto", "draft", "published")
_ABSENT = {404, 410}
_DENIED = {401, 403, *_ABSENT}
_LATE = 300.0  # seconds by which the list of a repository may lag behind its records
_DEEPEST = 10_000  # hits that a search goes down to
_SETTINGS: dict[str, Any] = {
    "url": "", "path": "", "listing": "", "token": None, "ca": "", "timeout": 1.0, "state": "", "per_page": 1,
    "watch": 1.0,
}  # fmt: skip
_LOG = logging.getLogger("towpath.repository")


class InvenioRepository:
    """An InvenioRDM instance (contracts.repository.Repository).

    Parameters
    ----------
    url
        Its address: https, or http on this machine.
    path
        The base path of the records' model.
    listing
        The path that lists the records of an account; "": that of the model (``/api/user/records``).
    token
        Gives the token of the site's account; asked at each use. None: only what is public can be read.
    ca
        A file of certificates to trust instead of the system's.
    timeout
        Seconds to wait for a connection, and for each part of an answer.
    state
        Which records: ``draft``, ``published``, or ``auto`` for both, a draft before what is published of it.
    per_page
        Records asked for at once.
    watch
        Seconds after its last change for which a draft's files are looked into whenever records are listed: a draft is not
        told as changed until it is saved, though files were added to it. 0: never.
    clock
        The time, in seconds since the epoch.

    Raises
    ------
    DefinitionError
        If a setting is wrong.
    """

    name = "invenio"
    knows = Knows.BEARERS

    def __init__(
        self,
        url: str,
        *,
        path: str = "/api/records",
        listing: str = "",
        token: Callable[[], str] | None = None,
        ca: str = "",
        timeout: float = 10.0,
        state: str = "auto",
        per_page: int = 100,
        watch: float = 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for what, text in (("path", path), ("listing", listing or "/l")):
            if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+/?", text):
                raise DefinitionError(f"{what}: found {text!r}; expected a path such as /api/records")
        if state not in STATES:
            raise DefinitionError(f"state: found {state!r}; expected one of {', '.join(STATES)}")
        if not 1 <= per_page <= 1000:
            raise DefinitionError(f"per_page: found {per_page}; expected 1 to 1000")
        if watch < 0:
            raise DefinitionError(f"watch: found {watch} s; expected 0 or more")
        self._server = Server(url, ca=ca, timeout=timeout)
        self._path = path.rstrip("/")
        above, _, model = self._path.rpartition("/")
        self._listing = listing.rstrip("/") or f"{above}/user/{model}"
        self._token, self._per_page, self._watch, self._clock = token, per_page, float(watch), clock
        self._faces = {"auto": ("/draft", ""), "draft": ("/draft",), "published": ("",)}[state]

    # ---- records
    def records(self, since: str = "") -> Iterable[RecordEntry]:
        """The records of the site's account, the latest change first; a little older than `since` too, for lists lag.

        Raises
        ------
        Transient, SiteError
            As the contract says.
        """
        told: set[str] = set()
        last = instant(since.partition("/")[0]) - _LATE
        watched = self._clock() - self._watch if self._watch and "/draft" in self._faces else float("inf")
        for hit in self._hits():
            entry = entry_of(hit, is_draft=not hit.get("is_published"))
            changed = instant(hit.get("updated"))
            if changed < min(last, watched):
                return
            if entry.id in told or not is_record(entry.id) or not self._is_asked_for(entry):
                continue
            if entry.is_open and changed >= watched:
                try:
                    entry = self._with_files(entry, None)
                except NotFoundError:
                    continue  # gone since it was listed
                except SiteError as error:  # one record is not to hide the others
                    _LOG.warning(
                        "record is not looked into", extra={"record": entry.id, "reason": str(error)}
                    )
            elif changed < last:
                continue
            told.add(entry.id)
            yield entry

    def record(self, record: str, by: Capability | None = None) -> RecordEntry:
        """One record. Raises as the contract says."""
        check_record(self._where, record, by)
        entry, changed = self._shown(record, by)
        if entry.is_open and self._watch and changed >= self._clock() - self._watch:
            return self._with_files(entry, by)
        return entry

    def _hits(self) -> Iterator[Mapping[str, Any]]:
        key, size = self._key(None), self._per_page
        for page in range(1, _DEEPEST // size + 1):
            query: dict[str, str | int] = {
                "sort": "updated-desc",
                "size": size,
                "page": page,
                "allversions": "true",
            }
            answer = self._server.ask("GET", self._listing, key, query=query)
            if not answer.is_done:
                raise self._refused(answer, "list its records")
            found = tables_at(table_at(answer.table, "hits"), "hits")
            yield from found
            if len(found) < size:
                return
        _LOG.warning("repository lists no more records", extra={"url": self._where, "records": _DEEPEST})

    def _is_asked_for(self, entry: RecordEntry) -> bool:
        return ("/draft" if entry.is_open else "") in self._faces

    def _shown(self, record: str, by: Capability | None) -> tuple[RecordEntry, float]:
        """A record without a look at its files, and when it changed (seconds since the epoch)."""
        found = self._looked(record, "", by)
        if found is None or found[1].get("id") != record:
            raise self._absent(record, by)
        face, table = found
        return entry_of(table, is_draft=face == "/draft"), instant(table.get("updated"))

    def _with_files(self, entry: RecordEntry, by: Capability | None) -> RecordEntry:
        """The entry with a version that changes with the files, for that of the repository does not."""
        files = [(file.key, file.size, file.checksum) for file in self.files(entry.id, by)]
        return replace(entry, version=f"{entry.version}/{hashing.digest(files).hex()[:16]}")

    # ---- files
    def files(self, record: str, by: Capability | None = None) -> Sequence[RecordFile]:
        """Its files whose upload is complete, by key. Raises as the contract says."""
        check_record(self._where, record, by)
        found = self._looked(record, "/files", by)
        if found is None:
            raise self._absent(record, by)
        files = [file_of(entry) for entry in tables_at(found[1], "entries") if is_complete(entry)]
        strange = [file.key for file in files if not is_key(file.key)]
        if strange:
            _LOG.warning("files are left out", extra={"record": record, "keys": strange[:10]})
        return sorted((file for file in files if is_key(file.key)), key=lambda file: file.key)

    def read(
        self,
        record: str,
        key: str,
        target: Path,
        progress: Callable[[int], None],
        by: Capability | None = None,
    ) -> RecordFile:
        """Download a file to `target`, verified.

        Raises
        ------
        IntegrityError
            If what came is not what the repository states.
        NotFoundError, Transient, SiteError
            As the contract says.
        """
        path, file = self._bytes_of(record, key, by)
        part = target.with_name(f"{target.name}.part")
        try:
            with part.open("wb") as copy, self._server.download(path, self._key(by)) as chunks:
                self._verified(f"{record}/{key}", file, chunks, copy.write, progress)
            part.rename(target)
        except OSError as error:
            raise StorageError(f"{part}: {error.strerror}") from None
        finally:
            part.unlink(missing_ok=True)
        return file

    def head(self, record: str, key: str, size: int, by: Capability | None = None) -> bytes:
        """The first bytes of a file; the download ends with them.

        Raises
        ------
        NotFoundError, Transient, SiteError
            As the contract says.
        """
        path, _ = self._bytes_of(record, key, by)
        begun = bytearray()
        with self._server.download(path, self._key(by)) as chunks:
            for chunk in chunks:
                begun += chunk
                if len(begun) >= size:
                    break
        return bytes(begun[:size])

    def _bytes_of(self, record: str, key: str, by: Capability | None) -> tuple[str, RecordFile]:
        """Where the bytes of a file are, and what it is. Raises `NotFoundError` if it is not wholly there."""
        check_record(self._where, record, by)
        found = self._looked(record, f"/files/{quote(key, safe='')}", by) if is_key(key) else None
        if found is None or not is_complete(found[1]):
            raise no_file(self._where, record, key)
        face, table = found
        return f"{self._place(record)}{face}/files/{quote(key, safe='')}/content", file_of(table)

    def _verified(
        self,
        what: str,
        file: RecordFile,
        chunks: Iterable[bytes],
        put: Callable[[bytes], object],
        progress: Callable[[int], None],
    ) -> None:
        algorithm, _, stated = file.checksum.partition(":")
        total = hashlib.new(algorithm, usedforsecurity=False) if algorithm in ALGORITHMS else None
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if 0 <= file.size < size:
                break  # no more than was stated is written
            if total is not None:
                total.update(chunk)
            put(chunk)
            progress(len(chunk))
        if file.size not in (-1, size):
            more = " or more" if size > file.size else ""
            raise IntegrityError(f"{self._where}: {what}: found {size} bytes{more}; expected {file.size}")
        if total is not None and total.hexdigest() != stated.lower():
            raise IntegrityError(
                f"{self._where}: {what}: found {algorithm}:{total.hexdigest()}; expected {file.checksum}"
            )

    # ---- results
    def write(
        self,
        record: str,
        key: str,
        source: Path,
        *,
        made_by: str,
        media_type: str = "",
        by: Capability | None = None,
    ) -> RecordFile:
        """Upload a result in three steps, marked with who made it; one that is there already is left as it is.

        The media type is what the repository tells by the name.

        Raises
        ------
        StateError
            If the record is published, or somebody else's file has this key.
        Transient
            If the answer is lost, or the repository received other bytes: they are removed again.
        UsageError, NotFoundError, SiteError, StorageError
            As the contract says; if the source cannot be read.
        """
        del media_type
        check_record(self._where, record, by)
        check_key(self._where, key)
        if not made_by:
            raise ValueError("made_by: found nothing; expected the key of the processing that made the file")
        upload = _Upload(f"{self._place(record)}/draft/files", record, key, made_by, self._key(by), by)
        sums = Sums.of(source)
        if not self._shown(record, by)[0].is_open:
            raise StateError(f"{self._where}: record {record} is published; files cannot be added to it")
        found = self._server.ask("GET", upload.place, upload.by)
        if found.is_done:
            self._check_ours(upload, found.table)
            if is_complete(found.table) and sums.are_of(file_of(found.table)):
                return file_of(found.table)
            self._remove(upload)
        elif found.status not in _ABSENT:
            raise self._refused(found, f"read the files of {record}", upload)
        self._begin(upload)
        try:
            self._expect(
                upload, self._server.put(f"{upload.place}/content", upload.by, sums.size, sums.chunks())
            )
            return self._commit(upload, sums)
        except (SiteError, NotFoundError):  # a record with a file that is not complete cannot be published
            with suppress(TowpathError):
                self._remove(upload)
            raise

    def _check_ours(self, upload: "_Upload", table: Mapping[str, Any]) -> None:
        made_by = file_of(table).made_by
        if made_by != upload.made_by:
            whose = f"made by {made_by}" if made_by else "not made by processing"
            raise StateError(
                f"{self._where}: record {upload.record} has a file {upload.key!r} that is {whose}; it stays as it is"
            )

    def _begin(self, upload: "_Upload") -> None:
        content = [{"key": upload.key, "metadata": {MARK: upload.made_by}}]
        answer = self._server.ask("POST", upload.folder, upload.by, content=content)
        if answer.status == 400:
            found = self._server.ask("GET", upload.place, upload.by)
            if found.is_done:  # somebody was faster
                self._check_ours(upload, found.table)
                raise Transient(f"{self._where}: {upload.key!r} is just being put on record {upload.record}")
        self._expect(upload, answer)

    def _commit(self, upload: "_Upload", sums: "Sums") -> RecordFile:
        answer = self._server.ask("POST", f"{upload.place}/commit", upload.by)
        self._expect(upload, answer)
        file = file_of(answer.table)
        if not sums.are_of(file):
            self._remove(upload)
            raise Transient(
                f"{self._where}: record {upload.record} got other bytes as {upload.key!r} than were sent "
                f"({file.size} bytes, {file.checksum or 'no checksum'}); they were removed"
            )
        return replace(file, made_by=upload.made_by)

    def _remove(self, upload: "_Upload") -> None:
        answer = self._server.ask("DELETE", upload.place, upload.by)
        if answer.status not in _ABSENT:
            self._expect(upload, answer)

    def _expect(self, upload: "_Upload", answer: Answer) -> None:
        if answer.status in _ABSENT:
            raise Transient(
                f"{self._where}: {upload.key!r} was removed from record {upload.record} meanwhile"
            )
        if not answer.is_done:
            raise self._refused(answer, f"put {upload.key!r} on record {upload.record}", upload)

    # ---- people
    def may(self, record: str, caller: Caller) -> frozenset[Access]:
        """What the repository lets the caller's own bearer do; without one, what it lets everybody see.

        Whoever may manage a record may write. Raises `Transient` where the repository does not answer for itself.
        """
        if not is_record(record) or (caller.bearer and not is_bearer(caller.bearer)):
            return frozenset()
        if not caller.bearer:
            return frozenset({Access.READ}) if self._is_public(record) else frozenset()
        key = Key(caller.bearer)
        if not any(self._may_see(record, face, key) for face in self._faces):
            return frozenset()
        answer = self._probed(f"{self._place(record)}/access/links", key)
        may_manage = answer.is_done and "hits" in answer.table
        return frozenset(Access) if may_manage else frozenset({Access.READ})

    def _may_see(self, record: str, face: str, key: Key) -> bool:
        seen = self._probed(f"{self._place(record)}{face}", key)
        if not seen.is_done or seen.table.get("id") != record:
            return False
        files = self._probed(f"{self._place(record)}{face}/files", key)
        return files.is_done and bool({"entries", "enabled"} & files.table.keys())

    def _is_public(self, record: str) -> bool:
        if "" not in self._faces:
            return False
        seen = self._probed(self._place(record), Key())
        access = table_at(seen.table, "access")
        is_shown = (
            seen.is_done and access.get("record") == "public" and seen.table.get("is_published") is True
        )
        return is_shown and self._may_see(record, "", Key())

    def _probed(self, path: str, key: Key) -> Answer:
        answer = self._server.ask("GET", path, key)
        if not answer.is_done and answer.status not in _DENIED:
            raise Transient(f"{self._where} answered {answer.status} at {path}")
        return answer

    def who(self, bearer: str) -> str:
        """A name made of the token itself, if the repository lists records to it.

        The list does not tell whose token it is (records that are shared with them are in it too). Raises `Transient` where the
        repository does not answer for itself.
        """
        if not is_bearer(bearer):
            return ""
        answer = self._server.ask("GET", self._listing, Key(bearer), query={"size": 1})
        if answer.status in (401, 403):
            return ""
        if not answer.is_done or "hits" not in answer.table:
            raise Transient(f"{self._where} answered {answer.status} when asked whose token this is")
        return f"depositor-{hashlib.sha256(bearer.encode()).hexdigest()[:8]}"

    # ---- capabilities
    def grant(self, record: str, caller: Caller | None, lasts: float) -> Capability:
        """An access link to edit the record, which ends at the end of a day (UTC), made by the caller or by the site.

        Raises
        ------
        NotFoundError
            If the caller may not make one.
        SiteError
            If the site's account may not.
        """
        check_record(self._where, record, None)
        is_callers = caller is not None and caller.bearer != ""
        if caller is not None and caller.bearer and not is_bearer(caller.bearer):
            raise no_record(self._where, record)
        if caller is not None and not is_callers and Access.WRITE not in self.may(record, caller):
            raise no_record(self._where, record)
        until = datetime.fromtimestamp(self._clock() + max(lasts, 0.0), UTC)
        # A link ends when its day begins, so it is the day after.
        ends = until.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        content = {
            "permission": "edit",
            "expires_at": ends.date().isoformat(),
            "description": f"Towpath, work until {until:%Y-%m-%d %H:%M} UTC",
        }
        key = Key(caller.bearer) if caller is not None and is_callers else self._key(None)
        answer = self._server.ask("POST", f"{self._place(record)}/access/links", key, content=content)
        if answer.status in _ABSENT or (is_callers and answer.status in _DENIED):
            raise no_record(self._where, record)
        name, secret = answer.table.get("id"), answer.table.get("token")
        if not (answer.is_done and isinstance(name, str) and isinstance(secret, str) and name and secret):
            raise self._refused(answer, f"make an access link to record {record}")
        return Capability(record, name, secret, ends.timestamp())

    def revoke(self, capability: Capability) -> None:
        """Remove the access link, by the site's account, which must be allowed to manage the record.

        Raises
        ------
        SiteError
            If it is not: the link then ends by itself, on its day.
        """
        if not capability.name:
            return
        check_record(self._where, capability.record, None)
        path = f"{self._place(capability.record)}/access/links/{quote(capability.name, safe='')}"
        answer = self._server.ask("DELETE", path, self._key(None))
        if not answer.is_done and answer.status not in _ABSENT:
            raise self._refused(answer, f"remove its access link from record {capability.record}")

    def close(self) -> None:
        """End connections."""
        self._server.close()

    # ---- asking
    @property
    def _where(self) -> str:
        return f"{self.name}: {self._server.where}"

    def _place(self, record: str) -> str:
        return f"{self._path}/{quote(record, safe='')}"

    def _key(self, by: Capability | None) -> Key:
        bearer = self._token().strip() if self._token is not None else ""
        if bearer and not is_bearer(bearer):
            raise SiteError(
                f"{self._where}: the token of the site's account cannot stand in a request; see token"
            )
        return Key(bearer, by.secret if by is not None else "")

    def _looked(self, record: str, rest: str, by: Capability | None) -> tuple[str, Mapping[str, Any]] | None:
        """What the first face of a record that shows it tells, and which that is; None if there is nothing to see."""
        key, refused = self._key(by), None
        for face in self._faces:
            answer = self._server.ask("GET", f"{self._place(record)}{face}{rest}", key)
            if answer.is_done:
                return face, answer.table
            if answer.status not in _DENIED or (answer.status == 401 and key.bearer):
                raise self._refused(answer, f"read record {record}")
            if answer.status not in _ABSENT and by is None:
                refused = answer
        if refused is not None:
            raise self._refused(refused, f"read record {record}")
        return None

    def _absent(self, record: str, by: Capability | None) -> NotFoundError:
        if by is None or not by.secret:
            return no_record(self._where, record)
        return NotFoundError(
            f"{self._where}: record {record} cannot be seen; it was removed, or what Towpath may do with it has ended"
        )

    def _refused(
        self, answer: Answer, what: str, upload: "_Upload | None" = None
    ) -> NotFoundError | SiteError:
        if answer.status == 401:
            return SiteError(
                f"{self._where} does not know the site's account and so may not {what}; "
                "give its token as the setting token, or renew it"
            )
        if answer.status == 403 and upload is not None and upload.capability is not None:
            return self._absent(upload.record, upload.capability)
        if answer.status == 403:
            return SiteError(
                f"{self._where}: the site's account may not {what}; share the record with it, or with its community"
            )
        if answer.status == 413:
            return SiteError(f"{self._where}: is too full to {what}; look at its quota and limits")
        return SiteError(
            f"{self._where} answered {answer.status} when asked to {what}; look at its quota and settings"
        )


def make(settings: Mapping[str, Any]) -> InvenioRepository:
    """An InvenioRDM instance from its settings (contracts.repository.Maker).

    Raises
    ------
    DefinitionError
        If they are wrong.
    """
    for name, value in settings.items():
        if name not in _SETTINGS:
            raise DefinitionError(f"{name}: found an unknown key; expected one of {', '.join(_SETTINGS)}")
        kind = type(_SETTINGS[name])
        if name == "token":
            is_right = callable(value)
        else:
            is_right = isinstance(value, (int, float) if kind is float else kind) and not isinstance(
                value, bool
            )
        if not is_right:
            raise DefinitionError(
                f"{name}: found what is no {'secret' if name == 'token' else kind.__name__}"
            )
    if "url" not in settings:
        raise DefinitionError("url: found nothing; expected the address of the repository")
    return InvenioRepository(**settings)


@dataclass(frozen=True, slots=True)
class _Upload:
    """A file on its way to a record: where to, and with what it is asked for."""

    folder: str
    record: str
    key: str
    made_by: str
    by: Key
    capability: Capability | None

    @property
    def place(self) -> str:
        return f"{self.folder}/{quote(self.key, safe='')}"
