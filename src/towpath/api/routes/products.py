"""Products: what the catalog says of one, its lineage both ways, its bytes with ranges, and a preview.

Promises that nothing outside a product's own file or tree is ever sent.
"""

import mimetypes
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query, Request, Response
from fastapi.responses import FileResponse

from towpath.api import previews, shapes, telling
from towpath.api.asking import Asked, Asker
from towpath.api.routes.routing import Number, may, router
from towpath.api.sight import seen
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.base.model import Product
from towpath.base.states import Product as State
from towpath.contracts.auth import Permission

routes = router("products")

_BYTES = "application/octet-stream"
_SHOWN = ("image/png", "image/jpeg", "text/plain", "application/json", "text/csv")  # what runs nothing
_THERE = (State.CURRENT, State.SUPERSEDED, State.TRASH, State.SHED, State.CHANGED)


def find_product(asker: Asked, number: int, permission: Permission) -> Product:
    """A product of an item that the asker may do this to. Raises `NotFoundError`."""
    found = asker.site.product(number)
    try:
        asker.item(found.item, permission)
    except NotFoundError:
        raise NotFoundError(f"no product with number {number}") from None
    return found


@routes.get("/products/{product}", response_model=shapes.ProductShape, dependencies=may(Permission.VIEW))
def one(asker: Asker, product: Number) -> Any:
    """What the catalog says of a product."""
    return telling.product(find_product(asker, product, Permission.VIEW))


@routes.get("/products/{product}/lineage", dependencies=may(Permission.VIEW))
def lineage(
    asker: Asker,
    product: Number,
    direction: Annotated[
        Literal["up", "down", "both"], Query(description="what it was made from, or what from it")
    ] = "both",
    most: Annotated[int, Query(ge=1, le=5000)] = 300,
) -> dict[str, Any]:
    """What a product was made from and what was made from it: products, and the runs between them."""
    find_product(asker, product, Permission.VIEW)
    found = asker.site.trace(
        product, up=direction != "down", down=direction != "up", most=most, sees=seen(asker)
    )
    return {
        "products": [
            {**telling.product(one), "item_name": found.items[one.item]} for one in found.products.values()
        ],
        "read": [{"product": number, "run": run, "input": name} for number, run, name in found.read],
        "made": [{"run": run, "product": number, "output": name} for run, number, name in found.made],
        "is_cut": found.is_cut,
    }


@routes.get(
    "/products/{product}/content",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in (_BYTES, *_SHOWN)}},
        206: {"content": {kind: {} for kind in (_BYTES, *_SHOWN)}},
    },
    dependencies=may(Permission.READ),
)
def content(
    asker: Asker,
    product: Number,
    path: Annotated[str, Query(max_length=4000, description="a file of a tree")] = "",
    inline: Annotated[bool, Query(description="to be shown, not kept: pictures and text")] = False,
) -> Any:
    """The bytes of a product, or of one file of a tree; ranges are answered."""
    found = find_product(asker, product, Permission.READ)
    file = within(asker, found, path)
    kind = mimetypes.guess_type(file.name)[0] or _BYTES
    is_shown = inline and kind in _SHOWN
    return FileResponse(
        file,
        media_type=kind if is_shown else _BYTES,
        filename=file.name,
        content_disposition_type="inline" if is_shown else "attachment",
        headers={
            "ETag": f'"{found.sha256.hex()}"'
            if not found.tree
            else f'"{found.sha256.hex()}-{file.stat().st_size}"'
        },
    )


def within(asker: Asked, product: Product, path: str = "") -> Path:
    """The place of a product's file, or of one in its tree.

    Raises
    ------
    StateError
        If its bytes are not there any more.
    UsageError
        If a tree's file is not named, or a file is named in what is no tree.
    NotFoundError
        If there is no such file in the tree.
    """
    if product.state not in _THERE:
        raise StateError(f"product {product.id} is {product.state.value}: its bytes are not there")
    return file_of(product, asker.site.place(product), path)


def file_of(product: Product, place: Path, path: str = "") -> Path:
    """The file of a product at a place, or one in its tree. Raises as `within`."""
    if product.tree != bool(path):
        expected = "`path`, one of its files" if product.tree else "no `path`"
        raise UsageError(
            f"path: product {product.id} is a {'tree' if product.tree else 'file'}; expected {expected}"
        )
    if path:
        real = os.path.realpath(place)
        file = os.path.realpath(os.path.join(real, path)) if "\0" not in path else ""  # noqa: PTH118  as the system joins
        if not file.startswith(real + os.sep):
            raise NotFoundError(f"product {product.id} has no file {path!r}")
        place = Path(file)
    if not _is_file(place):
        what = f"product {product.id} has no file {path!r}"
        raise NotFoundError(what if path else f"the bytes of product {product.id} are missing")
    return place


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except OSError:  # a name that is too long for a file
        return False


@routes.get("/products/{product}/files", dependencies=may(Permission.VIEW))
def files(
    asker: Asker, product: Number, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> dict[str, Any]:
    """The files of a tree with their sizes in bytes."""
    found = find_product(asker, product, Permission.VIEW)
    place = asker.site.place(found)
    if not found.tree:
        return {"items": [{"path": place.name, "size": found.size}], "is_cut": False}
    every: list[dict[str, Any]] = []
    for folder, below, names in os.walk(place):
        below.sort()
        for name in sorted(names):
            file = Path(folder) / name
            if len(every) == limit:
                return {"items": every, "is_cut": True}
            path = os.fsencode(file.relative_to(place)).decode(errors="replace")
            every.append({"path": path, "size": file.lstat().st_size})
    return {"items": every, "is_cut": False}


@routes.get(
    "/products/{product}/preview",
    response_class=Response,
    responses={200: {"content": {"image/png": {}, "application/json": {}}}},
    dependencies=may(Permission.READ),
)
def preview(
    request: Request, asker: Asker, product: Number, path: Annotated[str, Query(max_length=4000)] = ""
) -> Any:
    """A picture of a product (PNG, FITS, a slice of Zarr or HDF5), or the head of a table or text (JSON)."""
    found = find_product(asker, product, Permission.READ)
    if found.state not in _THERE:
        raise StateError(f"product {product} is {found.state.value}: its bytes are not there")
    place = within(asker, found, path) if path or not found.tree else asker.site.place(found)
    store: previews.Previews = request.app.state.previews
    made = store.of(found.sha256, place, path)
    return Response(made.data, media_type=made.media, headers={"Cache-Control": "private, max-age=3600"})
