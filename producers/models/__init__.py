"""Models: files of a run, or of this machine, under a name and a number."""
