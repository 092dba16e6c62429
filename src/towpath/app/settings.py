"""The site file `towpath.toml`, read once: a profile it extends, itself, the environment, the command line.

Promises that every value has its origin, that unknown keys are errors, and that a secret is never shown. Lower floors
get plain values from here and read no environment of their own.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, PlainSerializer, SecretStr

from towpath.app import outboxes, plugins, tables
from towpath.app.definitions import Request
from towpath.app.outboxes import NotifyTable, Outbox, SecretText
from towpath.app.problems import is_text, refusal, validate
from towpath.app.tables import Key, Origin, Table
from towpath.base.errors import DefinitionError, SiteError
from towpath.contracts.auth import Grant, Permission, Role
from towpath.contracts.judging import Model
from towpath.contracts.pipeline import Duration, Memory, Name
from towpath.contracts.plugin import Plugin

FILE = "towpath.toml"
PREFIX = "TOWPATH_"
ROOTS = {"store": "store", "archive": "archive", "incoming": "incoming"}
_SECRET = re.compile(r"secret|token|password|credential", re.IGNORECASE)
# Up to the last @, and as a parameter: a password that is written wrongly is one too.
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):\S*@")
_URL_PARAMETER = re.compile(r"(?<=[?&])(\w*password)=[^&\s]*")
_MASK = "***"


class SiteTable(Model):
    """The site itself.

    `catalog` is the catalog's URL, `catalog_schema` its schema in a PostgreSQL database; `durability` is ``crash``
    (kill -9 at any instant) or ``power``; `workers` is how many run at once (0: one for each core), `gpus` how many of
    them may use a GPU.
    """

    name: str = ""
    catalog: str = "sqlite:///catalog.sqlite"
    catalog_schema: str = Field(default="towpath", min_length=1, max_length=63)
    durability: Literal["crash", "power"] = "crash"
    executor: str = "local"
    workers: int = Field(default=0, ge=0)
    gpus: int = Field(default=0, ge=0)
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class PipelineEntry(Model):
    """One pipeline of the site.

    `file` is its pipeline file (default: the one that the plug-in brings); `plugin` is ``"module:plugin"`` where it is
    not installed, found in the folder `path`; `override` has the shape of the pipeline file; `end` and `checksum` say
    how a whole file is known (see `app.definitions.Request`).
    """

    file: str = ""
    plugin: str = ""
    path: str = "."
    enabled: bool = True
    end: str = ""
    checksum: bool = False
    override: dict[str, Any] = Field(default_factory=dict)


def _is_grant(text: str) -> str:
    try:
        Grant.of(text)
    except ValueError:
        raise ValueError(f"a role, or ROLE@PIPELINE; roles are {', '.join(Role)}") from None
    return text


GrantText = Annotated[str, AfterValidator(_is_grant)]
_ORIGIN = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|http://(localhost|127\.0\.0\.1)(:\d{1,5})?")


def _is_origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("an origin such as https://repository.example; http only of this machine")
    return text


OriginText = Annotated[str, AfterValidator(_is_origin)]


def _kept(value: Any) -> Any:
    return None if value in (None, "always") else value


Kept = Annotated[
    Duration | None,
    BeforeValidator(_kept),
    PlainSerializer(lambda value: "always" if value is None else value),
]


class RetentionTable(Model):
    """For how long things are kept: a duration each, or ``always``.

    `every` is how often the daemon applies it (0: only `towpath sweep` does); `free` is what must stay free on the
    store's disk, or else no run is begun.
    """

    every: Duration = 86400.0
    superseded: Kept = 7 * 86400.0
    trash: Kept = 86400.0
    orphans: Kept = 86400.0
    logs: Kept = 90 * 86400.0
    events: Kept = 365 * 86400.0
    free: Memory = 0


class OidcTable(Model):
    """Signing in at a provider of identities (OpenID Connect), which is found at `issuer`.

    `name` is the claim that tells who somebody is, `groups` the claim of their groups; `roles` says what a group is granted,
    `everybody` what all are whom the provider knows. Whoever is granted nothing is not let in.
    """

    issuer: str
    client_id: str
    client_secret: SecretText = SecretStr("")
    scopes: str = "openid profile email"
    name: str = "preferred_username"
    groups: str = "groups"
    roles: dict[str, list[GrantText]] = Field(default_factory=dict)
    everybody: list[GrantText] = Field(default_factory=list)
    title: str = "the institute's account"


class ServerTable(Model):
    """The server of `towpath serve`.

    `host` and `port` are where it listens; `url` is how others reach it, "" for that place. `certificate` and `key` are PEM
    files for TLS; `behind_proxy` says that a proxy in front speaks TLS and tells who asks (``X-Forwarded-For`` and
    ``X-Forwarded-Proto``, believed of `proxies` only). `upload` is the most bytes of one delivery, `oidc` lets people sign
    in at a provider of identities. `embed_in` are origins whose pages may show panels of ours.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8620, ge=0, le=65535)
    url: str = ""
    certificate: str = ""
    key: str = ""
    behind_proxy: bool = False
    proxies: str = "127.0.0.1"
    upload: Memory = 10_000_000_000
    oidc: OidcTable | None = None
    embed_in: list[OriginText] = Field(default_factory=list)


class AccessTable(Model):
    """Who may do what: `anonymous` is granted to everybody without a token; `policy` changes what roles may, by pipeline.

    `authorizer` names what is asked about single items, ``local``, ``records`` (the repositories) or a plug-in's. `bearers` is
    granted to whoever comes with a token of the repository `bearers_of`.
    """

    anonymous: list[GrantText] = Field(default_factory=list)
    bearers: list[GrantText] = Field(default_factory=list)
    bearers_of: str = ""
    authorizer: str = "local"
    policy: dict[Name, dict[Permission, list[Role]]] = Field(default_factory=dict)


class RepositoryTable(Model):
    """A repository of records: its `kind`, ``folder``, ``invenio`` or a plug-in's; all else is for that."""

    model_config = ConfigDict(extra="allow")

    kind: str = "folder"


class SiteFile(Model):
    """A whole site file."""

    site: SiteTable = SiteTable()
    roots: dict[Name, str] = Field(default_factory=dict)
    pipelines: dict[Name, PipelineEntry] = Field(default_factory=dict)
    outbox: dict[Name, Outbox] = Field(default_factory=dict)
    notify: dict[Name, NotifyTable] = Field(default_factory=dict)
    secrets: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    repositories: dict[Name, RepositoryTable] = Field(default_factory=dict)
    retention: RetentionTable = RetentionTable()
    server: ServerTable = ServerTable()
    access: AccessTable = AccessTable()


@dataclass(frozen=True, slots=True)
class Settings:
    """A site's settings, merged and validated, with the origin of each by dotted name.

    `roots` are absolute places by name. `folder` is that of the site file, which relative paths start from.
    """

    folder: Path
    file: Path
    site: SiteTable
    roots: Mapping[str, Path]
    pipelines: Mapping[str, PipelineEntry]
    outbox: Mapping[str, Outbox]
    notify: Mapping[str, NotifyTable]
    secrets: Mapping[str, Mapping[str, Any]]
    repositories: Mapping[str, RepositoryTable]
    retention: RetentionTable
    server: ServerTable
    access: AccessTable
    origins: Mapping[str, Origin]
    table: Table = field(repr=False)

    @property
    def catalog_url(self) -> str:
        """The catalog's URL; a relative SQLite path is made absolute from the site's folder."""
        scheme, separator, path = self.site.catalog.partition(":///")
        if not separator or not scheme.startswith("sqlite") or path.startswith(("/", ":")) or not path:
            return self.site.catalog
        return f"{scheme}:///{self.folder / path}"

    def shown(self) -> list[tuple[str, Any, Origin]]:
        """Every setting with its value and origin, sorted by name; secrets are masked."""
        content = {
            "site": self.site.model_dump(mode="json"),
            "roots": {name: str(place) for name, place in self.roots.items()},
            "pipelines": {name: entry.model_dump(mode="json") for name, entry in self.pipelines.items()},
            "outbox": {
                name: entry.model_dump(mode="json", by_alias=True) for name, entry in self.outbox.items()
            },
            "notify": {name: entry.model_dump(mode="json") for name, entry in self.notify.items()},
            "secrets": dict(self.secrets),
            "repositories": {
                name: entry.model_dump(mode="json") for name, entry in self.repositories.items()
            },
            "retention": self.retention.model_dump(mode="json"),
            "server": self.server.model_dump(mode="json"),
            "access": self.access.model_dump(mode="json"),
        }
        rows = [(tables.dotted(key), key, value) for key, value in tables.leaves(content)]
        default = Origin("default")
        return sorted(
            ((name, masked(name, value), self.origins.get(name, default)) for name, _, value in rows),
            key=lambda row: row[0],
        )


def masked(name: str, value: Any) -> Any:
    """A value as it may be shown: nothing of what is secret by its name, no password in a URL."""
    if _SECRET.search(name.rpartition(".")[2]) and value:
        return _MASK
    if isinstance(value, Mapping):
        return {inner: masked(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list):
        return [masked("", one) for one in value]
    if not isinstance(value, str):
        return value
    return _URL_PARAMETER.sub(rf"\1={_MASK}", _URL_PASSWORD.sub(rf"\1:{_MASK}@", value))


def load(path: Path, environ: Mapping[str, str] | None = None, assignments: Sequence[str] = ()) -> Settings:
    """The settings of a site.

    Parameters
    ----------
    path
        The site file, or the folder that holds `towpath.toml`.
    environ
        The environment; the process's own by default. ``TOWPATH_SITE__WORKERS=4`` sets ``site.workers``.
    assignments
        From the command line: ``a.b=c`` each.

    Raises
    ------
    SiteError
        If there is no site file.
    DefinitionError
        If a file, variable or assignment is wrong; all problems are told at once.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise SiteError(f"there is no site at {path}: no {FILE}; `towpath init` makes one")
    file = file.absolute()
    table = _extended(file, ())
    table = tables.merge(table, _environment(os.environ if environ is None else environ, table))
    for assignment in assignments:
        table = tables.merge(table, _assigned(assignment))
    content, problems = validate(SiteFile, json.dumps(table.content))
    if content is not None:
        problems = list(outboxes.problems(content.notify, content.outbox))
    if content is None or problems:
        raise refusal(problems, table, file=file.name)
    roots = {name: file.parent / place for name, place in {**ROOTS, **content.roots}.items()}
    return Settings(
        file.parent,
        file,
        content.site,
        roots,
        content.pipelines,
        content.outbox,
        content.notify,
        content.secrets,
        content.repositories,
        content.retention,
        content.server,
        content.access,
        _origins(table),
        table,
    )


def _origins(table: Table) -> dict[str, Origin]:
    found = {tables.dotted(key): table.origin(key) for key, _ in tables.leaves(table.content)}
    return {name: origin for name, origin in found.items() if origin}


def request(settings: Settings, name: str) -> Request:
    """What to load for a pipeline of the site.

    Raises
    ------
    DefinitionError
        If the site has no such pipeline, or there is no pipeline file.
    SiteError
        If its plug-in cannot be imported.
    """
    if name not in settings.pipelines:
        known = ", ".join(settings.pipelines) or "none"
        raise DefinitionError(
            f"found no pipeline {name!r} in this site; expected one of: {known}", settings.file.name
        )
    entry = settings.pipelines[name]
    plugin = _plugin(settings, name, entry)
    file = settings.folder / entry.file if entry.file else plugins.pipeline_file(plugin, entry.plugin)
    if file is None:
        wrong = f"pipelines.{name}: found no file; expected file, or a plug-in with a pipeline.toml"
        raise DefinitionError(wrong, settings.file.name)
    return Request(
        file=file,
        plugin=plugin,
        label=entry.file or file.name,
        overrides=settings.table.at("pipelines", name, "override"),
        name=name,
        end=entry.end,
        checksum=entry.checksum,
    )


def _plugin(settings: Settings, name: str, entry: PipelineEntry) -> Plugin:
    """The pipeline's plug-in; one without stages of its own where a file alone is given."""
    if not entry.plugin and entry.file and name not in plugins.installed():
        return Plugin(name)
    return plugins.load(name, entry.plugin, settings.folder / entry.path)


# ---- where settings come from


def _extended(file: Path, below: tuple[Path, ...]) -> Table:
    """The table of a site file laid on the one that it extends."""
    if file in below:
        chain = " extends ".join(path.name for path in (*below, file))
        raise DefinitionError(f"extends: found a cycle ({chain}); expected another file", file.name)
    table = tables.read(file, file.name)
    base = table.content.pop("extends", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise DefinitionError(f"extends: found {base!r}; expected the name of a site file", file.name)
    return tables.merge(_extended(Path(os.path.normpath(file.parent / base)), (*below, file)), table)


def _environment(environ: Mapping[str, str], table: Table) -> Table:
    """What variables ``TOWPATH_A__B`` set; those without a double underscore are not settings."""
    found = Table({})
    for variable, text in sorted(environ.items()):
        parts = variable.removeprefix(PREFIX).split("__")
        if variable.startswith(PREFIX) and len(parts) > 1:
            key = _spelled(parts, table.content)
            found = tables.merge(found, _nested(key, _value(key, text), f"environment variable {variable}"))
    return found


def _spelled(parts: Sequence[str], content: Any) -> tuple[str, ...]:
    """The parts of a variable's name as the file spells them, in small letters where it does not have them."""
    key: list[str] = []
    for part in parts:
        names = content if isinstance(content, dict) else {}
        name = next((name for name in names if name.lower() == part.lower()), part.lower())
        key.append(name)
        content = names.get(name)
    return tuple(key)


def _assigned(assignment: str) -> Table:
    name, separator, text = assignment.partition("=")
    try:
        value: Any = tomllib.loads(f"{name} = 0") if separator else None
    except tomllib.TOMLDecodeError:
        value = None
    if value is None:
        raise DefinitionError(
            f"command line: found {assignment!r}; expected NAME=VALUE, such as site.workers=4"
        )
    key = next(tables.leaves(value))[0]
    names = tuple(str(part) for part in key)
    return _nested(names, _value(names, text.strip()), "command line")


def _value(key: Key, text: str) -> Any:
    """A value as TOML writes it, or else the text itself; where a text is wanted, always the text."""
    if is_text(SiteFile, key):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(key: tuple[str, ...], value: Any, where: str) -> Table:
    content: Any = value
    for name in reversed(key):
        content = {name: content}
    return Table(content, {key: Origin(where)})
