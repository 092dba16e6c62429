"""The commands that installed pipelines declare as entry points `towpath.commands`, by name.

Light, since `towpath --help` lists them; imports no plug-in and nothing but the standard library.
"""

from importlib.metadata import entry_points

COMMANDS, PIPELINES = "towpath.commands", "towpath.pipelines"


def commands() -> dict[str, tuple[str, ...]]:
    """Each declared command with the pipelines that bring it; its entry point has the target of its pipeline's."""
    owners = {point.value: point.name for point in entry_points(group=PIPELINES)}
    found: dict[str, set[str]] = {}
    for point in entry_points(group=COMMANDS):
        if owner := owners.get(point.value):
            found.setdefault(point.name, set()).add(owner)
    return {name: tuple(sorted(found[name])) for name in sorted(found)}
