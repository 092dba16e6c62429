"""Repositories of records: a folder of them, and InvenioRDM."""
