"""A route that the pipeline `lab` brings."""

from typing import Any

from fastapi import APIRouter

from towpath.api import Asker

routes = APIRouter()


@routes.get("/weights")
def weights(asker: Asker) -> dict[str, Any]:
    """The samples that the asker may see.

    As names.
    """
    found = asker.site.items(pipeline="lab", kind="sample")
    return {"names": [item.name for item in found if asker.sees("lab", item)], "who": asker.person.name}
