"""The authorizer `records`: what somebody may do to what belongs to a record is asked of the repository that has the record.

Promises that who may not read a record cannot tell what belongs to it from what is not there, and that nobody is let in while
the repository cannot be asked. What belongs to no record, and people whom the repository does not know, are left to the roles.
"""

import logging

from towpath.app.site import Site
from towpath.base.errors import NotFoundError, SiteError, Transient
from towpath.base.model import Item
from towpath.contracts.auth import Permission, Person
from towpath.contracts.repository import Access, Caller, Knows

log = logging.getLogger(__name__)

RECORD = "record"  # the attribute that names the record which an item belongs to
_LOOKS = (Permission.VIEW, Permission.READ, Permission.SUBSCRIBE)
_WAIT = 5.0  # seconds after which to try again at least


class Records:
    """Asks the repositories of a site about items (contracts.auth.Authorizer)."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def allows(self, person: Person, permission: Permission, item: Item) -> bool:
        """Whether the record that an item belongs to may be read, or else be changed, by a person.

        Raises
        ------
        Transient
            If the repository cannot be asked now.
        """
        record = item.attributes.get(RECORD)
        if not record:
            return True
        needed = Access.READ if permission in _LOOKS else Access.WRITE
        try:
            repository, knows = self._site.keeper(item.pipeline, item.kind, str(record))
            if knows is None or (knows is Knows.BEARERS and _is_ours(person)):
                return True
            caller = Caller(person.name, person.bearer, person.of)
            return needed in self._site.access(repository, str(record), caller)
        except NotFoundError:
            return False
        except (Transient, SiteError) as error:
            log.warning("repository cannot be asked", extra={"record": str(record), "reason": str(error)})
            wait = max(getattr(error, "after", 0.0), _WAIT)
            raise Transient("the repository cannot be asked now what may be done with this", wait) from None


def _is_ours(person: Person) -> bool:
    """Whether Towpath knows somebody whom a repository does not: by a token of its own, or by that of a panel.

    What the one who asked for the panel might do was asked then.
    """
    return person.panel is not None or (person.token != 0 and not person.bearer)
