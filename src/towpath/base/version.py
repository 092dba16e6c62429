"""The version of Towpath, as it is installed. Looks at nothing else."""

from importlib.metadata import version

VERSION = version("towpath")
