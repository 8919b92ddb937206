"""The files of a run: their names, where they lie, snapshots of code."""
