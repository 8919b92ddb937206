"""Where a run's code comes from, and how it was started, as properties of the run."""
