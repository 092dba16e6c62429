"""Floor 4: the command line. Reads arguments, calls the verbs of a site, prints what they give; decides nothing itself."""

from towpath.cli.entry import main

__all__ = ["main"]
