"""What the pipeline brings: Towpath reads this, and the pipeline.toml beside it."""

from towpath import Plugin

from .stages import Clean

plugin = Plugin(name="{{name}}", stages=[Clean])
