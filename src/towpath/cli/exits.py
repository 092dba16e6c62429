"""Exit codes: the one table of what the process says when it ends, and which error gives which code.

Promises that a code never changes its meaning; docs/reference/exit-codes.md is checked against this table.
"""

from enum import IntEnum

from towpath.base import errors


class Exit(IntEnum):
    """What the exit code of a command says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DEFINITION = 3
    NOT_FOUND = 4
    STATE = 5
    SITE = 6
    DEFECT = 70
    INTERRUPTED = 130


MEANINGS = {
    Exit.DONE: "done; nothing failed",
    Exit.FAILED: "the run went through, but work failed or was poisoned in it; or a check found something wrong",
    Exit.USAGE: "the command line is wrong, or what was asked cannot be done as asked",
    Exit.DEFINITION: "a pipeline file or the site file is wrong",
    Exit.NOT_FOUND: "there is no such item, stage, run, product, root or pipeline",
    Exit.STATE: "the thing is not in a state that allows it",
    Exit.SITE: "the site, its catalog or a disk cannot work",
    Exit.DEFECT: "a defect of Towpath or of a plug-in: an error that nobody expected",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM; what ran was finished or given back",
}

# The first that fits: subclasses stand before their bases.
_OF = (
    (errors.DefinitionError, Exit.DEFINITION),
    (errors.NotFoundError, Exit.NOT_FOUND),
    (errors.StateError, Exit.STATE),
    (errors.UsageError, Exit.USAGE),
    (errors.SiteError, Exit.SITE),
    (errors.StorageError, Exit.SITE),
    (errors.TowpathError, Exit.FAILED),
    (OSError, Exit.SITE),
)


def code_of(error: BaseException) -> Exit:
    """The exit code of an error."""
    return next((code for kind, code in _OF if isinstance(error, kind)), Exit.DEFECT)
