"""Fetching: providers by import path, the provider of local files, and the built-in stage `Fetch`.

Promises that bytes become a product only when size and sha256 are what the provider stated, and that licence, citation
and DOI travel with them. Never decodes: what the bytes mean is for the stages that follow.
"""

import importlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from towpath.base import clock, hashing
from towpath.base.errors import DefinitionError, IntegrityError, Reject, StorageError, Transient
from towpath.base.spacetime import Box, Span
from towpath.contracts.definition import SourcePlan
from towpath.contracts.source import Asset, Provider, Request
from towpath.contracts.stage import Context, Input, Record, Stage

_CHUNK = 1 << 20
_SUMS = "SHA256SUMS"
_STATED = ("licence", "citation", "doi", "redistribute")
LOCAL = "towpath.adapters.sources.fetch:LocalFiles"


class LocalFiles:
    """The provider of files that are there already (contracts.source.Provider).

    A request's parameter ``file`` names a file or a folder (all files in it, its folders too), below `root` or, where
    there is no `root`, by its absolute path. Its parameters ``licence``, ``citation``, ``doi`` and ``redistribute``
    (yes, no or unknown) are stated of each asset. A file ``SHA256SUMS`` beside the files, or above them up to the
    root, states their sha256.

    Parameters
    ----------
    root
        The folder, absolute; nothing outside is ever read.
    """

    name = "local"

    def __init__(self, root: str = "") -> None:
        if root and not Path(root).is_absolute():
            raise ValueError(f"root: found {root!r}; expected an absolute path")
        self.root = os.path.realpath(root) if root else ""

    def assets(self, request: Request) -> Sequence[Asset]:
        """The files that answer the request. Raises `Transient` if the root is away, `StorageError` if a file is."""
        place = self._place(request)
        if place.is_dir():
            files = [
                path for path in hashing.walk(place) if not path.name.startswith(".") and path.name != _SUMS
            ]
            if not files:
                raise StorageError(f"request {request.key!r}: the folder {place} holds no files")
        elif place.is_file():
            files = [place]
        else:
            raise StorageError(f"request {request.key!r}: {place}: there is no such file or folder")
        base = place if place.is_dir() else place.parent
        sums: dict[Path, dict[str, str]] = {}
        return [self._asset(request, path, base, sums) for path in files]

    def _place(self, request: Request) -> Path:
        named = request.params.get("file")
        if not isinstance(named, str) or not named:
            raise StorageError(
                f"request {request.key!r}: found file = {named!r}; expected the name of a file or folder"
            )
        if not self.root and not Path(named).is_absolute():
            raise StorageError(
                f"request {request.key!r}: found file = {named!r}; expected an absolute path, or set root"
            )
        if self.root and not Path(self.root).is_dir():
            raise Transient(f"{self.root}: the provider's folder is not there; is its disk mounted?")
        place = os.path.realpath(Path(self.root) / named)
        if self.root and not f"{place}/".startswith(f"{self.root}/"):
            raise StorageError(
                f"request {request.key!r}: {named!r} leaves the provider's folder {self.root}: it is {place}"
            )
        return Path(place)

    def _asset(self, request: Request, path: Path, base: Path, sums: dict[Path, dict[str, str]]) -> Asset:
        stated = {name: str(request.params[name]) for name in _STATED if name in request.params}
        return Asset(
            name=path.relative_to(base).as_posix(),
            location=path.relative_to(self.root).as_posix() if self.root else str(path),
            size=path.stat().st_size,
            version=str(path.stat().st_mtime_ns),
            sha256=self._stated_sha256(path, sums),
            **stated,
        )

    def _stated_sha256(self, path: Path, sums: dict[Path, dict[str, str]]) -> str:
        for folder in path.parents:
            if folder not in sums:
                sums[folder] = _read_sums(folder / _SUMS)
            if found := sums[folder].get(path.relative_to(folder).as_posix()):
                return found
            if str(folder) == self.root or not self.root:
                return ""
        return ""

    def fetch(self, asset: Asset, target: Path, progress: Callable[[int], None]) -> None:
        """Copy the bytes; `progress` gets the number of bytes of each chunk."""
        place = Path(self.root) / asset.location
        try:
            with place.open("rb") as source, target.open("wb") as sink:
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
                    progress(len(chunk))
        except FileNotFoundError:
            raise StorageError(f"{place}: the file is not there any more") from None
        except OSError as error:
            raise Transient(f"{place} → {target}: {error.strerror}") from error

    def decode(self, path: Path) -> Iterable[Any]:
        """The bytes as they are, in chunks: this provider knows no format."""
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk


def _read_sums(path: Path) -> dict[str, str]:
    """The lines of a SHA256SUMS file: relative path → sha256. Lines that are none are passed over."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        digest, _, name = line.partition(" ")
        if len(digest) == 64 and name:
            found[name.lstrip(" *").removeprefix("./")] = digest.lower()
    return found


def load_provider(target: str, settings: Mapping[str, Any]) -> Provider:
    """The provider at ``module:Class``, made with its settings.

    Raises
    ------
    DefinitionError
        If there is none, or it refuses the settings.
    """
    module, _, name = target.partition(":")
    try:
        maker = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DefinitionError(
            f"provider: found {target!r}, which cannot be imported ({error}); expected module:Class"
        ) from None
    try:
        provider: Provider = maker(**settings)
    except (TypeError, ValueError) as error:
        raise DefinitionError(
            f"provider {target}: its settings {dict(settings)!r} are refused: {error}"
        ) from None
    return provider


def look(
    plan: SourcePlan, go_on: Callable[[], bool] = lambda: True
) -> tuple[list[tuple[Request, Sequence[Asset]]], list[str]]:
    """Ask the provider of a fetch source for the assets of each request; and what went wrong, a text each.

    A request that the provider refuses has no assets: its item's fetch fails and says why. When `go_on` says that this
    is to end, the other requests are not asked for.
    Settings read: ``provider`` (``module:Class``), ``settings`` (of the provider), ``requests``: each a ``key``, and
    ``file`` or ``params``, ``footprint`` (west, south, east, north in degrees), ``time`` (one or two times).
    """
    provider = load_provider(str(plan.settings.get("provider") or LOCAL), plan.settings.get("settings") or {})
    answers: list[tuple[Request, Sequence[Asset]]] = []
    problems = []
    for table in plan.settings.get("requests") or ():
        if not go_on():
            break
        try:
            request = request_of(table)
            try:
                answers.append((request, list(provider.assets(request))))
            except StorageError:
                answers.append((request, ()))
                raise
        except (StorageError, Transient, OSError, TypeError, ValueError) as error:
            problems.append(f"sources.{plan.name}: {error}")
    return answers, problems


def request_of(table: Mapping[str, Any]) -> Request:
    """A request from its form in a pipeline file or in an item's record."""
    if not table.get("key"):
        raise ValueError(f"request {dict(table)!r} has no key")
    params = dict(table.get("params") or {})
    if table.get("file"):
        params["file"] = table["file"]
    times = table.get("time") or ()
    moments = [clock.seconds(time) for time in ([times] if isinstance(times, str) else times)]
    box = table.get("footprint")
    return Request(
        key=str(table["key"]),
        footprint=Box(*box) if box else None,
        span=Span(moments[0], moments[-1]) if moments else None,
        params=params,
    )


class Fetch(Stage):
    """Get the bytes of the item's request from its provider: one file as it is named, several as a folder.

    The record's attributes hold the ``request`` and, where they were asked for before, the ``assets`` that answer it.
    """

    version = "1"
    consumes: ClassVar[Mapping[str, Input]] = {"record": Record()}
    produces: ClassVar[Mapping[str, str]] = {"data": "raw/file"}

    provider: str = LOCAL
    settings: dict[str, Any] = Field(default_factory=dict)
    type: str = "raw/file"

    # where the provider finds things; what they are is in the request and the assets, which the record holds
    unkeyed: ClassVar[frozenset[str]] = frozenset({"settings"})

    @classmethod
    def declared(cls, params: Mapping[str, Any]) -> tuple[Mapping[str, Input], Mapping[str, str]]:
        """The output ``data`` is of the type that the parameters say."""
        return cls.consumes, {"data": str(params.get("type") or cls.produces["data"])}

    def run(self, context: Context) -> None:
        """Fetch all assets into the output, verify each, and record what travels with them."""
        provider = load_provider(self.provider, self.settings)
        attributes = context.inputs["record"].get("attributes") or {}
        if not attributes.get("request"):
            raise Reject(f"the item {context.item.key!r} has no request; a fetch source gives it one")
        request = request_of(attributes["request"])
        assets = [Asset(**asset) for asset in attributes.get("assets") or ()] or list(
            provider.assets(request)
        )
        if not assets:
            raise Reject(f"provider {provider.name!r} has nothing for request {request.key!r}")
        _check_names(assets)
        is_lone = len(assets) == 1 and "/" not in assets[0].name
        advance = _Advance(context, assets)
        with context.output("data", assets[0].name if is_lone else "data") as place:
            for asset in assets:
                target = place if is_lone else place / asset.name
                target.parent.mkdir(parents=True, exist_ok=True)
                advance.note = asset.name
                _fetch_one(provider, asset, target, context.scratch, advance)
        _record(context, assets, advance.bytes)


class _Advance:
    """Counts bytes and tells how far all assets together are."""

    def __init__(self, context: Context, assets: Sequence[Asset]) -> None:
        self.context, self.bytes, self.note = context, 0, ""
        self.total = sum(asset.size for asset in assets) if all(asset.size >= 0 for asset in assets) else 0

    def __call__(self, count: int) -> None:
        self.bytes += count
        if self.total:
            self.context.progress(min(self.bytes / self.total, 1.0), self.note)


def _check_names(assets: Sequence[Asset]) -> None:
    names = [asset.name for asset in assets]
    for name in names:
        if not name or name.startswith("/") or {"", ".", ".."} & set(name.split("/")) or "\0" in name:
            raise Reject(f"the provider names an asset {name!r}; expected a relative path without '..'")
    if len(set(names)) < len(names):
        raise Reject(f"the provider names two assets alike: {', '.join(sorted(names))}")


def _fetch_one(
    provider: Provider, asset: Asset, target: Path, scratch: Path, progress: Callable[[int], None]
) -> None:
    """Fetch beside the outputs, verify, and only then put the bytes in their place."""
    fetched = scratch / "fetched"
    provider.fetch(asset, fetched, progress)
    size = fetched.stat().st_size
    if asset.size not in (-1, size):
        raise IntegrityError(
            f"{asset.location}: found {size} bytes; expected {asset.size}, as the provider stated"
        )
    if asset.sha256:
        found = hashing.file_sha256(fetched).hex()
        if found != asset.sha256.lower():
            raise IntegrityError(
                f"{asset.location}: found sha256 {found}; expected {asset.sha256}, as the provider stated"
            )
    shutil.move(fetched, target)


def _record(context: Context, assets: Sequence[Asset], size: int) -> None:
    context.measure("assets", len(assets))
    context.measure("bytes", size, "B")
    for name in ("licence", "citation", "doi"):
        stated = dict.fromkeys(getattr(asset, name) for asset in assets)
        if texts := [text for text in stated if text]:
            context.measure(name, "; ".join(texts))
    allowed = {asset.redistribute for asset in assets}
    context.measure("redistribute", next((word for word in ("no", "unknown") if word in allowed), "yes"))
