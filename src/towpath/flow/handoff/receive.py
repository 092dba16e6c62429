"""Receive: a delivery is looked at, file by file against its manifest and the order, and then judged.

A delivery is a folder: files first, then MANIFEST.json renamed into place. Without a manifest nothing is touched. Promises
all reasons and not only the first, that looking again gives the same answer, and that no link is followed out of the folder.
"""

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from towpath.base.errors import StateError
from towpath.base.states import WITH_SOMEBODY, Delivery, Order
from towpath.contracts.catalog import Catalog, DeliveryRow, OrderRow, Transaction
from towpath.contracts.orders import MANIFEST, ORDER, DeliveryManifest
from towpath.flow.handoff.answer import deliver, mind, tell

Check = Callable[[Mapping[str, Path], Mapping[str, Any]], Sequence[str]]

_LARGEST = 16 << 20  # bytes of a manifest


@dataclass(frozen=True, slots=True)
class Examined:
    """What a delivery is found to be: `state` None while it is not whole yet, and why; its files by output."""

    state: Delivery | None
    reasons: tuple[str, ...] = ()
    sha256: bytes = b""
    token: int = 0
    manifest: Mapping[str, Any] | None = None
    files: Mapping[str, Path] | None = None


def examine(folder: Path, order: OrderRow, check: Check | None = None) -> Examined:
    """Look at a delivery without changing anything.

    Returns
    -------
    Examined
        Without a manifest, or with files that are still missing, `state` is None.
    """
    try:
        text = _manifest(folder)
    except FileNotFoundError:
        return Examined(None, (f"there is no {MANIFEST} yet",))
    except OSError as error:
        return Examined(Delivery.QUARANTINED, (f"{MANIFEST}: {error}",), hashlib.sha256(b"").digest())
    digest = hashlib.sha256(text).digest()
    try:
        manifest = DeliveryManifest.model_validate_json(text)
    except ValidationError as error:
        return Examined(Delivery.REJECTED, tuple(_problems(error)), digest, order.token, {})
    told = json.loads(text)
    if manifest.order != order.id:
        wrong = f"{MANIFEST}, order: found {manifest.order}; expected {order.id}"
        return Examined(Delivery.REJECTED, (wrong,), digest, manifest.token, told)
    missing = [one.path for one in manifest.files if not os.path.lexists(folder / one.path)]
    if missing:
        return Examined(None, tuple(f"{name} is not there yet" for name in missing), digest)
    aside = [*_links(folder, manifest), *_unnamed(folder, manifest)]
    if aside:
        return Examined(Delivery.QUARANTINED, tuple(aside), digest, manifest.token, told)
    wrong_ones = list(_unequal(folder, manifest))
    files, unfit = outputs_of(folder, manifest, order.body["deliver"])
    reasons = [*wrong_ones, *unfit]
    if not reasons and check is not None:
        try:
            reasons += check(files, order.body)
        except Exception as error:  # noqa: BLE001  the pipeline's own code: whatever it raises, a person must look
            aside = [f"its check failed: {type(error).__name__}: {error}"]
            return Examined(Delivery.QUARANTINED, tuple(aside), digest, manifest.token, told, files)
    if reasons:
        return Examined(Delivery.REJECTED, tuple(reasons), digest, manifest.token, told)
    state = Delivery.VERIFIED if manifest.token == order.token else Delivery.LATE
    late = (
        ()
        if state is Delivery.VERIFIED
        else (f"it answers claim {manifest.token}, and {order.token} is current",)
    )
    return Examined(state, late, digest, manifest.token, told, files)


def _manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("found a link or a folder; expected a file")
    if status.st_size > _LARGEST:
        raise OSError(f"found {status.st_size} bytes; expected at most {_LARGEST}")
    return path.read_bytes()


def _problems(error: ValidationError) -> list[str]:
    return [
        f"{MANIFEST}, {'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()
    ]


def _links(folder: Path, manifest: DeliveryManifest) -> list[str]:
    """What leads out of the folder, or is no plain file."""
    found = []
    for one in manifest.files:
        path = folder / one.path
        is_inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
        if not is_inside or not stat.S_ISREG(path.lstat().st_mode):
            found.append(f"{one.path}: found a link, a folder or a device; expected a file in the delivery")
    return found


def _unnamed(folder: Path, manifest: DeliveryManifest) -> list[str]:
    named = {one.path for one in manifest.files} | {MANIFEST, ORDER}
    found = []
    for root, folders, files in os.walk(folder):
        for name in [*files, *(one for one in folders if (Path(root) / one).is_symlink())]:
            path = (Path(root) / name).relative_to(folder).as_posix()
            if path not in named:
                found.append(f"{path}: a file that {MANIFEST} does not name")
    return sorted(found)


def _unequal(folder: Path, manifest: DeliveryManifest) -> list[str]:
    """Files whose size or hash is not what the manifest says."""
    found = []
    for one in manifest.files:
        path = folder / one.path
        size = path.stat().st_size
        if size != one.bytes:
            found.append(f"{one.path}: found {size} bytes; expected {one.bytes}")
        elif (digest := _sha256(path)) != one.sha256:
            found.append(f"{one.path}: found sha256 {digest}; expected {one.sha256}")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outputs_of(
    folder: Path, manifest: DeliveryManifest, asked: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Path], list[str]]:
    """The delivered file of each output that was asked for, and what of the order is not met."""
    found: dict[str, Path] = {}
    reasons = []
    for one in asked:
        fits = [f for f in manifest.files if fnmatchcase(PurePosixPath(f.path).name, one["file"])]
        if len(fits) > 1:
            names = ", ".join(f.path for f in fits)
            reasons.append(f"{one['output']}: found {names}; expected one file named {one['file']}")
        elif fits and fits[0].bytes < one["least"]:
            reasons.append(f"{fits[0].path}: found {fits[0].bytes} bytes; expected at least {one['least']}")
        elif fits:
            found[one["output"]] = folder / fits[0].path
        elif not one["optional"]:
            reasons.append(f"{one['output']}: found no file; expected one named {one['file']}")
    return found, reasons


def receive(
    catalog: Catalog, number: int, folder: Path, who: str = "", *, check: Check | None = None
) -> Examined:
    """Look at the drop box of an order, and write down what is found: the order goes on, or back to whoever has it.

    The same manifest a second time changes nothing. What is not whole yet is looked at again later.

    Raises
    ------
    StateError
        If it is no work order.
    """
    with catalog.read() as view:
        order = view.order(number)
    if "deliver" not in order.body:
        raise StateError(f"{order.name} is a gate, which is approved or rejected")
    found = examine(folder, order, check)
    if found.state is not None:
        catalog.write(lambda tx: _judge(tx, order, folder, found, who))
    return found


def _judge(tx: Transaction, looked: OrderRow, folder: Path, found: Examined, who: str) -> None:
    assert found.state is not None
    order = tx.order(looked.id)
    state, manifest = found.state, dict(found.manifest or {})
    author = who or str(manifest.get("operator") or "") or order.who
    if state is Delivery.VERIFIED and (order.token != looked.token or order.state not in WITH_SOMEBODY):
        state = Delivery.LATE
    known = {one.sha256: one for one in tx.deliveries(order.id)}
    before = known.get(found.sha256)
    if before is not None and (before.state is state or order.state not in WITH_SOMEBODY):
        return
    if before is not None:  # the same delivery, mended
        tx.move_delivery(before.id, state, found.reasons)
    else:
        tx.add_delivery(
            DeliveryRow(
                order.id, found.token, found.sha256, state, author, str(folder), manifest, found.reasons
            )
        )
    if order.state not in WITH_SOMEBODY or state is Delivery.LATE:
        return
    if order.state is not Order.CLAIMED:  # after a rejection: the same person, a new due date
        order = tx.move_order(
            order.id, Order.CLAIMED, who=order.who, due=tx.now() + float(order.body["lease"])
        )
        mind(tx, order)
    if state is Delivery.VERIFIED:
        deliver(tx, order, author)
        return
    to = Order.REJECTED if state is Delivery.REJECTED else Order.QUARANTINED
    tell(tx, tx.move_order(order.id, to, who=order.who, why="; ".join(found.reasons), due=order.due))
