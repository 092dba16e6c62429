"""Secrets by reference: read when they are needed, read anew when they change, and shown nowhere."""

import logging
import os
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from towpath.app import secrets
from towpath.app.secrets import FRESH, Held, Resolver
from towpath.base.errors import DefinitionError, NotFoundError, SiteError, Transient
from towpath.contracts.secrets import Secret

VALUE = "hunter2-hunter2"


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


class Keeper:
    """A reader whose secret, version and trouble are what they are told to be."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.settings = dict(settings or {})
        self.secret: Secret | Exception = Secret(VALUE, "1")
        self.asked: list[str] = []

    def read(self, name: str) -> Secret:
        self.asked.append(name)
        if isinstance(self.secret, Exception):
            raise self.secret
        return self.secret


def resolver(folder: Path, environ: Mapping[str, str] | None = None, **tables: Mapping[str, Any]) -> Resolver:
    return Resolver(tables, {"keeper": Keeper}, environ or {}, folder)


def test_a_text_is_itself(tmp_path: Path) -> None:
    assert resolver(tmp_path).held("outbox.hook.secret", SecretStr(VALUE))() == VALUE
    assert resolver(tmp_path).held("outbox.hook.secret", SecretStr(""))() == ""


def test_a_variable_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "post").write_text(f" {VALUE} \n")
    found = resolver(tmp_path, {"POST": VALUE})
    assert found.held("a", {"env": "POST"})() == VALUE
    assert found.held("a", {"file": "keys/post"})() == f" {VALUE} "
    assert found.held("a", {"file": str(tmp_path / "keys" / "post")})() == f" {VALUE} "


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"env": "GONE"}, "outbox.hook.secret: the environment variable GONE is not set"),
        ({"env": "EMPTY"}, "outbox.hook.secret: it is empty"),
        ({"file": "gone"}, "outbox.hook.secret: the file gone cannot be read: No such file or directory"),
        ({"file": "binary"}, "outbox.hook.secret: the file binary holds no text"),
        ({"file": "a\0b"}, "it is no name of a file"),
        (
            {"cupboard": "x"},
            "outbox.hook.secret: found no reader of secrets 'cupboard'; expected one of env, file, keeper",
        ),
        (
            {"keeper": "x"},
            r"outbox.hook.secret: the reader 'keeper' has no table \[secrets.keeper\] in the site file",
        ),
    ],
)
def test_what_is_not_there_names_the_setting(tmp_path: Path, given: dict[str, str], message: str) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SiteError, match=message):
        resolver(tmp_path, {"EMPTY": ""}).held("outbox.hook.secret", given)()


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    held = resolver(tmp_path).held("a", {"file": "late"})
    (tmp_path / "late").write_text(VALUE)
    assert held() == VALUE


def test_a_secret_that_was_changed_is_used_within_a_minute() -> None:
    clock, keeper = Clock(), Keeper()
    held = Held("a", lambda: keeper.read("x"), clock)
    assert held() == VALUE
    keeper.secret = Secret("other", "2")
    clock.time += FRESH - 1
    assert held() == VALUE and len(keeper.asked) == 1
    clock.time += 1
    assert held() == "other"
    held.forget()
    keeper.secret = Secret("third")
    assert held() == "third"


def test_a_secret_with_a_lease_is_read_again_at_its_end() -> None:
    clock, keeper = Clock(), Keeper()
    held = Held("a", lambda: keeper.read("x"), clock)
    keeper.secret = Secret(VALUE, lease=10.0)
    held()
    keeper.secret = Secret("other", lease=3600.0)
    clock.time += 10.0
    assert held() == "other"
    clock.time += FRESH
    held()
    assert len(keeper.asked) == 3


def test_a_keeper_that_is_away_leaves_the_secret_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    clock, keeper = Clock(), Keeper()
    held = Held("outbox.hook.secret", lambda: keeper.read("x"), clock)
    held()
    keeper.secret = Transient("vault: it is sealed")
    for _ in range(3):
        clock.time += FRESH
        assert held() == VALUE
    assert [record.getMessage() for record in caplog.records] == [
        "secret cannot be read again and goes on as it was: outbox.hook.secret: vault: it is sealed"
    ]
    keeper.secret = Secret("other")
    clock.time += FRESH
    assert held() == "other"
    assert VALUE not in caplog.text


def test_a_reader_gets_its_table_with_secrets_as_functions(tmp_path: Path) -> None:
    made: list[Keeper] = []

    def make(settings: Mapping[str, Any]) -> Keeper:
        made.append(Keeper(settings))
        return made[-1]

    table = {"url": "https://x", "token": {"env": "TOKEN"}, "secret_id": "text", "timeout": 3}
    found = Resolver({"keeper": table}, {"keeper": make}, {"TOKEN": "t"}, tmp_path)
    assert found.held("a", {"keeper": "path#key"})() == VALUE
    assert found.held("b", {"keeper": "other#key"})() == VALUE
    (keeper,) = made
    assert keeper.asked == ["path#key", "other#key"]
    assert (keeper.settings["url"], keeper.settings["timeout"]) == ("https://x", 3)
    assert (keeper.settings["token"](), keeper.settings["secret_id"]()) == ("t", "text")


def test_a_table_that_is_wrong_names_itself_and_the_setting(tmp_path: Path) -> None:
    def refuse(_settings: Mapping[str, Any]) -> Keeper:
        raise DefinitionError("url: found nothing")

    found = Resolver({"keeper": {}}, {"keeper": refuse}, {}, tmp_path)
    with pytest.raises(SiteError, match=r"outbox.hook.secret: \[secrets.keeper\]: url: found nothing"):
        found.held("outbox.hook.secret", {"keeper": "x"})()


def test_a_plug_in_reads_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("cupboard", f"{__name__}:Keeper", "towpath.secrets")
    monkeypatch.setattr(secrets, "entry_points", lambda group: [point] if group == "towpath.secrets" else [])
    monkeypatch.setattr(secrets, "attribute", lambda target: Keeper if target == point.value else None)
    found = Resolver({"cupboard": {}}, {}, {}, tmp_path)
    assert found.held("a", {"cupboard": "x"})() == VALUE


def test_a_secret_is_in_no_text() -> None:
    held = Held("a", lambda: Secret(VALUE))
    held()
    assert VALUE not in f"{held!r} {Secret(VALUE)!r}"
    assert os.environ.get("GONE") is None


def test_errors_do_not_carry_what_a_keeper_said_of_the_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keeper = Keeper()
    keeper.secret = NotFoundError("vault: site/hook has no text of the name 'x'")
    ask: Callable[[], str] = Held("outbox.post.password", lambda: keeper.read("x"))
    with pytest.raises(SiteError, match=r"outbox.post.password: vault: site/hook") as caught:
        ask()
    assert caught.value.__cause__ is None
