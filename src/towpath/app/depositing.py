"""Depositing: what people and repositories have done with the files of a record."""

from collections.abc import Sequence

from towpath.app.acting import TO_TRY_AGAIN
from towpath.app.gateway import Gateway
from towpath.app.records import Among, Begun, Listing, digest
from towpath.base.errors import NotFoundError, StateError, Transient, UsageError
from towpath.base.model import Item
from towpath.contracts.catalog import Transaction
from towpath.contracts.definition import Definition
from towpath.contracts.records import Matched, Seen, Workflow
from towpath.contracts.repository import Access, Caller, Knows
from towpath.flow.start import check_free


class Depositing(Gateway):
    """The verbs of records."""

    def workflows(self, pipeline: str = "") -> list[Workflow]:
        """The workflows for files of records (of a pipeline)."""
        return self._parts.records.workflows(pipeline)

    def available(self, pipeline: str, files: Sequence[Seen]) -> Matched:
        """Which workflows apply to files of which this is known, to which together, and why not to the others."""
        return self._parts.records.available(pipeline, files)

    def available_on(self, pipeline: str, record: str, *, among: Among = None) -> tuple[Matched, Listing]:
        """The same for the files that are on a record (of one `among` these repositories), which are looked into.

        Raises
        ------
        NotFoundError
            If there is no such record.
        """
        return self._parts.records.on(pipeline, record, among)

    def access(self, repository: str, record: str, caller: Caller) -> frozenset[Access]:
        """What the repository lets somebody do with a record, as it said within half a minute.

        Raises
        ------
        Transient
            If it cannot be asked now.
        """
        return self._parts.records.may(repository, record, caller)

    def keeper(self, pipeline: str, workflow: str, record: str) -> tuple[str, Knows | None]:
        """The repository that a record is of, and by what it knows people; none ("", None) if the pipeline has none.

        Raises
        ------
        NotFoundError
            If no repository has the record.
        """
        name = self._parts.records.keeper(pipeline, workflow, record)
        return name, self._parts.records.repositories(name).knows if name else None

    def vouchers(self) -> list[str]:
        """The repositories that know people by tokens of their own."""
        return self._parts.records.that_know(Knows.BEARERS)

    def bearer_of(self, repository: str, bearer: str) -> str:
        """Whose token this is, as the repository said within half a minute; "" if it is nobody's.

        Raises
        ------
        Transient
            If it cannot be asked now.
        """
        return self._parts.records.who(repository, bearer)

    def is_bearer_known(self, repository: str, bearer: str) -> bool:
        """Whether it is known at the moment whose token this is, or that it is nobody's."""
        return self._parts.records.people.known((repository, digest(bearer))) is not None

    def start(
        self,
        pipeline: str,
        record: str,
        workflow: str = "",
        *,
        files: Sequence[str] = (),
        force: bool = False,
        caller: Caller | None = None,
        among: Among = None,
        priority: int = 0,
    ) -> Begun:
        """Start a workflow, or all that apply, on files of a record (default: on all).

        Parameters
        ----------
        pipeline, record, workflow
            The pipeline, the record's id in its repository, and the workflow ("": all that apply).
        files
            Names of files of the record.
        force
            Take files too that are in work for the same workflow.
        caller
            Who asks, with what they brought for the repository: its permission to work on the record is got with that.
        among
            The repositories in which they may do this to the record; None: all.

        Raises
        ------
        NotFoundError
            If there is no such record, file or workflow.
        UsageError
            If the workflow does not apply.
        BusyError
            If the workflow has the file in work.
        StateError
            If the workflow's source is paused.
        """
        for plan in self._of(pipeline).sources.values():
            if plan.kind == "records" and workflow in ("", plan.item):
                self._refuse_paused(plan)
        return self._parts.records.start(
            pipeline, record, workflow=workflow, files=files, force=force, caller=caller, among=among,
            priority=priority, who=self.who, write=self._write,
        )  # fmt: skip

    def look_at_record(self, pipeline: str, record: str, *, among: Among = None) -> Begun:
        """Start at once what is mapped to files of a record that are new or have changed: for a hook of the repository.

        The record is that of each repository (`among` these) that has it.

        Raises
        ------
        NotFoundError
            If no repository of such a source has the record.
        Transient
            If a repository cannot be asked now, and nothing was started.
        """
        found = [
            plan for plan in self._of(pipeline).sources.values()
            if plan.kind == "records" and (among is None or plan.settings["repository"] in among)
        ]  # fmt: skip
        parts: list[Begun] = []
        missing: list[NotFoundError] = []
        for plan in found:
            if plan.settings["automatic"]:
                try:
                    parts.append(self._parts.records.look_at(plan, record, self._write))
                except NotFoundError as error:  # it may be in the repository of another
                    missing.append(error)
                except Transient:
                    if not any(part.started for part in parts):
                        raise
        if missing and not parts:
            raise missing[0]
        return Begun(
            tuple(one for part in parts for one in part.started),
            tuple(one for part in parts for one in part.refused),
        )

    def restart(self, name: str, *, caller: Caller | None = None) -> Begun:
        """Start the same workflow on the same files of a record anew, as they are now, under the next number.

        Raises
        ------
        UsageError
            If the item is no processing of a record's files.
        BusyError
            If it has not ended.
        """
        item = self._processing(name)
        files = [str(file["key"]) for file in item.attributes["files"].values()]
        begun = self.start(
            item.pipeline, str(item.attributes["record"]), item.kind, files=files, caller=caller
        )
        if not begun.started and not begun.refused:
            raise StateError(f"{item.name}: its files are not there any more")
        return begun

    def try_again(self, name: str, *, why: str = "") -> int:
        """`retry` of a processing, unless another has taken its file meanwhile; returns how many stages.

        Raises
        ------
        UsageError
            If the item is no processing of a record's files.
        BusyError
            If another processing of the same workflow has not ended.
        """
        item = self._processing(name)
        works = self._works(name, "", in_states=TO_TRY_AGAIN)
        kind = self._of(item.pipeline).kinds[item.kind]

        def transact(tx: Transaction) -> int:
            check_free(tx, kind, item)
            return tx.retry(works, self.who, why)

        return self._write(transact) if works else 0

    def _processing(self, name: str) -> Item:
        item = self.find(name)
        if "files" not in item.attributes or "record" not in item.attributes:
            raise UsageError(f"{item.name} is no processing of files of a record")
        return item

    def _of(self, pipeline: str) -> Definition:
        if pipeline not in self.definitions:
            known = ", ".join(self.definitions) or "none"
            raise NotFoundError(f"found no pipeline {pipeline!r} in this site; there are {known}")
        return self.definitions[pipeline]
