"""The site file with its profile, the environment and the command line; and the plug-ins that a site names."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.app import definitions, plugins, settings
from towpath.app.settings import Settings, masked
from towpath.base.errors import DefinitionError, SiteError, TowpathError
from towpath.contracts.plugin import Plugin


def site(folder: Path, text: str = "", environ: dict[str, str] | None = None, *assignments: str) -> Settings:
    (folder / "towpath.toml").write_text(text)
    return settings.load(folder, environ or {}, assignments)


def refused(folder: Path, text: str = "", environ: dict[str, str] | None = None, *assignments: str) -> str:
    with pytest.raises(DefinitionError) as caught:
        site(folder, text, environ, *assignments)
    return str(caught.value)


# ---- values and origins


def test_an_empty_site_file_gives_the_defaults(tmp_path: Path) -> None:
    found = site(tmp_path)
    assert (found.site.executor, found.site.workers, found.site.durability) == ("local", 0, "crash")
    assert found.roots == {name: tmp_path / name for name in ("store", "archive", "incoming")}
    assert found.catalog_url == f"sqlite:///{tmp_path}/catalog.sqlite"
    assert {str(origin) for _, _, origin in found.shown()} == {"default"}


def test_each_layer_overrides_the_one_below_and_origins_say_which(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        '[site]\nname = "base"\nworkers = 1\nexecutor = "inline"\ndurability = "power"\n'
    )
    found = site(
        tmp_path,
        'extends = "base.toml"\n[site]\nname = "mine"\nworkers = 2\n[roots]\nfast = "/fast"\nstore = "data/store"\n',
        {
            "TOWPATH_SITE__WORKERS": "3",
            "TOWPATH_SITE__EXECUTOR": "local",
            "TOWPATH_DATA": "no setting",
            "HOME": "x",
        },
        "site.workers=4",
    )
    assert (found.site.name, found.site.workers, found.site.executor) == ("mine", 4, "local")
    assert found.site.durability == "power"
    assert found.roots["fast"] == Path("/fast") and found.roots["store"] == tmp_path / "data" / "store"
    assert {name: str(origin) for name, origin in found.origins.items()} == {
        "site.name": "towpath.toml:3",
        "site.workers": "command line",
        "site.executor": "environment variable TOWPATH_SITE__EXECUTOR",
        "site.durability": "base.toml:5",
        "roots.fast": "towpath.toml:6",
        "roots.store": "towpath.toml:7",
    }
    shown = {name: (value, str(origin)) for name, value, origin in found.shown()}
    assert shown["site.workers"] == (4, "command line")
    assert shown["site.catalog"] == ("sqlite:///catalog.sqlite", "default")


def test_a_profile_may_extend_another_in_yaml(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.yaml").write_text("site:\n  name: one\n  workers: 1\n")
    (tmp_path / "two.toml").write_text('extends = "deep/one.yaml"\n[site]\nworkers = 2\n')
    found = site(tmp_path, 'extends = "two.toml"\n')
    assert (found.site.name, found.site.workers) == ("one", 2)
    assert str(found.origins["site.name"]) == "one.yaml:2"


def test_a_text_stays_a_text_and_all_else_is_read_as_toml(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        "[pipelines.Gam]\n",
        {
            "TOWPATH_SITE__NAME": "123",
            "TOWPATH_PIPELINES__GAM__OVERRIDE__ITEMS__S__STAGES__GRID__PARAMS": "{ x = 1.5 }",
        },
        "pipelines.Gam.enabled=false",
        "roots.'odd-name'=a b",
        "pipelines.Gam.override.items.s.route=a -> b",
    )
    assert found.site.name == "123"
    assert found.roots["odd-name"] == tmp_path / "a b"
    entry = found.pipelines["Gam"]
    assert not entry.enabled
    assert entry.override == {"items": {"s": {"route": "a -> b", "stages": {"grid": {"params": {"x": 1.5}}}}}}


def test_a_catalog_url_of_its_own_is_kept(tmp_path: Path) -> None:
    for url in ("postgresql://u@h/db", "sqlite:////var/x.sqlite", "sqlite://"):
        assert site(tmp_path, f'[site]\ncatalog = "{url}"\n').catalog_url == url


# ---- secrets


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        '[site]\ncatalog = "postgresql://me:hunter2@host/db"\n'
        '[outbox.hook]\nkind = "webhook"\nurl = "https://u:hunter2@example.org/x"\nsecret = "hunter2"\n',
        {"TOWPATH_PIPELINES__GAM__OVERRIDE__SOURCES__S__SETTINGS__TOKEN": "hunter2"},
    )
    assert found.outbox["hook"].secret.get_secret_value() == "hunter2"
    shown = {name: value for name, value, _ in found.shown()}
    assert "hunter2" not in str(shown)
    assert shown["site.catalog"] == "postgresql://me:***@host/db"
    assert shown["outbox.hook.secret"] == "***"
    assert shown["pipelines.gam.override.sources.s.settings.token"] == "***"
    assert "hunter2" not in repr(found.outbox["hook"].secret)


def test_a_secret_by_reference_shows_where_it_is(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        '[outbox.post]\nkind = "mail"\nhost = "localhost"\nfrom = "a@b.org"\nto = ["c@d.org"]\n'
        'password = { file = "keys/post" }\n[secrets.vault]\nurl = "https://vault"\ntoken = "hunter2"\n',
        {"TOWPATH_OUTBOX__POST__FROM": "x@y.org"},
    )
    shown = {name: value for name, value, _ in found.shown()}
    assert shown["outbox.post.password.file"] == "keys/post"
    assert shown["outbox.post.from"] == "x@y.org" and found.outbox["post"].sender == "x@y.org"
    assert shown["secrets.vault.token"] == "***"


def test_a_secret_from_the_environment_is_always_a_text(tmp_path: Path) -> None:
    found = site(tmp_path, '[outbox.hook]\nkind = "webhook"\n', {"TOWPATH_OUTBOX__HOOK__SECRET": "123456"})
    assert found.outbox["hook"].secret.get_secret_value() == "123456"
    assert masked("a.requests", [{"key": "x", "params": {"api_token": "y"}}, "http://u:p@h/"]) == [
        {"key": "x", "params": {"api_token": "***"}},
        "http://u:***@h/",
    ]


@given(st.text(), st.text())
def test_masking_never_adds_anything(name: str, value: str) -> None:
    assert masked(name, value) in (value, "***") or "***@" in masked(name, value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:sesame@h/db", "postgresql://ann:***@h/db"),
        ("postgresql://ann:ses@me/x@h/db", "postgresql://ann:***@h/db"),
        ("postgresql://h/db?password=sesame&user=ann", "postgresql://h/db?password=***&user=ann"),
        ("postgresql://ann@h/db?sslpassword=sesame", "postgresql://ann@h/db?sslpassword=***"),
        ("postgresql://ann@h/db", "postgresql://ann@h/db"),
        ("sqlite:///catalog.sqlite", "sqlite:///catalog.sqlite"),
    ],
)
def test_a_password_in_a_url_is_not_shown(url: str, shown: str) -> None:
    assert masked("site.catalog", url) == shown


# ---- what is wrong


@pytest.mark.parametrize(
    ("text", "environ", "assignments", "message"),
    [
        (
            "[site]\nworkres = 4\n", {}, (),
            "towpath.toml: site.workres (line 2): found an unknown key; expected one of catalog, catalog_schema, "
            "durability, executor, gpus, log_level, name, workers (did you mean 'workers'?)",
        ),
        ("[site]\nworkers = -4\n", {}, (),
         "towpath.toml: site.workers (line 2): found -4; expected a value greater than or equal to 0"),
        ("[site]\ndurability = 'wood'\n", {}, (),
         "towpath.toml: site.durability (line 2): found 'wood'; expected one of 'crash', 'power'"),
        ("", {"TOWPATH_SITE__WORKERS": "many"}, (),
         "environment variable TOWPATH_SITE__WORKERS: site.workers: found 'many'; expected a whole number"),
        ("", {"TOWPATH_SITE__WORKRES": "4"}, (),
         "environment variable TOWPATH_SITE__WORKRES: site.workres: found an unknown key; expected one of catalog, "
         "catalog_schema, durability, executor, gpus, log_level, name, workers (did you mean 'workers'?)"),
        ("", {}, ("site.workers=x",), "command line: site.workers: found 'x'; expected a whole number"),
        ("", {}, ("site.workers",), "command line: found 'site.workers'; expected NAME=VALUE, such as site.workers=4"),
        ("", {}, ("site workers=4",), "command line: found 'site workers=4'; expected NAME=VALUE, such as site.workers=4"),
        ("extends = 4\n", {}, (), "towpath.toml: extends: found 4; expected the name of a site file"),
        ("extends = 'towpath.toml'\n", {}, (),
         "towpath.toml: extends: found a cycle (towpath.toml extends towpath.toml); expected another file"),
        ("extends = 'gone.toml'\n", {}, (),
         "gone.toml: found no file that can be read (No such file or directory); expected a file"),
        ("[outbox.x]\nkind = 'pigeon'\n", {}, (),
         "towpath.toml: outbox.x.kind (line 2): found 'pigeon'; expected one of folder, mail, webhook"),
        ("[outbox.x]\nkind = 'webhook'\nurl = 'ftp://x'\n", {}, (),
         "towpath.toml: outbox.x.url (line 3): found 'ftp://x'; expected a URL that begins with http:// or https://"),
        ("[outbox.x]\nkind = 'folder'\nsecret = 5\n", {}, (),
         "towpath.toml: outbox.x.secret (line 3): found an unknown key; expected one of kind, path"),
        ("[outbox.x]\nkind = 'webhook'\nsecret = 512345\n", {}, (),
         "towpath.toml: outbox.x.secret (line 3): found what is no text; "
         'expected a text, or {env = "VARIABLE"} or {file = "PATH"}'),
        ("[outbox.x]\nkind = 'webhook'\nsecret = { env = 'A', file = '512345' }\n", {}, (),
         "towpath.toml: outbox.x.secret (line 3): found what is no text; expected a text, "
         '{env = "VARIABLE"}, {file = "PATH"}, or {NAME = "..."} of a reader in [secrets.NAME]'),
        ("[outbox.x]\nkind = 'mail'\nhost = 'h'\nfrom = 'a@b.org'\nto = ['Ann <a@b.org>']\n", {}, (),
         "towpath.toml: outbox.x.to[0] (line 5): found 'Ann <a@b.org>'; "
         "expected a mail address, such as ann@example.org, without a name"),
        ("[outbox.x]\nkind = 'mail'\nhost = 'h'\nto = ['a@b.org']\n", {}, (),
         "towpath.toml: outbox.x.from (line 1): found nothing; expected a value"),
        ("[outbox.x]\nkind = 'mail'\nhost = 'h'\nfrm = 'a@b.org'\nfrom = 'a@b.org'\nto = ['a@b.org']\n", {}, (),
         "towpath.toml: outbox.x.frm (line 4): found an unknown key; expected one of ca, from, host, kind, password, port, "
         "timeout, tls, to, user (did you mean 'from'?)"),
        ("[outbox.x]\nkind = 'mail'\nhost = 'h'\nfrom = 'a@b.org'\nto = ['a@b.org']\nuser = 'u'\ntls = 'none'\n", {}, (),
         "towpath.toml: outbox.x (line 1): found a table; expected tls = \"starttls\" or \"implicit\": a password is not sent to "
         "another machine in the open"),
        ("[notify.n]\non = ['broken']\nto = ['subscribers']\n", {}, (),
         "towpath.toml: notify.n.on[0] (line 2): found 'broken'; expected one of 'failed', 'poisoned', 'held', 'rejected', "
         "'done', 'finished', 'order opened', 'order reminded', 'order expired', 'delivery verified', 'delivery rejected', "
         "'delivery quarantined', 'delivery late', 'published', 'conflict', 'damaged', 'source problem', 'definition refused'"),
        ("[notify.n]\non = ['failed']\nto = ['board', 'badge:', 'badge:ann', 'badge:role:operator']\n", {}, (),
         "towpath.toml: notify.n.to[0] (line 3): found 'board'; expected one of badge:PERSON, badge:role:ROLE, subscribers\n"
         "towpath.toml: notify.n.to[1] (line 3): found 'badge:'; expected one of badge:PERSON, badge:role:ROLE, subscribers"),
        ("[notify.n]\non = ['done']\nto = ['subscribers']\n", {}, (),
         'towpath.toml: notify.n (line 1): found a table; expected filter = { stage = "..." } with "done": which stage is it '
         'about? ("finished" is the whole item)'),
        ("[pipelines.gam]\nfile = 3\n", {}, (), "towpath.toml: pipelines.gam.file (line 2): found 3; expected a text"),
        ("[pipelines.'a b']\n", {}, (),
         "towpath.toml: pipelines.a b (line 1): found 'a b'; expected a name: a letter, then letters, digits, _ and -"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_where(
    text: str, environ: dict[str, str], assignments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    assert refused(tmp_path, text, environ, *assignments) == message


def test_there_must_be_a_site(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"there is no site at .*: no towpath.toml; `towpath init` makes one"):
        settings.load(tmp_path, {})


# ---- pipelines of a site


STRANGER = '''"""Someone's own pipeline."""
from towpath.contracts.plugin import Plugin
from towpath.contracts.stage import One, Stage

class Count(Stage):
    """Count."""
    consumes = {"table": One("raw/file")}
    produces = {"count": "count/json"}
    least: int = 1

    def run(self, context):
        """Do nothing."""

plugin = Plugin("mine", (Count,))
'''
PIPELINE = """\
[pipeline]
name = "mine"
[sources.tables]
kind = "folder"
pattern = "{key}.csv"
item = "table"
[items.table]
route = "count"
"""


@pytest.fixture
def path() -> Iterator[None]:
    """Leave `sys.path` and the modules as they were."""
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("stranger"):
            del sys.modules[name]


@pytest.mark.usefixtures("path")
def test_a_package_in_the_site_folder_needs_no_installing(tmp_path: Path) -> None:
    (tmp_path / "stranger_a").mkdir()
    (tmp_path / "stranger_a" / "__init__.py").write_text(STRANGER)
    (tmp_path / "stranger_a" / "pipeline.toml").write_text(PIPELINE)
    found = site(
        tmp_path,
        '[pipelines.mine]\nplugin = "stranger_a:plugin"\n[pipelines.mine.override.items.table.stages.count]\n'
        "params = { least = 5 }\n",
    )
    request = settings.request(found, "mine")
    assert request.file == tmp_path / "stranger_a" / "pipeline.toml"
    loaded = definitions.load(request)
    count = loaded.definition.stage("table", "count")
    assert (count.target, count.params) == ("stranger_a:Count", {"least": 5})
    assert str(loaded.origins["items.table.stages.count.params.least"]) == "towpath.toml:4"
    assert str(loaded.origins["items.table.route"]) == "pipeline.toml:8"


@pytest.mark.usefixtures("path")
def test_a_wrong_override_is_told_by_the_site_file(tmp_path: Path) -> None:
    (tmp_path / "stranger_b.py").write_text(STRANGER)
    (tmp_path / "mine.toml").write_text(PIPELINE)
    found = site(
        tmp_path,
        '[pipelines.mine]\nfile = "mine.toml"\nplugin = "stranger_b:plugin"\n',
        {"TOWPATH_PIPELINES__MINE__OVERRIDE__ITEMS__TABLE__STAGES__COUNT__PARAMS__LEAST": "few"},
    )
    with pytest.raises(DefinitionError) as caught:
        definitions.load(settings.request(found, "mine"))
    assert str(caught.value) == (
        "environment variable TOWPATH_PIPELINES__MINE__OVERRIDE__ITEMS__TABLE__STAGES__COUNT__PARAMS__LEAST: "
        "items.table.stages.count.params.least: found 'few'; expected a whole number"
    )


def test_a_pipeline_of_commands_needs_no_plugin(tmp_path: Path) -> None:
    text = PIPELINE.replace(
        'route = "count"', 'route = "count"\n[items.table.stages.count]\nkind = "command"\nargv = ["wc"]'
    )
    (tmp_path / "mine.toml").write_text(text)
    found = site(tmp_path, '[pipelines.mine]\nfile = "mine.toml"\nend = "# end"\n')
    request = settings.request(found, "mine")
    assert request.plugin == Plugin("mine")
    with pytest.raises(DefinitionError, match=r"mine.toml: found the last line .*; expected '# end'"):
        definitions.load(request)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("module", "target", "message"),
    [
        (
            "import no_such_module_x\n",
            "stranger_c:plugin",
            "pipeline mine: stranger_c:plugin cannot be imported: No module",
        ),
        (
            "x = 1 +\n",
            "stranger_c:plugin",
            "pipeline mine: stranger_c:plugin cannot be imported: SyntaxError in module",
        ),
        (
            "",
            "stranger_c:plugin",
            "pipeline mine: stranger_c:plugin cannot be imported: module stranger_c has no 'plugin'",
        ),
        ("plugin = 3\n", "stranger_c:plugin", "found int at stranger_c:plugin; expected a towpath.Plugin"),
        (
            STRANGER.replace('"mine"', '"other"'),
            "stranger_c:plugin",
            "found the plug-in of 'other' at stranger_c:plugin",
        ),
        ("", "stranger_c", "not of the form module:name: 'stranger_c'"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told(module: str, target: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "stranger_c.py").write_text(module)
    found = site(tmp_path, f'[pipelines.mine]\nplugin = "{target}"\n')
    with pytest.raises(SiteError, match=message):
        settings.request(found, "mine")


def test_a_pipeline_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = site(tmp_path, "[pipelines.nothing]\n")
    with pytest.raises(DefinitionError, match="found no pipeline 'nothing'; expected one that is installed"):
        settings.request(found, "nothing")
    with pytest.raises(
        DefinitionError, match="found no pipeline 'other' in this site; expected one of: nothing"
    ):
        settings.request(found, "other")


# ---- installed pipelines


def points(monkeypatch: pytest.MonkeyPatch, *given_: EntryPoint) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: list(given_) if group == plugins.GROUP else [])


class Distribution:
    def __init__(self, name: str) -> None:
        self.name = name


def point(name: str, target: str, distribution: str) -> EntryPoint:
    made: Any = EntryPoint(name, target, plugins.GROUP)
    vars(made).update(dist=Distribution(distribution))
    return made  # type: ignore[no-any-return]  # it is one


@pytest.mark.usefixtures("path")
def test_listing_imports_nothing_and_loading_imports_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger_d.py").write_text(STRANGER)
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    points(
        monkeypatch,
        point("mine", "stranger_d:plugin", "stranger"),
        point("bad", "stranger_no:plugin", "stranger"),
    )
    assert list(plugins.installed()) == ["bad", "mine"]
    assert "stranger_d" not in sys.modules
    found = plugins.load("mine")
    assert found.name == "mine"
    assert plugins.pipeline_file(found) == tmp_path / "pipeline.toml"
    assert (
        definitions.load(settings.request(site(tmp_path, "[pipelines.mine]\n"), "mine")).definition.pipeline
        == "mine"
    )


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("distribution", "install"), [("towpath", "towpath[mine]"), ("stranger", "stranger")]
)
def test_an_extra_that_is_not_installed_says_how(
    distribution: str, install: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "stranger_e.py").write_text("import no_such_library\n")
    points(monkeypatch, point("mine", "stranger_e:plugin", distribution))
    with pytest.raises(TowpathError) as caught:
        plugins.load("mine")
    assert str(caught.value) == (
        f'pipeline mine needs no_such_library, which is not installed: pip install "{install}"'
    )
