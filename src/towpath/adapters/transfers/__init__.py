"""Transfers: how products reach an archive."""
