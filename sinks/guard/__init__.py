"""The way in for users' queries: parsed, checked against allow-lists, and run on a connection that may do nothing else."""
