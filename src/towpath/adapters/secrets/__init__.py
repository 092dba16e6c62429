"""Readers of secrets that are kept elsewhere."""
