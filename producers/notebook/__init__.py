"""A run in a notebook: what is read of it again and again, and the widget that shows it."""
