"""Stages for workers, with readers of `hostile_readers` in the place of those that read."""

from types import MappingProxyType
from typing import ClassVar

from towpath import Context, One
from towpath.pipelines.compchem import stages
from towpath.pipelines.compchem.stages import Quantum


class Good(Quantum):
    """Reads well."""

    consumes = {"file": One("deposit/output")}
    reader: ClassVar[str] = "well"

    def run(self, context: Context) -> None:
        """Read with another reader."""
        kept = stages.READERS
        stages.READERS = MappingProxyType({"quantum": f"hostile_readers:{self.reader}"})
        try:
            super().run(context)
        finally:
            stages.READERS = kept


class Waits(Good):
    """Never ends."""

    reader: ClassVar[str] = "waits"
