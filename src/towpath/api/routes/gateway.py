"""The gateway of runs: a run reads its inputs and writes its outputs with its own token, while it runs.

Promises that no person's token is needed where a run works, and none is taken here.
"""

from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Annotated, Any

import anyio
from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from towpath.api import shapes
from towpath.api.asking import Asked, Asker
from towpath.api.errors import Refused
from towpath.api.routes.products import file_of
from towpath.api.routes.routing import Number, router
from towpath.api.routes.runs import RunName
from towpath.base import ids
from towpath.base.errors import NotFoundError

routes = router("gateway")

_BYTES: dict[str, Any] = {"content": {"application/octet-stream": {}}}


def _own(asker: Asker, run: RunName) -> tuple[int, int]:
    """The run of the token, which must be the one of the path."""
    if asker.run is None:
        raise Refused(
            HTTPStatus.UNAUTHORIZED, "unauthorized", "this asks for the token of a run, while it runs",
            "a run finds it in TOWPATH_RUN_TOKEN", headers={"WWW-Authenticate": "Bearer"},
        )  # fmt: skip
    if asker.run != ids.parse_run_name(run):
        raise NotFoundError(f"no run {run}, as far as this token may know")
    return asker.run


Own = Annotated[tuple[int, int], Depends(_own)]


@routes.get("/runs/{run}/inputs", response_model=list[shapes.InputShape])
def inputs(asker: Asker, own: Own) -> Any:
    """What the run reads: for each input its products, with their sizes and hashes."""
    return [
        {
            "name": one.name,
            "product": one.product.id,
            "type": one.product.type,
            "file": one.place.name,
            "size": one.product.size,
            "sha256": one.product.sha256.hex(),
            "tree": one.product.tree,
        }
        for one in asker.site.run_inputs(*own)
    ]


@routes.get("/runs/{run}/inputs/{product}", response_class=Response, responses={200: _BYTES, 206: _BYTES})
def read(asker: Asker, own: Own, product: Number, path: Annotated[str, Query(max_length=4000)] = "") -> Any:
    """The bytes of an input, or of one file of a tree; ranges are answered."""
    found = next((one for one in asker.site.run_inputs(*own) if one.product.id == product), None)
    if found is None:
        raise NotFoundError(f"product {product} is no input of this run")
    return FileResponse(file_of(found.product, found.place, path), media_type="application/octet-stream")


@routes.put("/runs/{run}/outputs/{output}", response_model=shapes.TakenShape, status_code=201)
async def write(
    request: Request,
    asker: Asker,
    own: Own,
    output: Annotated[str, Path(max_length=200)],
    filename: Annotated[
        str, Query(max_length=255, description="the file that the run opened for this output")
    ],
) -> Any:
    """Write an output of the run: its bytes are the body (application/octet-stream)."""
    taken = await run_in_threadpool(_take, asker, own, output, filename, request.stream())
    return {"output": output, "size": taken.size, "sha256": taken.sha256}


def _take(asker: Asked, own: tuple[int, int], output: str, filename: str, body: AsyncIterator[bytes]) -> Any:
    return asker.site.take_output(*own, output, filename, _pieces(body))


def _pieces(body: AsyncIterator[bytes]) -> Iterator[bytes]:
    """A body, piece by piece, for a thread that writes it."""

    async def following() -> bytes | None:
        return await anext(body, None)

    while (piece := anyio.from_thread.run(following)) is not None:
        yield piece
