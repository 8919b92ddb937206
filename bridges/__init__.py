"""Bridges: what brings the training frameworks' own numbers, and Python's log, into a run. Each module is loaded by who uses it."""
