"""`python -m runherald` is the command line."""

from runherald.cli.main import entry

entry()
