"""Every error of Towpath, in one tree.

TowpathError
├── UsageError            what was asked cannot be done as asked
│   ├── DefinitionError   a pipeline or site file is wrong
│   ├── NotFoundError     no such item, stage, product, root or run
│   └── StateError        the thing is not in a state that allows it
│       └── BusyError     other work holds it
├── SiteError             the site cannot work (file system, catalog, migrations)
├── StorageError          bytes could not be read, written or moved
│   └── IntegrityError    bytes are not what the catalog says
└── StageOutcome          raised by stages
    ├── Reject            the item does not qualify: a result, not a fault
    └── Transient         try again later
"""

from collections.abc import Sequence


class TowpathError(Exception):
    """Base of all errors. The message says what was found, what was expected and what to do."""


class UsageError(TowpathError):
    """What was asked cannot be done as asked. Change the request."""


class DefinitionError(UsageError):
    """A pipeline or site file is wrong. Correct the file at the place named; the former definition stays active.

    Parameters
    ----------
    problems
        One text per problem, each `place: found; expected`.
    file
        The file's name as the user gave it.
    """

    def __init__(self, problems: Sequence[str] | str, file: str = "") -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        self.file = file
        super().__init__("\n".join(f"{file}: {problem}" if file else problem for problem in self.problems))


class NotFoundError(UsageError):
    """No such item, stage, product, root or run. Check the name with `towpath items`."""


class StateError(UsageError):
    """The thing is not in a state that allows this. `towpath explain` tells the state and why."""


class BusyError(StateError):
    """Other work holds what was asked for. Wait until it ends, stop it, or force what was asked.

    Parameters
    ----------
    message
        What is held, and by what.
    holder
        The key of the item that holds it.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        self.holder = holder
        super().__init__(message)

    def __reduce__(self) -> tuple[type["BusyError"], tuple[str, str]]:
        return type(self), (str(self), self.holder)


class SiteError(TowpathError):
    """The site cannot work: its catalog, file system or migrations. Mend what is named and start again."""


class StorageError(TowpathError):
    """Bytes could not be read, written or moved. Check the disk named, then `towpath retry`."""


class IntegrityError(StorageError):
    """Bytes are not what the catalog says. `towpath explain` names the product; adopt it or run its stage again."""


class StageOutcome(TowpathError):
    """Base of what a stage may raise on purpose."""


class Reject(StageOutcome):
    """The item does not qualify. Raise it with one or more reasons; the run ends `rejected` and nothing follows.

    Parameters
    ----------
    reasons
        A sentence, or several.
    """

    def __init__(self, reasons: str | Sequence[str]) -> None:
        self.reasons = [reasons] if isinstance(reasons, str) else list(reasons)
        super().__init__("; ".join(self.reasons))

    def __reduce__(self) -> tuple[type["Reject"], tuple[list[str]]]:
        return type(self), (self.reasons,)


class Transient(StageOutcome):
    """Something outside failed and may work later: the run is tried again with backoff.

    Parameters
    ----------
    reason
        A sentence.
    after
        Seconds to wait at least before the next attempt; 0 leaves it to the backoff.
    """

    def __init__(self, reason: str, after: float = 0.0) -> None:
        self.reason, self.after = reason, after
        super().__init__(reason)

    def __reduce__(self) -> tuple[type["Transient"], tuple[str, float]]:
        return type(self), (self.reason, self.after)
