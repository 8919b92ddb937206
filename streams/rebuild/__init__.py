"""History made again from the log: what is read from where, the replay through the live processors, the comparison, the exchange."""
