"""Secrets: how a plug-in reads what must stand in no file of a site.

A reader is asked anew about once a minute, so that a secret which was changed is used without a restart. Promises that a
secret never shows in the text of a value that holds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

GROUP = "towpath.secrets"  # the entry point group of plug-ins that read secrets


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as it is now: its text, what its keeper calls this version ("": nothing), and for how many seconds it holds.

    `lease` is 0 where nothing is said of that.
    """

    value: str = field(repr=False)
    version: str = ""
    lease: float = 0.0


class Secrets(Protocol):
    """Reads secrets by name."""

    def read(self, name: str) -> Secret:
        """The secret of this name as it is now.

        Raises
        ------
        NotFoundError
            If there is none.
        Transient
            If its keeper cannot be asked now, and it may work later.
        SiteError
            If its keeper refuses.
        """


# Makes a reader from its table in the site file, [secrets.NAME]. What is secret there by its name stands as a function
# that reads it anew, whether the file has a text, {env = ...} or {file = ...}.
Maker = Callable[[Mapping[str, Any]], Secrets]
