"""The stages of the compchem pipeline: a reading stage and a drawing stage for each kind of files.

Science runs in a child with limits (`science.sandbox`), never in this process. What came of it is an outcome:

    SUCCESS   done
    PARTIAL   done, with the sentence as a caveat
    FAILURE   of a reading stage: rejected, with the sentence as the reason; nothing follows
              of a drawing stage: done, with the sentence as a caveat, since what was read stands without pictures

A full disk or a system without memory is no fault of the file: the run is tried again. A parser that is not installed
fails the run.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from towpath import Context, One, Reject, Stage, Transient, Unit

from .science.outcome import Outcome, Status
from .science.parsers import DRAWERS, PAINTERS, PARSERS, READERS, WORDS, preload, versioned, versions
from .science.sandbox import Ran, ServerLost, run_limited, server_pid

Seconds = Annotated[float, Unit("s")]
Bytes = Annotated[int, Unit("bytes")]

PICTURE = "picture/png"
_LENGTH = 500  # characters of a sentence among the measures
# Facts that are measures, by where they stand in the metadata of one or another kind.
_FACTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("program", "", ("program",)),
    ("program_version", "", ("program_version",)),
    ("n_atoms", "", ("n_atoms",)),
    ("n_atoms", "", ("number_of_atoms",)),
    ("n_atoms", "", ("main_information", "number_of_atoms")),
    ("n_frames", "", ("frames",)),
    ("energy", "hartree", ("energies", "total_hartree")),
)


class Limited(Stage):
    """Base of what works in a child with limits.

    Parameters
    ----------
    seconds
        The most that one file may take, by the clock.
    memory
        The most memory that it may need, beyond the libraries.
    output
        The most that it may write.

    They enter no key: after one was raised, a file that did not fit is read again on request (`towpath rerun`).
    """

    unkeyed: ClassVar[frozenset[str]] = frozenset(
        {"seconds", "memory", "output"}
    )  # how much, not what comes out

    seconds: Seconds = Field(default=120.0, gt=0)
    memory: Bytes = Field(default=4_000_000_000, gt=0)
    output: Bytes = Field(default=1_000_000_000, gt=0)

    def _in_child(
        self, context: Context, target: str, given: Mapping[str, Path | Sequence[Path]], doing: str
    ) -> tuple[Ran, Path]:
        """What came of it, and the folder in which it wrote."""
        folder = context.scratch / "made"
        folder.mkdir()
        try:
            ran = run_limited(
                target,
                given,
                folder,
                seconds=self.seconds,
                memory=self.memory,
                output=self.output,
                doing=doing,
                preload=preload(target),
            )
        except ServerLost as error:
            raise Transient(str(error)) from error
        finally:
            if (server := server_pid()) is not None:
                context.keep(server)
        context.measure("parser_seconds", round(ran.seconds, 3), "s")
        context.measure("status", ran.outcome.status.value)
        context.measure("sentence", ran.outcome.sentence[:_LENGTH])
        context.log.info("%s: %s", ran.outcome.status.value, ran.outcome.sentence)
        return ran, folder


def _deliver(context: Context, outcome: Outcome, folder: Path, declared: Mapping[str, str]) -> None:
    """Move what was made to where the outputs of the run are."""
    if unknown := sorted(set(outcome.files) - set(declared)):
        raise ValueError(f"outputs {', '.join(unknown)} were made; expected are {', '.join(declared)}")
    for name, file in outcome.files.items():
        with context.output(name, file) as path:
            (folder / file).replace(path)


class Reading(Limited):
    """Base of the reading stages: files of a deposit to metadata and derived files."""

    kind: ClassVar[str] = ""

    def run(self, context: Context) -> None:
        """Read in a child, and tell how far it went.

        Raises
        ------
        Reject
            If nothing could be used, with the sentence that says why and what to do.
        Transient
            If the system, not the file, is to blame.
        """
        given = {
            name: (self._named(context, name),) for name in self.consumes if context.inputs[name] is not None
        }
        names = " and ".join(path.name for (path,) in given.values())
        parsers = versions(PARSERS[self.kind])
        context.log.info(
            "reading %s with %s", names, ", ".join(f"{name} {found}" for name, found in parsers.items())
        )
        context.progress(0.05, f"reading {names}")
        began = time.monotonic()
        doing = f"reading this file as {WORDS[self.kind]}"
        ran, folder = self._in_child(context, READERS[self.kind], given, doing)
        outcome = ran.outcome
        context.progress(0.95, f"{outcome.status.value} after {time.monotonic() - began:.1f} s")
        _tell(context, outcome)
        if outcome.status is Status.FAILURE:
            raise Reject(outcome.sentence)
        if outcome.status is Status.PARTIAL:
            context.caveat(outcome.sentence)
        _deliver(context, outcome, folder, self.produces)

    @staticmethod
    def _named(context: Context, name: str) -> Path:
        """An input under the name that its depositor gave it, which readers tell of and go by."""
        path: Path = context.inputs[name]
        called = next((one.part for one in context.sources.get(name, ()) if one.part), "").rpartition("/")[2]
        if not called or called in (".", "..") or "\0" in called:
            return path
        folder = context.scratch / "given" / name
        folder.mkdir(parents=True)
        (folder / called).symlink_to(path)
        return folder / called


def _tell(context: Context, outcome: Outcome) -> None:
    """The parser and the short facts as measures."""
    for name, key in (("parser", "name"), ("parser_version", "version")):
        if outcome.parser.get(key):
            context.measure(name, outcome.parser[key])
    told: set[str] = set()
    for name, unit, place in _FACTS:
        value = _at(outcome.facts, place)
        if isinstance(value, str | int | float) and value != "" and name not in told:
            told.add(name)
            context.measure(name, value, unit)


def _at(facts: Any, place: Sequence[str]) -> Any:
    for name in place:
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts


class Drawing(Limited):
    """Base of the drawing stages: what was read to pictures. What cannot be drawn is a caveat."""

    kind: ClassVar[str] = ""

    def run(self, context: Context) -> None:
        """Draw in a child.

        Raises
        ------
        Transient
            If the system is to blame.
        """
        given = {name: path for name, path in context.inputs.items() if path is not None}
        context.progress(0.05, f"drawing {', '.join(given)}")
        ran, folder = self._in_child(context, DRAWERS[self.kind], given, "drawing the pictures")
        if ran.outcome.status is not Status.SUCCESS:
            context.caveat(ran.outcome.sentence)
        if ran.outcome.status is not Status.FAILURE:
            _deliver(context, ran.outcome, folder, self.produces)
        context.measure("n_pictures", len(ran.outcome.files))


def _drawn(made: Mapping[str, str], *names: str) -> dict[str, One]:
    """What a drawing stage takes of what the reading stage makes: the metadata, and the rest where it was made."""
    return {"metadata": One(made["metadata"])} | {name: One(made[name], optional=True) for name in names}


def _pictures(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, PICTURE)


_QUANTUM = {
    "metadata": "chem/metadata",
    "geometry": "chem/xyz",
    "molecule": "chem/mol",
    "cjson": "chem/cjson",
    "vibrations": "table/vibrations",
    "excitations": "table/excitations",
}
_SIMULATION = {"metadata": "chem/metadata", "annotation": "chem/annotation", "start": "chem/gro"}
_STRUCTURE = {
    "metadata": "chem/metadata",
    "view": "chem/view",
    "sequence": "chem/fasta",
    "xyz": "chem/xyz",
}
_TRAJECTORY = {
    "metadata": "chem/metadata",
    "table": "table/csv",
    "thinned": "chem/trajectory",
    "view": "chem/view",
}
_ENERGIES = {"metadata": "chem/metadata", "table": "table/csv"}


def _optional(made: Mapping[str, str]) -> frozenset[str]:
    return frozenset(made) - {"metadata"}


class Quantum(Reading):
    """The output of a program of quantum chemistry to metadata, geometry, molecule and spectra."""

    kind = "quantum"
    version = versioned("1", *PARSERS["quantum"])
    consumes = {"output": One("deposit/output")}
    produces = _QUANTUM
    optional_outputs = _optional(_QUANTUM)


class Simulation(Reading):
    """A run input of GROMACS to an annotation of the simulation.

    Say in `gromacs` which version of GROMACS the workers have: like all parameters that say what comes out it enters
    the key, so that what a newer one can read is read again.
    """

    kind = "simulation"
    version = versioned("1", *PARSERS["simulation"])
    consumes = {"tpr": One("deposit/tpr")}
    produces = _SIMULATION
    optional_outputs = _optional(_SIMULATION)

    gromacs: str = ""


class Structure(Reading):
    """A structure to its composition, sequence, cell and a view."""

    kind = "structure"
    version = versioned("1", *PARSERS["structure"])
    consumes = {"structure": One("deposit/structure")}
    produces = _STRUCTURE
    optional_outputs = _optional(_STRUCTURE)


class Trajectory(Reading):
    """A trajectory with its topology to frames, drift, RMSD and radius of gyration, and a thinned trajectory."""

    kind = "trajectory"
    version = versioned("1", *PARSERS["trajectory"])
    consumes = {"topology": One("deposit/topology"), "trajectory": One("deposit/trajectory")}
    produces = _TRAJECTORY
    optional_outputs = _optional(_TRAJECTORY)


class Energies(Reading):
    """Energies of a simulation to terms and a table."""

    kind = "energies"
    version = versioned("1", *PARSERS["energies"])
    consumes = {"energies": One("deposit/energies")}
    produces = _ENERGIES
    optional_outputs = _optional(_ENERGIES)


class DrawQuantum(Drawing):
    """The molecule, its spectra, and how the calculation converged."""

    kind = "quantum"
    version = versioned("1", *PAINTERS["quantum"])
    consumes = _drawn(_QUANTUM, "geometry", "molecule", "vibrations", "excitations")
    produces = _pictures("structure", "ir", "uvvis", "scf", "optimisation")
    optional_outputs = frozenset(produces)


class DrawSimulation(Drawing):
    """What a simulation is made of."""

    kind = "simulation"
    version = versioned("1", *PAINTERS["simulation"])
    consumes = _drawn(_SIMULATION, "annotation", "start")
    produces = _pictures("composition")
    optional_outputs = frozenset(produces)


class DrawStructure(Drawing):
    """The structure: its atoms, chains or cell."""

    kind = "structure"
    version = versioned("1", *PAINTERS["structure"])
    consumes = _drawn(_STRUCTURE, "view", "xyz")
    produces = _pictures("picture")
    optional_outputs = frozenset(produces)


class DrawTrajectory(Drawing):
    """RMSD, radius of gyration and box along a trajectory."""

    kind = "trajectory"
    version = versioned("1", *PAINTERS["trajectory"])
    consumes = _drawn(_TRAJECTORY, "table")
    produces = _pictures("course")
    optional_outputs = frozenset(produces)


class DrawEnergies(Drawing):
    """The terms along the time of a simulation."""

    kind = "energies"
    version = versioned("1", *PAINTERS["energies"])
    consumes = _drawn(_ENERGIES, "table")
    produces = _pictures("energies")
    optional_outputs = frozenset(produces)


STAGES: tuple[type[Stage], ...] = (
    Quantum,
    Simulation,
    Structure,
    Trajectory,
    Energies,
    DrawQuantum,
    DrawSimulation,
    DrawStructure,
    DrawTrajectory,
    DrawEnergies,
)
