"""The inventory: products by root, kind and stage, disks, what retention would free; and a check of a root, without acting."""

from collections import Counter
from typing import Annotated

from fastapi import Form, Request, Response

from towpath.api.asking import Asked, Asker
from towpath.api.pages.page import Viewer, render, router
from towpath.api.sight import seen
from towpath.contracts.auth import Permission
from towpath.flow.reconcile import Finding

routes = router()

_MOST = 500  # findings that are listed
_HERE = "/inventory"

Row = tuple[str, str, str, int, int]


@routes.get(_HERE)
def page(request: Request, asker: Viewer, root: str = "", kind: str = "") -> Response:
    """What products there are."""
    every = [row for row in asker.site.overview() if asker.sees(row[1].partition("/")[0])]
    if asker.access.authorizer is not None:  # sums are not told apart by who may view what is in them
        every = []
    shown = [row for row in every if root in ("", row[0]) and kind in ("", row[1])]
    with asker.site.catalog.read() as view:
        roots = view.roots()
    return render(
        request,
        asker,
        "inventory.html",
        title="Inventory",
        shown=shown,
        largest=max((row[4] for row in shown), default=1) or 1,
        total=(sum(row[3] for row in shown), sum(row[4] for row in shown)),
        wanted={"root": root, "kind": kind},
        roots=sorted({row[0] for row in every}),
        kinds=sorted({row[1] for row in every}),
        checked=sorted(roots),
        may_check=_may_check(asker),
        may_measure=asker.may(Permission.CONFIGURE),
    )


def _may_check(asker: Asked) -> bool:
    """A check reads the disks, and tells of everything that lies there."""
    return asker.may(Permission.RUN)


@routes.get("/inventory/sizes")
def sizes(request: Request, asker: Viewer) -> Response:
    """How large everything is, and what retention would free."""
    asker.need(Permission.CONFIGURE)
    found = asker.site.sizes()
    with asker.site.catalog.read() as view:
        roots = view.roots()
    used = {root: sum(amount.bytes for amount in states.values()) for root, states in found.products.items()}
    return render(
        request,
        asker,
        "sizes.html",
        page=_HERE,
        title="Sizes",
        found=found,
        disks=[
            (name, roots[name].place if name in roots else "", used.get(name, 0), free)
            for name, free in found.disks.items()
        ],
        rows=sorted(found.tables.items(), key=lambda row: -row[1]),
    )


@routes.post("/inventory/check")
def check(request: Request, asker: Asker, root: Annotated[str, Form(max_length=200)] = "store") -> Response:
    """Compare a root with the catalog, both ways; nothing is changed."""
    asker.need(Permission.RUN)
    sees = seen(asker)
    found: list[Finding] = [one for one in asker.site.reconcile(root, write=False) if sees(one.item)]
    sums = Counter(one.what for one in found)
    with asker.site.catalog.read() as view:
        names = {one.item: view.item(one.item).name for one in found[:_MOST] if one.item}
    return render(
        request,
        asker,
        "check.html",
        page=_HERE,
        title=f"{root} against the catalog",
        root=root,
        found=found[:_MOST],
        total=len(found),
        sums=sums.most_common(),
        names=names,
    )
