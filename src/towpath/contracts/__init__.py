"""Floor 1: the few interfaces, and what a pipeline author declares. Uses `base` only."""
