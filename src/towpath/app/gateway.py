"""The gateway of runs: what a run reads and writes through the server, with a token that is dead when the run ends.

Promises that a token opens the inputs and outputs of its own run and nothing else, and that the catalog's rows decide: a run
that was stopped, was lost or is over has no inputs. Never renames anything into place: that is the run's own end.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from towpath.app.people import People
from towpath.base import ids
from towpath.base.errors import NotFoundError, StateError, UsageError
from towpath.base.model import Product, WorkRow
from towpath.base.states import Work
from towpath.contracts.catalog import View
from towpath.contracts.definition import StagePlan


@dataclass(frozen=True, slots=True)
class Given:
    """One product that a run reads: the name of the input, and where it is."""

    name: str
    product: Product
    place: Path


@dataclass(frozen=True, slots=True)
class Taken:
    """An output as it was written: its bytes and their sha256 (hexadecimal)."""

    path: Path
    size: int
    sha256: str


class Gateway(People):
    """The verbs of a run that comes by its token."""

    def run_of(self, secret: str) -> tuple[int, int] | None:
        """The run (work, token) of a run's token; None if it is none, or that run does not go on."""
        name = self._parts.signer.run_of(secret)
        if name is None:
            return None
        work, token = ids.parse_run_name(name)
        with self.catalog.read() as view:
            return (work, token) if _goes_on(view.work_row(work), token, view) else None

    def run_inputs(self, work: int, token: int) -> list[Given]:
        """What a run that goes on reads.

        Raises
        ------
        StateError
            If it does not go on.
        """
        with self.catalog.read() as view:
            row, stage = self._running(view, work, token)
            kind = self.definitions[row.pipeline].kinds[row.kind]
            need = view.needs(kind, stage, [row.item])[row.item]
            found = [(one.name, one.product) for one in need.inputs if one.product is not None]
        return [Given(name, product, self.place(product)) for name, product in found]

    def take_output(self, work: int, token: int, output: str, filename: str, data: Iterable[bytes]) -> Taken:
        """Write an output of a run that goes on, where the run itself would write it; it is the run that ends it.

        Raises
        ------
        StateError
            If the run does not go on, or has not opened its outputs.
        NotFoundError
            If its stage has no such output.
        UsageError
            If the name is none of a file.
        """
        if not filename or "/" in filename or "\0" in filename or filename in (".", ".."):
            raise UsageError(f"filename: found {filename!r}; expected that of a file, without a folder")
        with self.catalog.read() as view:
            row, stage = self._running(view, work, token)
            item = view.item(row.item)
        if output not in stage.outputs:
            raise NotFoundError(f"{stage.name} has no output {output!r}; it has {', '.join(stage.outputs)}")
        layout = self.definitions[row.pipeline].layout
        below = layout.format(pipeline=row.pipeline, kind=row.kind, stage=row.stage)
        folder, name = Path(self._parts.places["store"]) / below, f".{ids.slug(item.key)}.{token}"
        target = folder / f"{name}.{filename}" if len(stage.outputs) == 1 else folder / name / filename
        if not target.parent.is_dir():
            raise StateError(
                f"run {ids.run_name(work, token)} has not opened {output} yet; try again when it has"
            )
        # Each upload has its own, beside the staging of the run and named as that is: whatever clears it clears both.
        part = folder / f"{name}.{secrets.token_hex(8)}.part"
        return self._write_output(part, target, (work, token), data)

    def _write_output(self, part: Path, target: Path, run: tuple[int, int], data: Iterable[bytes]) -> Taken:
        sha256, size = hashlib.sha256(), 0
        try:
            with part.open("xb") as file:
                for piece in data:
                    file.write(piece)
                    sha256.update(piece)
                    size += len(piece)
            with self.catalog.read() as view:
                self._running(view, *run)  # it may have ended meanwhile: then nobody looks here any more
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return Taken(target, size, sha256.hexdigest())

    def _running(self, view: View, work: int, token: int) -> tuple[WorkRow, StagePlan]:
        row = view.work_row(work)
        if not _goes_on(row, token, view):
            raise StateError(f"run {ids.run_name(work, token)} does not run: the work is {row.state.value}")
        return row, self.definitions[row.pipeline].kinds[row.kind].stages[row.stage]


def _goes_on(row: WorkRow, token: int, view: View) -> bool:
    return row.state is Work.RUNNING and row.token == token and row.due > view.now()
