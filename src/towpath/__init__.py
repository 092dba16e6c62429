"""Towpath: the durable, reproducible backbone for science data pipelines."""
