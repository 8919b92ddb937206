"""The journal of a run: files on this machine that hold what was said until it was sent."""
