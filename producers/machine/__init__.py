"""What the machine does while a run is on it, as metrics of the run."""
