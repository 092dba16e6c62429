"""The compchem pipeline: what happens to a file when it lands on a record of a repository."""
