"""What is asked of a server."""
