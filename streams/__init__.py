"""The log, the processors that read it, and the two runners that run them."""
