"""The pipelines that ship with Towpath; independent of one another."""
