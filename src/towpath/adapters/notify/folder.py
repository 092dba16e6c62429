"""Messages as JSON files in a folder, for a reader on the same disk.

Promises that a file is whole from the instant it has its name, and that a repeat replaces it with the same content.
Never removes a file: that is the reader's to do.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from towpath.base.errors import Transient
from towpath.base.flushing import flush
from towpath.base.hashing import canonical
from towpath.base.ids import slug


class Folder:
    """A folder that gets one file per message: ``<sequence>-<subject>.json`` (contracts.notify.Sink).

    Parameters
    ----------
    folder
        Where to write; it must be there, so that a disk that is not mounted is noticed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def send(self, subject: str, sequence: int, key: str, body: Mapping[str, Any]) -> None:
        """Write one message. Raises `Transient` if the folder is away, full or not writable."""
        content = (
            canonical({"subject": subject, "sequence": sequence, "key": key, "body": dict(body)}) + b"\n"
        )
        name = f"{sequence:012d}-{slug(subject)}.json"
        temporary = self.folder / f".{name}.{os.getpid()}"
        try:
            self._write(temporary, content)
            temporary.rename(self.folder / name)
            flush(self.folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise Transient(f"{self.folder}: {error.strerror}") from error

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
