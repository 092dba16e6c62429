"""A small pipeline for tests of the whole line: write, hash, collect and publish; and one that misbehaves."""
