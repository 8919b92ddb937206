"""A run, as a script holds it."""
