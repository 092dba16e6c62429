"""Executors: where runs happen."""
