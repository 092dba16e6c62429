"""Which items an action is about: those named, or all that fit a filter, after a preview and a yes.

Promises that a filter never acts on more than was shown: the preview is of the very items that are acted on.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.text import Text

from towpath.app.site import Site
from towpath.base.errors import TowpathError, UsageError
from towpath.base.model import Item
from towpath.cli import opening, screen
from towpath.cli.exits import Exit, code_of
from towpath.cli.options import Call
from towpath.cli.screen import Screen

Items = Annotated[
    list[str] | None,
    typer.Argument(help="Items: KEY, KIND/KEY or PIPELINE/KIND/KEY.", autocompletion=opening.offer_items),
]
Stage = Annotated[
    str, typer.Option(help="The stage; by default all that it can be.", autocompletion=opening.offer_stages)
]
State = Annotated[
    str,
    typer.Option(help="Instead of names: all with work in this state.", autocompletion=opening.offer_states),
]
Kind = Annotated[
    str, typer.Option(help="Instead of names: all of this kind.", autocompletion=opening.offer_kinds)
]
Pipeline = Annotated[
    str, typer.Option(help="Instead of names: all of this pipeline.", autocompletion=opening.offer_pipelines)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for filters.")]
Why = Annotated[str, typer.Option(help="The reason; it is kept with the story.")]

_SHOWN = 10
_NOUNS = {"flag": "", "pin": "product", "unpin": "pin"}  # what is counted, where it is not stages
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked to act on: names, or a filter; in both cases perhaps one stage only."""

    names: Sequence[str] = ()
    stage: str = ""
    state: str = ""
    kind: str = ""
    pipeline: str = ""
    is_sure: bool = False

    @property
    def is_filter(self) -> bool:
        """Whether items are chosen by a filter."""
        return bool(self.state or self.kind or self.pipeline)


def chosen(site: Site, wanted: Wanted, verb: str, answer: Screen) -> list[str]:
    """The whole names of the items to act on, after asking where a filter chose them.

    Raises
    ------
    NotFoundError
        If a named item is not there.
    UsageError
        If nothing was named, or names and a filter were, or nobody is there to be asked.
    """
    if wanted.names and wanted.is_filter:
        raise UsageError("found items and a filter; expected one of them")
    if not wanted.names and not wanted.is_filter:
        raise UsageError(f"nothing to {verb}: name items, or choose them by --state, --kind or --pipeline")
    if wanted.names:
        return [site.find(name).name for name in wanted.names]
    found = matching(site, wanted)
    if found and not wanted.is_sure:
        _ask(found, verb, wanted.stage, answer)
    return [item.name for item in found]


def matching(site: Site, wanted: Wanted) -> list[Item]:
    """All items that fit the filter."""
    found: list[Item] = []
    after = 0
    while True:
        page = site.items(
            pipeline=wanted.pipeline,
            kind=wanted.kind,
            state=wanted.state,
            stage=wanted.stage,
            after=after,
            limit=_PAGE,
        )
        found += page
        if len(page) < _PAGE:
            return found
        after = page[-1].id


def _ask(found: Sequence[Item], verb: str, stage: str, answer: Screen) -> None:
    what = f"{verb} {stage} of " if stage else f"{verb} "
    answer.note(f"{what}{screen.count(len(found), 'item')}:")
    for item in found[:_SHOWN]:
        answer.note(f"  {item.name}")
    if len(found) > _SHOWN:
        answer.note(f"  and {len(found) - _SHOWN} more; `towpath items` lists them with the same filter")
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked; --yes does it")
    if not typer.confirm("Go on?", err=True):
        raise typer.Exit(Exit.INTERRUPTED)


def act_on(site: Site, call: Call, wanted: Wanted, verb: tuple[str, str], act: Callable[[str], int]) -> None:
    """Do something to each chosen item, go on after errors, tell what was done and end with the first error's code.

    Parameters
    ----------
    verb
        What is done, as asked for and as told: ``("retry", "will be tried again")``.
    act
        Takes an item's name and returns how many stages (or other things) it changed.
    """
    answer = Screen(call.is_json)
    names = chosen(site, wanted, verb[0], answer)
    results: list[dict[str, object]] = []
    codes: list[Exit] = []
    for name in names:
        try:
            results.append({"item": name, "changed": act(name)})
        except TowpathError as error:
            results.append({"item": name, "changed": 0, "error": str(error)})
            codes.append(code_of(error))
    if names and not any(result["changed"] for result in results) and not codes:
        codes.append(Exit.STATE)
    answer.answer({"action": verb[0], "items": results}, *_lines(results, verb))
    if codes:
        raise typer.Exit(codes[0])


def _lines(results: Sequence[dict[str, object]], verb: tuple[str, str]) -> list[Text]:
    if not results:
        return [Text("no item fits the filter")]
    lines = []
    for result in results:
        name, number = str(result["item"]), result["changed"]
        if "error" in result:
            lines.append(Text(f"{name}: {result['error']}", style="red"))
        elif number:
            noun = _NOUNS.get(verb[0], "stage")
            counted = f"{screen.count(int(str(number)), noun)} " if noun else ""
            lines.append(Text(f"{name}: {counted}{verb[1]}"))
        else:
            lines.append(
                Text(
                    f"{name}: nothing to {verb[0]}; `towpath explain {name}` tells the states", style="yellow"
                )
            )
    return lines
