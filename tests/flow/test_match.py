"""Which workflows apply to which files together, and why the others have none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towpath.contracts.records import Role, Seen, Workflow
from towpath.flow import match as matching
from towpath.flow.match import extension_of, match


def workflow(name: str, *roles: Role, per: str = "") -> Workflow:
    return Workflow("chem", name, name, roles, per or roles[0].name, title=name.capitalize())


QUANTUM = workflow(
    "quantum", Role("output", extension=("out", "log"), content=("gaussian", "orca"), at_most=1000)
)
LOGS = workflow("mdlog", Role("log", extension=("log",), content=("gromacs log",)))
TPR = workflow("simulation", Role("tpr", extension=("tpr",), content=("tpr",)))
PAIR = workflow(
    "trajectory",
    Role("topology", extension=("tpr", "gro")),
    Role("trajectory", extension=("xtc",)),
    per="trajectory",
)
ALL = [QUANTUM, LOGS, TPR, PAIR]


def offered(*files: Seen, known: Any = ALL) -> list[tuple[str, dict[str, str]]]:
    return [(one.workflow.name, dict(one.files)) for one in match(known, files).offers]


def why(*files: Seen) -> str:
    return match(ALL, files).unmatched[files[0].key]


def test_ending_and_content_must_both_fit() -> None:
    assert offered(Seen("a.out", content="orca")) == [("quantum", {"output": "a.out"})]
    assert offered(Seen("A.OUT", content="orca")) == [("quantum", {"output": "A.OUT"})]
    assert offered(Seen("a.out", content="tpr")) == []
    assert offered(Seen("a.txt", content="orca")) == []


def test_an_ambiguous_ending_is_told_apart_by_content() -> None:
    assert offered(Seen("a.log", content="gaussian")) == [("quantum", {"output": "a.log"})]
    assert offered(Seen("a.log", content="gromacs log")) == [("mdlog", {"log": "a.log"})]
    assert why(Seen("a.log", content="")) == (
        "no workflow: what is in a.log is not recognised as gaussian, orca or gromacs log"
    )


def test_where_nobody_has_looked_inside_the_ending_decides() -> None:
    assert offered(Seen("a.log")) == [("quantum", {"output": "a.log"}), ("mdlog", {"log": "a.log"})]


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (
            Seen("notes"),
            "no workflow takes files without an ending; there are workflows for .out, .log, .tpr or .xtc",
        ),
        (Seen("a.zip"), "no workflow takes .zip files; there are workflows for .out, .log, .tpr or .xtc"),
        (Seen("a.out", 5000, content="orca"), "no workflow: it has 5 kB, more than 1 kB"),
        (Seen("a.gro"), "it is a topology for Trajectory, which needs a trajectory (.xtc)"),
        (Seen("a.xtc"), "Trajectory: it needs a topology beside it (.tpr or .gro)"),
        (
            Seen(".out"),
            "no workflow takes files without an ending; there are workflows for .out, .log, .tpr or .xtc",
        ),
    ],
)
def test_what_has_no_workflow_says_why(file: Seen, told: str) -> None:
    assert why(file) == told


def test_a_file_goes_with_the_one_of_its_own_name_and_the_preferred_ending() -> None:
    files = [Seen("a.xtc"), Seen("a.gro"), Seen("a.tpr"), Seen("b.tpr")]
    assert ("trajectory", {"trajectory": "a.xtc", "topology": "a.tpr"}) in offered(*files)


def test_a_lone_one_of_another_name_will_do_and_several_will_not() -> None:
    assert offered(Seen("part-1.xtc"), Seen("part-2.xtc"), Seen("system.gro"), known=[PAIR]) == [
        ("trajectory", {"trajectory": "part-1.xtc", "topology": "system.gro"}),
        ("trajectory", {"trajectory": "part-2.xtc", "topology": "system.gro"}),
    ]
    told = "it needs a topology, and one.gro, two.gro may be it: name one of them, or name it like run.xtc"
    assert why(Seen("run.xtc"), Seen("one.gro"), Seen("two.gro")) == f"Trajectory: {told}"
    assert why(Seen("two.gro"), Seen("one.gro"), Seen("run.xtc")) == (
        f"Trajectory of run.xtc: {told}".replace("one.gro, two.gro", "two.gro, one.gro")
    )
    assert why(Seen("run.xtc"), *[Seen(f"g{n}.gro") for n in range(300)]).endswith(
        "g6.gro, g7.gro and 292 more may be it: name one of them, or name it like run.xtc"
    )


def test_each_file_is_looked_at_once_for_each_role(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    fit = matching.fit
    monkeypatch.setattr(matching, "fit", lambda role, file: looked.append(file.key) or fit(role, file))
    files = [Seen(f"f{n}.{ending}") for n in range(50) for ending in ("xtc", "gro")]
    assert len(offered(*files, known=[PAIR])) == 50
    assert len(looked) == 2 * len(files)


def test_an_optional_role_may_be_empty() -> None:
    table = workflow(
        "table", Role("data", extension=("csv",)), Role("notes", extension=("txt",), optional=True)
    )
    assert offered(Seen("a.csv"), known=[table]) == [("table", {"data": "a.csv"})]
    assert offered(Seen("a.csv"), Seen("a.txt"), known=[table]) == [
        ("table", {"data": "a.csv", "notes": "a.txt"})
    ]


def test_a_media_type_counts_where_one_is_told() -> None:
    typed = workflow("typed", Role("file", glob=("run*",), media_type=("chemical/*",)))
    assert offered(Seen("run.x", media_type="chemical/x-pdb"), known=[typed])
    assert offered(Seen("run.x", media_type="application/octet-stream"), known=[typed])
    assert offered(Seen("run.x"), known=[typed])
    assert not offered(Seen("run.x", media_type="text/plain"), known=[typed])
    assert match([typed], [Seen("walk.x")]).unmatched["walk.x"] == "no workflow: its name does not fit run*"


def test_the_longest_ending_counts() -> None:
    assert extension_of("a.tar.gz", ["gz", "tar.gz"]) == "tar.gz"
    assert extension_of("tar.gz", ["tar.gz"]) is None


@given(st.lists(st.sampled_from(["a.out", "b.log", "c.tpr", "c.xtc", "d.gro", "e.zip", "f"]), unique=True))
def test_every_file_is_in_an_offer_or_has_a_reason(keys: list[str]) -> None:
    found = match(ALL, [Seen(key) for key in keys])
    used = {key for offer in found.offers for key in offer.files.values()}
    assert used | set(found.unmatched) == set(keys)
    assert not used & set(found.unmatched)
    assert all(found.unmatched.values())
