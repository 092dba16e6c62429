"""`towpath workflows`: what there is for the files of records, what applies to those of one, and starting it."""

from typing import Annotated, Any

import typer
from rich.text import Text

from towpath.app.site import Site
from towpath.base.errors import UsageError
from towpath.cli import opening, screen
from towpath.cli.options import call_of
from towpath.cli.screen import Screen
from towpath.contracts.records import Role

app = typer.Typer()
group = typer.Typer(
    no_args_is_help=True, help="Workflows for files of records: list them, see what applies, start."
)
app.add_typer(group, name="workflows")

Record = Annotated[str, typer.Argument(metavar="RECORD", help="The record's id in its repository.")]
Pipeline = Annotated[
    str,
    typer.Option(
        help="Of this pipeline, where several have workflows.", autocompletion=opening.offer_pipelines
    ),
]


def _pipeline(site: Site, name: str) -> str:
    """The pipeline that is named, or the only one that has workflows. Raises `UsageError`."""
    known = sorted({one.pipeline for one in site.workflows()})
    if name:
        return name
    if len(known) != 1:
        raise UsageError(
            f"found {len(known)} pipelines with workflows ({', '.join(known) or 'none'}); name one: --pipeline"
        )
    return known[0]


@group.command("list")
def list_workflows(context: typer.Context, pipeline: Pipeline = "") -> None:
    """List the workflows and which files they take."""
    call = call_of(context)
    with opening.opened(call) as site:
        found = site.workflows(pipeline)
    made = screen.table("workflow", "title", "files", "repository", "automatic", fold=("files",))
    for one in found:
        files = "\n".join(f"{role.name}: {_taken(role)}" for role in one.roles)
        made.add_row(
            f"{one.pipeline}/{one.name}", one.title, files, one.repository, "yes" if one.automatic else "no"
        )
    document = [
        {"pipeline": one.pipeline, "name": one.name, "title": one.title, "repository": one.repository,
         "automatic": one.automatic, "files": {role.name: _taken(role) for role in one.roles}}
        for one in found
    ]  # fmt: skip
    Screen(call.is_json).answer(document, made if found else Text("There are no workflows."))


@group.command()
def show(context: typer.Context, record: Record, pipeline: Pipeline = "") -> None:
    """Show the files of a record, and which workflows apply to each, or why none does."""
    call = call_of(context)
    with opening.opened(call) as site:
        matched, listing = site.available_on(_pipeline(site, pipeline), record)
    offers: dict[str, list[dict[str, Any]]] = {key: [] for key in listing.files}
    for offer in matched.offers:
        for key in offer.files.values():
            offers[key].append(
                {"workflow": offer.workflow.name, "files": dict(offer.files), "why": offer.why}
            )
    made = screen.table("file", "workflows", "why", fold=("why",))
    for key, found in offers.items():
        names = ", ".join(dict.fromkeys(one["workflow"] for one in found))
        why = "\n".join(dict.fromkeys(one["why"] for one in found)) or matched.unmatched.get(key, "")
        made.add_row(key, names or "none", why)
    document = [
        {"file": key, "workflows": found, "why": matched.unmatched.get(key, "")}
        for key, found in offers.items()
    ]
    Screen(call.is_json).answer(document, made if offers else Text(f"The record {record} has no files."))


@group.command()
def start(
    context: typer.Context,
    record: Record,
    workflow: Annotated[
        str, typer.Argument(metavar="[WORKFLOW]", help="One workflow; else all that apply.")
    ] = "",
    file: Annotated[
        list[str] | None, typer.Option(help="Only on this file of the record; may be given again.")
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Also on files that are in work for the same workflow.")
    ] = False,
    pipeline: Pipeline = "",
) -> None:
    """Start workflows on files of a record; `towpath run` does the work."""
    call = call_of(context)
    with opening.opened(call) as site:
        begun = site.start(_pipeline(site, pipeline), record, workflow, files=file or (), force=force)
    lines = [f"{one.key}: {offer.why}" for one, offer in begun.started]
    lines += [f"not started: {one.why}" for one in begun.refused]
    lines += [f"{key}: {why}" for key, why in begun.unmatched.items()]
    document = {
        "started": [{"key": one.key, "item": one.item, "why": offer.why} for one, offer in begun.started],
        "refused": [
            {"workflow": one.offer.workflow.name, "why": one.why, "holder": one.holder}
            for one in begun.refused
        ],
        "unmatched": dict(begun.unmatched),
    }
    Screen(call.is_json).answer(document, Text("\n".join(lines) or "Nothing was started."))


def _taken(role: Role) -> str:
    """Which files a role takes, in a few words."""
    parts = [" ".join(f".{one}" for one in role.extension), " ".join(role.glob)]
    if role.content:
        parts.append(f"that are {', '.join(role.content)}")
    return " ".join(part for part in parts if part) + (" (may be absent)" if role.optional else "")
