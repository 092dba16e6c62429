"""The route that gives a repository's pages the token of a record's panel.

Promises that the token is for that record alone, for ten minutes, and for no more than who asks for it may. Keeps nothing.
"""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from towpath.api import Asker, Route, panel_token
from towpath.pipelines.compchem.processings import pipeline_of

routes = APIRouter(route_class=Route)

Record = Annotated[str, Path(min_length=1, max_length=128, description="the record's id in its repository")]


class PanelToken(BaseModel):
    """A token for the panel of one record."""

    token: str = Field(
        description="sent as `Authorization: Bearer`; for what belongs to the record, nothing else"
    )
    expires_in: float = Field(description="seconds")
    url: str = Field(description="the panel for a frame; the token is to stand after `#token=`")


@routes.post("/{record}/embed", response_model=PanelToken)
def embed(asker: Asker, record: Record, response: Response) -> Any:
    """A token for the panel of a record in another site's page. It may what the asker may, and ends after ten minutes.

    To be asked for by the server of that site, with the token of who looks at the page. 404 if they may not view the record.
    """
    pipeline = pipeline_of(asker.site)
    token, seconds = panel_token(asker, pipeline, record)
    response.headers["Cache-Control"] = "no-store"
    url = asker.site.settings.server.url.rstrip("/")
    return {
        "token": token,
        "expires_in": seconds,
        "url": f"{url}/pipelines/{pipeline}/frame?record={quote(record, safe='')}",
    }
