"""Sinks of the outbox: how messages leave."""
