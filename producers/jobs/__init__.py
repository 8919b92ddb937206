"""Jobs: a program that is run for a run, and what is kept of it."""
