"""What the pipeline brings."""

from plainpipe.stages import Careless, Collect, Copy, Hash, Pair, Trouble, Write
from towpath import Plugin

plugin = Plugin("plain", stages=(Write, Hash, Collect, Copy, Pair, Trouble, Careless))
