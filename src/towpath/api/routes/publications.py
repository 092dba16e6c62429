"""Publications: the journal, letting one go on that waits for a person, trying failed ones again."""

from typing import Annotated, Any

from fastapi import Query

from towpath.api import shapes, telling
from towpath.api.asking import Asker
from towpath.api.routes.items import After, Limit
from towpath.api.routes.routing import Number, may, router
from towpath.api.sight import seen
from towpath.base.errors import UsageError
from towpath.base.states import Publication
from towpath.contracts.auth import Permission
from towpath.contracts.catalog import PublicationRow

routes = router("publications")


@routes.get(
    "/publications", response_model=shapes.Page[shapes.PublicationShape], dependencies=may(Permission.VIEW)
)
def publications(
    asker: Asker,
    state: Annotated[str, Query(examples=["released"])] = "",
    item: Annotated[int, Query(ge=0, le=2**62)] = 0,
    after: After = 0,
    limit: Limit = 100,
) -> Any:
    """The publication journal."""
    if state and state not in tuple(Publication):
        raise UsageError(f"state: found {state!r}; expected one of {', '.join(Publication)}")
    states = (Publication(state),) if state else ()
    sees = seen(asker)
    shown: list[PublicationRow] = []
    with asker.site.catalog.read() as view:
        while len(shown) < limit:
            page = view.publications(item, states=states, after=after, limit=limit)
            shown += [one for one in page if sees(one.item)][: limit - len(shown)]
            if len(page) < limit:
                break
            after = page[-1].id
    following = shown[-1].id if len(shown) == limit else None
    return {"items": [telling.told(one) for one in shown], "next": following}


@routes.post("/items/{item}/publish", response_model=shapes.Done, dependencies=may(Permission.PUBLISH))
def publish(asker: Asker, item: Number, wanted: shapes.Why) -> Any:
    """Let publications of an item go on that wait for a person."""
    found = asker.item(item, Permission.PUBLISH)
    return {"touched": asker.site.publish(found.name, why=wanted.why)}


@routes.post("/items/{item}/publish/retry", response_model=shapes.Done, dependencies=may(Permission.PUBLISH))
def retry(asker: Asker, item: Number, wanted: shapes.Why) -> Any:
    """Try publications of an item again that failed, were poisoned or stopped; those that wait go on too."""
    found = asker.item(item, Permission.PUBLISH)
    return {"touched": asker.site.publish(found.name, retry=True, why=wanted.why)}
